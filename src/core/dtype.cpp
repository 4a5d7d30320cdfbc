#include "diffapple/core/dtype.h"

#include "diffapple/core/error.h"
#include "diffapple/core/nearest.h"

namespace diffapple {

c10::ScalarType find_dtype(const std::string& name, c10::Device device) {
    if (name == "auto") return device.is_cpu() ? c10::kFloat : c10::kHalf;
    if (name == "fp32") return c10::kFloat;
    if (name == "bf16") return c10::kBFloat16;
    if (name == "fp16") {
        if (device.is_cpu())
            fail_usage("--dtype fp16: the CPU has no fast fp16 arithmetic; use --dtype bf16 (half the memory) or fp32");
        return c10::kHalf;
    }
    fail_usage("--dtype '", name, "': must be auto, fp32, fp16 or bf16",
               did_you_mean(name, {"auto", "fp32", "fp16", "bf16"}));
}

std::string dtype_name(c10::ScalarType dtype) {
    switch (dtype) {
        case c10::kFloat:
            return "fp32";
        case c10::kHalf:
            return "fp16";
        case c10::kBFloat16:
            return "bf16";
        default:
            return c10::toString(dtype);
    }
}

}  // namespace diffapple
