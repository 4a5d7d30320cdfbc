// A whole file mapped read-only into memory. Private to the io layer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>

namespace diffapple {

class MappedFile {
public:
    /// Throws Error naming the file when it cannot be opened or is not a regular file.
    explicit MappedFile(const std::filesystem::path& path);
    ~MappedFile();
    MappedFile(const MappedFile&) = delete;
    MappedFile& operator=(const MappedFile&) = delete;

    const std::byte* data() const { return data_; }
    uint64_t size() const { return size_; }

    /// Tells the system that the whole pages inside this range are not needed in memory for now.
    void release(uint64_t offset, uint64_t bytes) const;

private:
    std::byte* data_ = nullptr;
    uint64_t size_ = 0;
};

}  // namespace diffapple
