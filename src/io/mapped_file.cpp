// Mapping by POSIX mmap.
#include "mapped_file.h"

#include <sys/mman.h>

#include "file_descriptor.h"

namespace diffapple {

MappedFile::MappedFile(const std::filesystem::path& path) {
    const FileDescriptor file = FileDescriptor::open_for_reading(path);
    size_ = static_cast<uint64_t>(file.status(path).st_size);
    if (size_ == 0) return;  // an empty range cannot be mapped
    void* address = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, file.get(), 0);
    if (address == MAP_FAILED) fail(path.string(), ": cannot map into memory: ", std::strerror(errno));
    data_ = static_cast<std::byte*>(address);
}

MappedFile::~MappedFile() {
    if (data_) ::munmap(data_, size_);
}

void MappedFile::release(uint64_t offset, uint64_t bytes) const {
    const auto page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
    const uint64_t begin = (offset + page - 1) / page * page;
    const uint64_t end = (offset + bytes) / page * page;
    // Only a hint: where it fails, the pages just stay in memory.
    if (begin < end) ::madvise(data_ + begin, end - begin, MADV_DONTNEED);
}

}  // namespace diffapple
