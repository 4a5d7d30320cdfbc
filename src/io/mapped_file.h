// A whole file, open for reading and mapped into memory. Private to the io layer.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>

#include "file_descriptor.h"

namespace diffapple {

/// A mapped range of memory, in a table that the handler of SIGBUS finds it in.
struct MappedRange {
    std::atomic<uintptr_t> begin = 0;  ///< 0: the place in the table is free
    std::atomic<uint64_t> bytes = 0;
    std::atomic<uint64_t> lost_from = UINT64_MAX;  ///< the first byte that could not be read
};

class MappedFile {
public:
    /// Throws Error naming the file when it cannot be opened or is not a regular file.
    explicit MappedFile(const std::filesystem::path& path);
    ~MappedFile();
    MappedFile(const MappedFile&) = delete;
    MappedFile& operator=(const MappedFile&) = delete;

    const std::byte* data() const { return data_; }
    uint64_t size() const { return size_; }

    /// Reads a part of the file into memory of the caller's, not by way of the mapped pages. Throws Error where it got
    /// shorter or its disk fails.
    void read(uint64_t offset, void* destination, uint64_t bytes) const;

    /// Tells the system that the whole pages inside this range are not needed in memory for now.
    void release(uint64_t offset, uint64_t bytes) const;

    /// Where the file gets shorter or its disk fails, what is lost reads as zeros, from then on, instead of ending the
    /// process by SIGBUS. Whoever has read must ask afterwards: throws Error where that has happened. (No more than
    /// 1024 files at a time are watched so.)
    void require_intact() const;

    /// The result of `step`, which reads the file; of a file that got shorter meanwhile, that is the error.
    template <typename Step>
    auto intact(const Step& step) const {
        try {
            auto result = step();
            require_intact();
            return result;
        } catch (const std::exception&) {
            require_intact();
            throw;
        }
    }

private:
    [[noreturn]] void fail_from(uint64_t byte) const;

    std::filesystem::path path_;
    FileDescriptor file_;
    std::byte* data_ = nullptr;
    uint64_t size_ = 0;
    MappedRange* range_ = nullptr;
};

}  // namespace diffapple
