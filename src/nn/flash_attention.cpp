// The fp32 kernel of flash_attention.h, compiled for every instruction set that the compiler knows, and the choice
// among them. (Apple's processors have one, which needs no choice and no library.)
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
    static const FlashKernel kernel = make_kernel<Fp32>();
    return &kernel;
}

}  // namespace diffapple::nn::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace diffapple::nn {

HWY_EXPORT(flash_fp32);

const FlashKernel& flash_kernel_fp32() {
    return *HWY_DYNAMIC_DISPATCH(flash_fp32)();
}

}  // namespace diffapple::nn
#endif
