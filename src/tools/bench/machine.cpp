// The machine that a bench ran on.
#include <ATen/Parallel.h>
#include <sys/utsname.h>
#ifdef __APPLE__
#include <sys/sysctl.h>
#endif

#include <thread>

#include "diffapple/core/device.h"
#include "diffapple/core/error.h"
#include "diffapple/core/libtorch.h"
#include "diffapple/tools/bench/bench.h"

namespace diffapple {
namespace {

std::string system_name() {
    utsname names{};
    if (uname(&names) != 0) return "unknown";
    const std::string kernel = concat(names.sysname, ' ', names.release, ' ', names.machine);
#ifdef __APPLE__
    char release[64] = {};
    size_t size = sizeof(release) - 1;
    if (sysctlbyname("kern.osproductversion", release, &size, nullptr, 0) == 0)
        return concat("macOS ", release, " (", kernel, ')');
#endif
    return kernel;
}

}  // namespace

BenchMachine this_machine() {
    BenchMachine machine{.os = system_name(),
                         .libtorch = libtorch::version(),
                         .cores = static_cast<int64_t>(std::thread::hardware_concurrency()),
                         .threads = at::get_num_threads(),
                         .memory_bytes = physical_memory()};
    for (const auto& device : list_devices()) {
        if (device.name == "cpu")
            machine.cpu = device.description;
        else if (device.available && machine.gpu.empty())
            machine.gpu = device.description.empty() ? device.name : device.description;
    }
    return machine;
}

}  // namespace diffapple
