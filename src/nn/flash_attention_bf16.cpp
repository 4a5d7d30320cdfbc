// The bf16 kernel of flash_attention.h, for x86 processors with AVX512-BF16 (Intel from Cooper Lake, AMD from Zen 4
// on). CMake compiles this file alone for them: Highway names the instructions only from 1.1 on, which Debian 12 and
// Ubuntu 24.04 do not have. Nothing here may be called on another processor: flash_attention.cpp asks it.
#include "flash_attention.h"

#if defined(__AVX512BF16__)
#define HWY_COMPILE_ONLY_STATIC
#include <immintrin.h>

#include "flash_attention-inl.h"

HWY_BEFORE_NAMESPACE();
namespace diffapple::nn {
namespace HWY_NAMESPACE {
namespace {

/// bf16, two a unit.
struct Bf16 {
    using Element = uint16_t;
    static constexpr size_t kPerUnit = 2;

    static HWY_INLINE Vector multiply_add(Vector a, Vector b, Vector sum) {
        return Vector{_mm512_dpbf16_ps(sum.raw, reinterpret_cast<__m512bh>(a.raw), reinterpret_cast<__m512bh>(b.raw))};
    }
    static HWY_INLINE void store_weights(Vector first, Vector second, float* to) {
        _mm512_storeu_si512(to, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(second.raw, first.raw)));
    }
    /// To the nearest, half to even.
    static HWY_INLINE Element from_float(float x) {
        uint32_t bits;
        memcpy(&bits, &x, sizeof bits);
        if (x != x) return 0x7FC0;
        return static_cast<Element>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
    }

    /// 2^f on [-1/2, 1/2] to 7.5e-5 (minimax, from the highest power): bf16 rounds to 2e-3.
    static constexpr float kPowersOf2[] = {5.51716688e-2F, 0.242611133F, 0.693260986F, 0.999928073F};
};

}  // namespace

const FlashKernel* flash_bf16() {
    static constexpr FlashKernel kernel = make_kernel<Bf16>();
    return &kernel;
}

}  // namespace HWY_NAMESPACE

const FlashKernel* flash_kernel_avx512_bf16() {
    return HWY_NAMESPACE::flash_bf16();
}

}  // namespace diffapple::nn
HWY_AFTER_NAMESPACE();

#else

const diffapple::nn::FlashKernel* diffapple::nn::flash_kernel_avx512_bf16() {
    return nullptr;
}

#endif
