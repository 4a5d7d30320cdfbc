#include "diffapple/core/cpu_memory.h"

#include <c10/core/CPUAllocator.h>
#include <c10/core/alignment.h>

#include <algorithm>
#include <exception>

namespace diffapple {
namespace {

/// Before the data of each block stands its size, in as much as keeps the data aligned.
constexpr size_t header = c10::gAlignment;

size_t& size_of(void* data) {
    return *reinterpret_cast<size_t*>(static_cast<char*>(data) - header);
}

void* allocate_block(c10::Allocator& base, size_t bytes) {
    void* const data = static_cast<char*>(base.raw_allocate(header + bytes)) + header;
    size_of(data) = bytes;
    return data;
}

void free_block(c10::Allocator& base, void* data) {
    base.raw_deallocate(static_cast<char*>(data) - header);
}

}  // namespace

ReusingAllocator& ReusingAllocator::instance() {
    static auto* const allocator = new ReusingAllocator;  // tensors may be freed when the program ends
    return *allocator;
}

ReusingAllocator::ReusingAllocator() : base_(c10::GetDefaultCPUAllocator()) {}

c10::DataPtr ReusingAllocator::allocate(size_t bytes) {
    void* const data = bytes < smallest_kept ? allocate_block(*base_, bytes) : take(bytes);
    return {data, data, &ReusingAllocator::free, c10::Device(c10::DeviceType::CPU)};
}

c10::DeleterFnPtr ReusingAllocator::raw_deleter() const {
    return &ReusingAllocator::free;
}

void ReusingAllocator::copy_data(void* to, const void* from, size_t bytes) const {
    default_copy_data(to, from, bytes);
}

void ReusingAllocator::free(void* data) {
    ReusingAllocator& allocator = instance();
    if (!data) return;
    if (size_of(data) < smallest_kept)
        free_block(*allocator.base_, data);
    else
        allocator.give_back(data);
}

void* ReusingAllocator::take(size_t bytes) {
    const std::scoped_lock lock(mutex_);
    const auto found = std::find_if(kept_.rbegin(), kept_.rend(), [&](void* data) { return size_of(data) == bytes; });
    if (found != kept_.rend()) {
        void* const data = *found;
        kept_.erase(std::next(found).base());
        kept_bytes_ -= bytes;
        used_bytes_ += bytes;
        return data;
    }
    most_used_ = std::max(most_used_, used_bytes_ + bytes);
    release_beyond(most_used_ - used_bytes_ - bytes);
    void* data = nullptr;
    try {
        data = allocate_block(*base_, bytes);
    } catch (const std::exception&) {
        if (kept_.empty()) throw;
        release_beyond(0);
        data = allocate_block(*base_, bytes);
    }
    used_bytes_ += bytes;
    return data;
}

void ReusingAllocator::give_back(void* data) {
    const std::scoped_lock lock(mutex_);
    const size_t bytes = size_of(data);
    used_bytes_ -= bytes;
    try {
        kept_.push_back(data);
        kept_bytes_ += bytes;
    } catch (const std::exception&) {  // no memory for the list
        free_block(*base_, data);
    }
}

/// The oldest first, until at most so much is kept.
void ReusingAllocator::release_beyond(size_t bytes) {
    auto end = kept_.begin();
    for (; kept_bytes_ > bytes; ++end) {
        kept_bytes_ -= size_of(*end);
        free_block(*base_, *end);
    }
    kept_.erase(kept_.begin(), end);
}

void ReusingAllocator::release() {
    const std::scoped_lock lock(mutex_);
    release_beyond(0);
    most_used_ = used_bytes_;
}

size_t ReusingAllocator::kept_bytes() const {
    const std::scoped_lock lock(mutex_);
    return kept_bytes_;
}

void reuse_cpu_memory() {
    c10::SetCPUAllocator(&ReusingAllocator::instance(), /*priority=*/1);
}

}  // namespace diffapple
