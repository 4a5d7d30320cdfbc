#include "diffapple/tools/dtype_advice.h"

#include <ATen/Version.h>
#ifdef __APPLE__
#include <sys/sysctl.h>
#else
#include <sstream>
#endif

#include "diffapple/core/system_files.h"

namespace diffapple {
namespace {

/// True where the processor multiplies bf16 itself: Apple M2 and later, AVX512-BF16 or AMX, Arm's bf16.
bool cpu_multiplies_bf16() {
#ifdef __APPLE__
    int present = 0;
    size_t size = sizeof(present);
    return sysctlbyname("hw.optional.arm.FEAT_BF16", &present, &size, nullptr, 0) == 0 && present != 0;
#else
    std::istringstream cpuinfo(read_system_file("/proc/cpuinfo"));
    for (std::string line; std::getline(cpuinfo, line);) {
        if (!line.starts_with("flags") && !line.starts_with("Features")) continue;
        std::istringstream words(line);
        for (std::string word; words >> word;)
            if (word == "avx512_bf16" || word == "amx_bf16" || word == "bf16") return true;
        return false;
    }
    return false;
#endif
}

std::vector<DtypeAdvice> cpu_advice() {
    const std::string bf16 = cpu_multiplies_bf16() ? "half the memory, and fast: this processor multiplies bf16 itself"
                                                   : "half the memory, but slow: this processor has no bf16 arithmetic";
    return {{"fp32", true, "the default; the pixels of diffusers"},
            {"fp16", false, "refused: no fast path on a CPU; use bf16"},
            {"bf16", true, bf16}};
}

}  // namespace

std::vector<DtypeAdvice> dtype_advice(c10::Device device) {
    if (device.is_cpu()) return cpu_advice();
    const std::string bf16 =
        device.is_mps() ? "half the memory, a wider range but a coarser grid than fp16; fast from M3 on: the GPUs of "
                          "M1 and M2 have no bf16 arithmetic"
                        : "half the memory, a wider range but a coarser grid than fp16; fast from "
                          "compute capability 8.0 on";
    return {{"fp32", true, "the closest to the CPU's pixels; twice the memory, slower"},
            {"fp16", true, "the default: half the memory, fastest"},
            {"bf16", true, bf16}};
}

std::string cpu_vector_instructions() {
    return at::get_cpu_capability();
}

}  // namespace diffapple
