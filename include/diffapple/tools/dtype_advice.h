// What each floating-point type is good for on a device.
#pragma once

#include <c10/core/Device.h>

#include <string>
#include <vector>

namespace diffapple {

/// One type on one device, in a phrase that `diffapple devices` shows.
struct DtypeAdvice {
    std::string dtype;  ///< "fp32", "fp16", "bf16"
    bool usable;        ///< false: the program refuses it there
    std::string good_for;
};

/// Advice on fp32, fp16 and bf16, in this order. Looks at the processor's features; measures nothing.
std::vector<DtypeAdvice> dtype_advice(c10::Device device);

/// The vector instructions that LibTorch uses on this processor ("AVX512", "AVX2", "DEFAULT", ...).
std::string cpu_vector_instructions();

}  // namespace diffapple
