// Floating-point types by their command-line names, and which are good for which device.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <string>

namespace diffapple {

/// Resolves "auto", "fp32", "fp16" or "bf16" for a device: auto is fp16 on mps and cuda, fp32 on cpu.
/// Throws Error (exit code 2) for another name, and for fp16 on the CPU, which has no fast path there.
c10::ScalarType find_dtype(const std::string& name, c10::Device device);

/// "fp32", "fp16", "bf16"; other types by LibTorch's own name.
std::string dtype_name(c10::ScalarType dtype);

}  // namespace diffapple
