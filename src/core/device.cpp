#include "diffapple/core/device.h"

#include <unistd.h>
#ifdef __APPLE__
#include <mach/mach.h>
#include <sys/sysctl.h>
#endif

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <sstream>
#include <string_view>

#include "diffapple/core/cpu_memory.h"
#include "diffapple/core/error.h"
#include "diffapple/core/libtorch.h"
#include "diffapple/core/nearest.h"
#include "diffapple/core/numbers.h"
#include "diffapple/core/system_files.h"

namespace diffapple {
namespace {

bool is_off(const char* variable) {
    const char* const value = std::getenv(variable);
    return value && std::string_view(value) == "off";
}

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
        fail("--device cuda:", index, ": this machine has only ", counted(count, "CUDA device"),
             "; the last is cuda:", count - 1);
    return is_mps ? c10::Device(type) : c10::Device(type, static_cast<c10::DeviceIndex>(index));
}

[[noreturn]] void refuse_device(const std::string& name) {
    fail_usage("--device '", name, "': must be auto, mps, cuda, cuda:N or cpu",
               did_you_mean(name, {"auto", "mps", "cuda", "cpu"}));
}

int parse_cuda_index(const std::string& name) {
    if (name == "cuda") return 0;
    const char* const begin = name.data() + 5;
    const char* const end = name.data() + name.size();
    int index = -1;
    const auto [parsed, error] = std::from_chars(begin, end, index);
    if (error != std::errc() || parsed != end || index < 0 || index > 127) refuse_device(name);
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
    // Metal knows this process alone: what other programs hold of the same memory counts, too.
    if (device.is_mps() && memory.free) info.free_memory = std::min(*memory.free, available_memory());
    info.recommended_memory = memory.recommended;
    return info;
}

/// Highest resident memory of this process so far, in bytes.
uint64_t peak_resident_memory() {
#ifdef __APPLE__
    task_vm_info_data_t info{};
    mach_msg_type_number_t count = TASK_VM_INFO_COUNT;
    const auto result = task_info(mach_task_self(), TASK_VM_INFO, reinterpret_cast<task_info_t>(&info), &count);
    return result == KERN_SUCCESS && info.ledger_phys_footprint_peak > 0
               ? static_cast<uint64_t>(info.ledger_phys_footprint_peak)
               : 0;
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
    if (name != "auto") refuse_device(name);
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

void commit(c10::Device device) {
    static const bool wanted = !is_off("DIFFAPPLE_MPS_COMMIT");
    if (device.is_mps() && wanted) libtorch::commit(device);
}

QueueMark::QueueMark(c10::Device device) : event_(device.is_cpu() ? nullptr : libtorch::record_event(device)) {}

bool QueueMark::passed() const {
    return !event_ || libtorch::has_passed(*event_);
}

void empty_cache(c10::Device device) {
    if (device.is_cpu())
        ReusingAllocator::instance().release();
    else
        libtorch::empty_cache(device);
}

void end_stage(c10::Device device) {
    if (!device.is_cuda()) empty_cache(device);
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
    const uint64_t anonymous = statistics.internal_page_count, purgeable = statistics.purgeable_count;
    const uint64_t pages =
        statistics.wire_count + statistics.compressor_page_count + (anonymous - std::min(anonymous, purgeable));
    const uint64_t used = pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
    return physical_memory() - std::min(physical_memory(), used);
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
