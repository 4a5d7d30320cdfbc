// Memory of tensors on the CPU that is kept for the next ones. LibTorch gives each large tensor's memory back to the
// system at once, which hands it out again page by page, filled with zeros: for the maps of a VAE that takes longer
// than what is computed in them.
#pragma once

#include <c10/core/Allocator.h>

#include <cstddef>
#include <mutex>
#include <vector>

namespace diffapple {

/// LibTorch's allocator, behind which blocks of `smallest_kept` bytes and more are kept when they are freed and given
/// to the next tensor of the same size. What is used and what is kept are together never more than was used at once
/// before: the process' peak stays. May be called from any thread.
class ReusingAllocator final : public c10::Allocator {
public:
    static constexpr size_t smallest_kept = size_t{1} << 20;

    /// The program's only one: LibTorch gives its function that frees no context to tell several apart.
    static ReusingAllocator& instance();

    c10::DataPtr allocate(size_t bytes) override;
    c10::DeleterFnPtr raw_deleter() const override;
    void copy_data(void* to, const void* from, size_t bytes) const override;

    /// Gives all that is kept back to the system.
    void release();
    size_t kept_bytes() const;

private:
    ReusingAllocator();
    static void free(void* data);
    void* take(size_t bytes);
    void give_back(void* data);
    void release_beyond(size_t bytes);

    c10::Allocator* const base_;
    mutable std::mutex mutex_;
    std::vector<void*> kept_;  ///< in the order in which they were freed
    size_t used_bytes_ = 0, most_used_ = 0, kept_bytes_ = 0;
};

/// From now on LibTorch's tensors on the CPU are allocated by it. To be called before there is any tensor.
void reuse_cpu_memory();

}  // namespace diffapple
