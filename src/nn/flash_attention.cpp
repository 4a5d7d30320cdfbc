// The fp32 kernel of flash_attention.h, compiled for every instruction set that the compiler knows, and the choice
// of kernels. (Apple's processors have one set, which needs no choice and no library.)
#include "flash_attention.h"

#if defined(__APPLE__)
#define HWY_COMPILE_ONLY_STATIC
#endif
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "flash_attention.cpp"
#include <hwy/foreach_target.h>
// After the line above: it includes this file once for each instruction set.
#include "flash_attention-inl.h"

HWY_BEFORE_NAMESPACE();
namespace diffapple::nn::HWY_NAMESPACE {

const FlashKernel* flash_fp32() {
    static constexpr FlashKernel kernel = make_kernel<Fp32>();
    return &kernel;
}

}  // namespace diffapple::nn::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#if HWY_ARCH_X86
#include <cpuid.h>
#endif

namespace diffapple::nn {

HWY_EXPORT(flash_fp32);

const FlashKernel& flash_kernel_fp32() {
    return *HWY_DYNAMIC_DISPATCH(flash_fp32)();
}

#if HWY_ARCH_X86

namespace {

/// Not every compiler's __builtin_cpu_supports knows the name.
bool has_amx_bf16() {
    constexpr unsigned leaf = 7, amx_bf16 = 1U << 22;
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid_count(leaf, 0, &a, &b, &c, &d) != 0 && (d & amx_bf16) != 0;
}

}  // namespace

const FlashKernel* flash_kernel_bf16() {
    // Asked once: in a virtual machine, every cpuid goes by way of its host.
    static const bool chosen = __builtin_cpu_supports("avx512bf16") && !has_amx_bf16();
    return chosen ? flash_kernel_avx512_bf16() : nullptr;
}

#else

const FlashKernel* flash_kernel_bf16() {
    return nullptr;
}

#endif

}  // namespace diffapple::nn
#endif
