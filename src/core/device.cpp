#include "diffapple/core/device.h"

#include <unistd.h>
#ifdef __APPLE__
#include <mach/mach.h>
#include <sys/resource.h>
#include <sys/sysctl.h>
#endif

#include <charconv>
#include <sstream>

#include "diffapple/core/error.h"
#include "diffapple/core/libtorch.h"
#include "diffapple/core/system_files.h"

namespace diffapple {
namespace {

/// The device, or an Error that says why this machine cannot use it.
c10::Device require(c10::DeviceType type, int index) {
    const int count = libtorch::device_count(type);
    const bool is_mps = type == c10::kMPS;
    if (count == 0 && is_mps)
        fail(
            "--device mps: there is no Metal device here (it needs Apple silicon, macOS 14 or later, and a LibTorch "
            "built with mps); use --device cpu, or auto");
    if (count == 0)
        fail(
            "--device cuda: there is no CUDA device here, or LibTorch was built without CUDA (scripts/setup.sh --cuda "
            "installs one with it); use --device cpu, or auto");
    if (index >= count)
        fail("--device cuda:", index, ": this machine has only ", count, " CUDA device", count == 1 ? "" : "s",
             "; the last is cuda:", count - 1);
    return is_mps ? c10::Device(type) : c10::Device(type, static_cast<c10::DeviceIndex>(index));
}

int parse_cuda_index(const std::string& name) {
    if (name == "cuda") return 0;
    const char* const begin = name.data() + 5;
    const char* const end = name.data() + name.size();
    int index = -1;
    const auto [parsed, error] = std::from_chars(begin, end, index);
    if (error != std::errc() || parsed != end || index < 0 || index > 127)
        fail_usage("--device '", name, "' is unknown; use auto, mps, cuda, cuda:N or cpu");
    return index;
}

std::string processor_name() {
#ifdef __APPLE__
    char name[256] = {};
    size_t size = sizeof(name) - 1;
    if (sysctlbyname("machdep.cpu.brand_string", name, &size, nullptr, 0) == 0) return name;
#else
    std::istringstream cpuinfo(read_system_file("/proc/cpuinfo"));
    for (std::string line; std::getline(cpuinfo, line);)
        if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
#endif
    return "CPU";
}

DeviceInfo describe(c10::Device device) {
    const libtorch::Memory memory = libtorch::memory(device);
    DeviceInfo info{.name = device_name(device), .available = true, .description = libtorch::device_model(device)};
    info.total_memory = memory.total;
    info.free_memory = memory.free;
    info.recommended_memory = memory.recommended;
    return info;
}

/// Highest resident memory of this process so far, in bytes.
uint64_t peak_resident_memory() {
#ifdef __APPLE__
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return static_cast<uint64_t>(usage.ru_maxrss);
#else
    // getrusage's mark outlives exec: it would be that of a large parent.
    std::istringstream status(read_system_file("/proc/self/status"));
    for (std::string key; status >> key;) {
        uint64_t kibibytes = 0;
        if (key == "VmHWM:" && status >> kibibytes) return kibibytes * 1024;
    }
    return 0;
#endif
}

}  // namespace

c10::Device find_device(const std::string& name) {
    if (name == "cpu") return c10::Device(c10::kCPU);
    if (name == "mps") return require(c10::kMPS, 0);
    if (name == "cuda" || name.starts_with("cuda:")) return require(c10::kCUDA, parse_cuda_index(name));
    if (name != "auto") fail_usage("--device '", name, "' is unknown; use auto, mps, cuda, cuda:N or cpu");
    if (libtorch::device_count(c10::kMPS) > 0) return require(c10::kMPS, 0);
    if (libtorch::device_count(c10::kCUDA) > 0) return require(c10::kCUDA, 0);
    return c10::Device(c10::kCPU);
}

std::string device_name(c10::Device device) {
    if (device.is_cuda()) return concat("cuda:", device.has_index() ? static_cast<int>(device.index()) : 0);
    return device.is_mps() ? "mps" : "cpu";
}

std::string device_model(c10::Device device) {
    return device.is_cpu() ? processor_name() : libtorch::device_model(device);
}

void synchronize(c10::Device device) {
    if (!device.is_cpu()) libtorch::synchronize(device);
}

void empty_cache(c10::Device device) {
    if (!device.is_cpu()) libtorch::empty_cache(device);
}

c10::MemoryFormat image_memory_format(c10::Device device) {
    return device.is_mps() ? c10::MemoryFormat::Contiguous : c10::MemoryFormat::ChannelsLast;
}

std::vector<DeviceInfo> list_devices() {
    std::vector<DeviceInfo> devices;
    if (libtorch::device_count(c10::kMPS) > 0)
        devices.push_back(describe(c10::Device(c10::kMPS)));
    else
        devices.push_back({.name = "mps", .description = "not here: needs Apple silicon and macOS 14 or later"});
    const int cuda_devices = libtorch::device_count(c10::kCUDA);
    for (int index = 0; index < cuda_devices; ++index)
        devices.push_back(describe(c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(index))));
    if (cuda_devices == 0)
        devices.push_back({.name = "cuda", .description = "not here: no CUDA device, or a LibTorch without CUDA"});
    DeviceInfo cpu{.name = "cpu", .available = true, .description = processor_name()};
    cpu.total_memory = physical_memory();
    cpu.free_memory = available_memory();
    devices.push_back(cpu);
    return devices;
}

uint64_t peak_memory(c10::Device device) {
    if (!device.is_cpu())
        if (const auto peak = libtorch::memory(device).peak) return *peak;
    return peak_resident_memory();
}

uint64_t physical_memory() {
    return static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

uint64_t available_memory() {
#ifdef __APPLE__
    vm_statistics64_data_t statistics{};
    mach_msg_type_number_t count = HOST_VM_INFO64_COUNT;
    if (host_statistics64(mach_host_self(), HOST_VM_INFO64, reinterpret_cast<host_info64_t>(&statistics), &count) != 0)
        return physical_memory();
    const uint64_t pages = statistics.free_count + statistics.inactive_count + statistics.purgeable_count;
    return pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
#else
    std::istringstream meminfo(read_system_file("/proc/meminfo"));
    for (std::string key, unit; meminfo >> key;) {
        uint64_t kibibytes = 0;
        meminfo >> kibibytes >> unit;
        if (key == "MemAvailable:") return kibibytes * 1024;
    }
    return physical_memory();
#endif
}

}  // namespace diffapple
