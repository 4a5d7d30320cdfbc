// Mapping by POSIX mmap. The system's answer to reading a page that the file has no longer is a signal, SIGBUS: a
// handler puts empty memory into its place, so that the reader goes on to where it asks whether all was well. The table
// of mapped ranges is what a signal handler can reach: global, of fixed size, without locks.
#include "mapped_file.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <csignal>

namespace diffapple {
namespace {

std::array<MappedRange, 1024> mapped_ranges;
constexpr uintptr_t taken = 1;  // as a range's begin: its other members are not set yet

uint64_t page_size() {
    static const auto size = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
    return size;
}

/// Replaces the rest of the range, from the page of this address on, by empty memory.
bool replace_lost_pages(MappedRange& range, uintptr_t begin, uintptr_t address) {
    const uint64_t from = (address - begin) / page_size() * page_size();
    void* const memory = ::mmap(reinterpret_cast<void*>(begin + from), range.bytes - from, PROT_READ,
                                MAP_PRIVATE | MAP_ANON | MAP_FIXED | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return false;
    uint64_t first = range.lost_from;
    while (from < first && !range.lost_from.compare_exchange_weak(first, from)) {
    }
    return true;
}

extern "C" void handle_bus_error(int signal, siginfo_t* info, void* /*context*/) {
    const int error = errno;
    const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
    bool replaced = false;
    for (MappedRange& range : mapped_ranges) {
        const uintptr_t begin = range.begin;
        if (begin > taken && address >= begin && address - begin < range.bytes)
            replaced = replace_lost_pages(range, begin, address);
    }
    errno = error;
    if (!replaced) std::signal(signal, SIG_DFL);  // no file of ours: the same fault again ends the process
}

bool install_bus_error_handler() {
    page_size();  // known before a signal asks
    struct sigaction action = {};
    action.sa_sigaction = handle_bus_error;
    action.sa_flags = SA_SIGINFO;
    sigemptyset(&action.sa_mask);
    return ::sigaction(SIGBUS, &action, nullptr) == 0;
}

/// A null pointer where the table is full.
MappedRange* watch(uintptr_t begin, uint64_t bytes) {
    static const bool installed = install_bus_error_handler();
    if (!installed) return nullptr;
    for (MappedRange& range : mapped_ranges) {
        uintptr_t unused = 0;
        if (!range.begin.compare_exchange_strong(unused, taken)) continue;
        range.bytes = bytes;
        range.lost_from = UINT64_MAX;
        range.begin = begin;
        return &range;
    }
    return nullptr;
}

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& path) : path_(path), file_(FileDescriptor::open_for_reading(path)) {
    size_ = static_cast<uint64_t>(file_.status(path).st_size);
    if (size_ == 0) return;  // an empty range cannot be mapped
    void* address = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, file_.get(), 0);
    if (address == MAP_FAILED) fail(path.string(), ": cannot map into memory: ", std::strerror(errno));
    data_ = static_cast<std::byte*>(address);
    range_ = watch(reinterpret_cast<uintptr_t>(address), size_);
}

MappedFile::~MappedFile() {
    if (range_) range_->begin = 0;
    if (data_) ::munmap(data_, size_);
}

void MappedFile::read(uint64_t offset, void* destination, uint64_t bytes) const {
    constexpr uint64_t most = 64 << 20;  // in one call; macOS refuses 2 GiB
    auto* const begin = static_cast<char*>(destination);
    for (uint64_t done = 0; done < bytes;) {
        const ssize_t count = uninterrupted([&] {
            return ::pread(file_.get(), begin + done, std::min(bytes - done, most), static_cast<off_t>(offset + done));
        });
        if (count <= 0) fail_from(offset + done);
        done += static_cast<uint64_t>(count);
    }
}

void MappedFile::release(uint64_t offset, uint64_t bytes) const {
    const uint64_t page = page_size();
    const uint64_t begin = (offset + page - 1) / page * page;
    const uint64_t end = (offset + bytes) / page * page;
    // Only a hint: where it fails, the pages just stay in memory.
    if (begin < end) ::madvise(data_ + begin, end - begin, MADV_DONTNEED);
}

void MappedFile::require_intact() const {
    const uint64_t lost = range_ ? range_->lost_from.load() : UINT64_MAX;
    if (lost < size_) fail_from(lost);
}

void MappedFile::fail_from(uint64_t byte) const {
    fail(path_.string(), ": cannot be read from byte ", byte,
         " on: it changed while it was read (is it still being written?), or its disk fails; start again");
}

}  // namespace diffapple
