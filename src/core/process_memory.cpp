#include "diffapple/core/process_memory.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <sstream>
#include <string>
#ifdef __APPLE__
#include <mach/mach.h>
#include <sys/sysctl.h>
#elif defined(__GLIBC__)
#include <malloc.h>
#endif

#include "diffapple/core/system_files.h"

namespace diffapple {
namespace {

#ifndef __APPLE__

/// A value of a file of "key: number kB" lines, in bytes; 0 when it is not there.
uint64_t read_kibibytes(const char* file, const std::string& key) {
    std::istringstream stream(read_system_file(file));
    for (std::string line; std::getline(stream, line);)
        if (line.starts_with(key)) return std::stoull(line.substr(key.size())) * 1024;
    return 0;
}

/// Sets VmHWM back to VmRSS (proc(5), clear_refs). True when the kernel did.
bool reset_peak() {
    std::ofstream file("/proc/self/clear_refs");
    return static_cast<bool>(file << '5' << std::flush) && read_kibibytes("/proc/self/status", "VmHWM:") > 0;
}

uint64_t kernel_peak() {
    return read_kibibytes("/proc/self/status", "VmHWM:");
}

#else

/// phys_footprint is what Activity Monitor calls memory: with Metal's, without the pages of mapped files. The resident
/// size is the other way round.
task_vm_info_data_t task_memory() {
    task_vm_info_data_t info{};
    mach_msg_type_number_t count = TASK_VM_INFO_COUNT;
    const auto result = task_info(mach_task_self(), TASK_VM_INFO, reinterpret_cast<task_info_t>(&info), &count);
    return result == KERN_SUCCESS ? info : task_vm_info_data_t{};
}

bool reset_peak() {
    return false;
}
/// Of the process's whole life.
uint64_t kernel_peak() {
    const int64_t peak = task_memory().ledger_phys_footprint_peak;
    return peak > 0 ? static_cast<uint64_t>(peak) : 0;
}

#endif

}  // namespace

#ifdef __APPLE__

uint64_t resident_memory() {
    return task_memory().phys_footprint;
}

uint64_t swap_used() {
    xsw_usage usage{};
    size_t size = sizeof(usage);
    return sysctlbyname("vm.swapusage", &usage, &size, nullptr, 0) == 0 ? usage.xsu_used : 0;
}

void trim_memory() {}

#else

uint64_t resident_memory() {
    return read_kibibytes("/proc/self/status", "VmRSS:");
}

uint64_t swap_used() {
    return read_kibibytes("/proc/meminfo", "SwapTotal:") - read_kibibytes("/proc/meminfo", "SwapFree:");
}

void trim_memory() {
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

#endif

#ifdef __GLIBC__

SeparateBlocks::SeparateBlocks() {
    mallopt(M_MMAP_THRESHOLD, 64 << 10);
}

// What glibc arrives at by itself once large blocks have been freed, before a first mallopt ends its own adjustment.
SeparateBlocks::~SeparateBlocks() {
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
}

#else

SeparateBlocks::SeparateBlocks() = default;
SeparateBlocks::~SeparateBlocks() = default;

#endif

ResidentPeak::ResidentPeak() : kernel_counts_(reset_peak()), peak_before_(kernel_peak()) {
    sampled_ = resident_memory();
    if (!kernel_counts_) sampler_ = std::thread([this] { sample(); });
}

ResidentPeak::~ResidentPeak() {
    stopped_ = true;
    if (sampler_.joinable()) sampler_.join();
}

void ResidentPeak::sample() {
    constexpr std::chrono::milliseconds interval{5};
    for (; !stopped_; std::this_thread::sleep_for(interval)) sampled_ = std::max(sampled_.load(), resident_memory());
}

uint64_t ResidentPeak::bytes() const {
    const uint64_t peak = kernel_peak();
    // A mark that cannot be set back tells the truth where it has risen.
    if (kernel_counts_ || peak > peak_before_) return peak;
    return std::max(sampled_.load(), resident_memory());
}

}  // namespace diffapple
