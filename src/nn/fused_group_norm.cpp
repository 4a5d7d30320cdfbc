// The kernels of fused_group_norm.h, compiled for every instruction set that the compiler knows.
#include "fused_group_norm.h"

#if defined(__APPLE__)
#define HWY_COMPILE_ONLY_STATIC
#endif
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "fused_group_norm.cpp"
#include <hwy/foreach_target.h>
// After the line above: it includes this file once for each instruction set.
#include "vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace diffapple::nn {
namespace HWY_NAMESPACE {
namespace {

struct Fp32Values {
    using Element = float;
    static HWY_INLINE Vector load(const float* from) { return hn::LoadU(Floats(), from); }
    static HWY_INLINE void store(Vector values, float* to) { hn::StoreU(values, Floats(), to); }
};

/// The upper halves of fp32 values, on any processor.
struct Bf16Values {
    using Element = uint16_t;
    using Halves = hn::Rebind<uint16_t, Floats>;
    using Bits = hn::RebindToUnsigned<Floats>;

    static HWY_INLINE Vector load(const uint16_t* from) {
        return hn::BitCast(Floats(), hn::ShiftLeft<16>(hn::PromoteTo(Bits(), hn::LoadU(Halves(), from))));
    }
    /// To the nearest, half to even. (A NaN whose lower half is 0 stays one: all that come from bf16.)
    static HWY_INLINE void store(Vector values, uint16_t* to) {
        const Bits d;
        const auto bits = hn::BitCast(d, values);
        const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(d, 1));
        const auto rounded = hn::ShiftRight<16>(hn::Add(hn::Add(bits, odd), hn::Set(d, 0x7FFF)));
        hn::StoreU(hn::DemoteTo(Halves(), hn::BitCast(hn::RebindToSigned<Floats>(), rounded)), Halves(), to);
    }
};

/// Of `vectors` x kLanes channels. Distances are summed from the first pixel's values, so that a mean far from 0 costs
/// no precision.
template <class Values, size_t vectors>
HWY_INLINE void measure_channels(const typename Values::Element* image, int64_t row, int64_t pixels, float* means,
                                 float* squares) {
    const Floats d;
    Vector shift[vectors], sum[vectors], square[vectors];
    for (size_t v = 0; v < vectors; ++v) {
        shift[v] = Values::load(image + v * kLanes);
        sum[v] = square[v] = hn::Zero(d);
    }
    for (int64_t pixel = 1; pixel < pixels; ++pixel) {
        image += row;
        HWY_UNROLL(4)
        for (size_t v = 0; v < vectors; ++v) {
            const Vector distance = hn::Sub(Values::load(image + v * kLanes), shift[v]);
            sum[v] = hn::Add(sum[v], distance);
            square[v] = hn::MulAdd(distance, distance, square[v]);
        }
    }
    const Vector inverse = hn::Set(d, 1 / static_cast<float>(pixels));
    for (size_t v = 0; v < vectors; ++v) {
        const Vector mean = hn::Mul(sum[v], inverse);
        hn::StoreU(hn::Add(shift[v], mean), d, means + v * kLanes);
        hn::StoreU(hn::NegMulAdd(sum[v], mean, square[v]), d, squares + v * kLanes);
    }
}

template <class Values>
void measure(const ImageBlocks& blocks, const void* image, float* moments, int64_t task) {
    constexpr int64_t lanes = kLanes, at_once = 4 * lanes;
    const auto* const from = static_cast<const typename Values::Element*>(image) + blocks.offset(task);
    const int64_t channels = blocks.channels, pixels = blocks.pixels_of(task);
    float *const means = moments, *const squares = moments + channels;
    int64_t c = 0;
    for (; c + at_once <= channels; c += at_once)
        measure_channels<Values, 4>(from + c, channels, pixels, means + c, squares + c);
    for (; c < channels; c += lanes) {
        const int64_t begin = c + lanes <= channels ? c : channels - lanes;  // the last vector: some once more
        measure_channels<Values, 1>(from + begin, channels, pixels, means + begin, squares + begin);
    }
}

/// x / (1 + e^-x)
HWY_INLINE Vector silu_of(Vector x) {
    const Floats d;
    const Vector power = power_of_2<PreciseExponential>(hn::Min(hn::Set(d, 127.0F), hn::Mul(x, hn::Set(d, -kLog2E))));
    return hn::Div(x, hn::Add(hn::Set(d, 1.0F), power));
}

template <class Values, bool silu>
HWY_INLINE Vector normalised(const typename Values::Element* pixel, const GroupNormFactors& factors, int64_t channel) {
    const Floats d;
    const Vector x = hn::Sub(Values::load(pixel + channel), hn::LoadU(d, factors.centre + channel));
    const Vector y = hn::MulAdd(x, hn::LoadU(d, factors.scale + channel), hn::LoadU(d, factors.offset + channel));
    return silu ? silu_of(y) : y;
}

template <class Values, bool silu>
HWY_INLINE void normalise_block(const ImageBlocks& blocks, const void* image, const GroupNormFactors& factors,
                                void* result, int64_t task) {
    const int64_t channels = blocks.channels, last = channels - static_cast<int64_t>(kLanes);
    const auto* from = static_cast<const typename Values::Element*>(image) + blocks.offset(task);
    auto* to = static_cast<typename Values::Element*>(result) + blocks.offset(task);
    for (int64_t pixel = 0; pixel < blocks.pixels_of(task); ++pixel, from += channels, to += channels) {
        // Before its first channels are overwritten, where `result` is `image`.
        const Vector end = normalised<Values, silu>(from, factors, last);
        for (int64_t c = 0; c < last; c += static_cast<int64_t>(kLanes))
            Values::store(normalised<Values, silu>(from, factors, c), to + c);
        Values::store(end, to + last);
    }
}

template <class Values>
void normalise(const ImageBlocks& blocks, const void* image, const GroupNormFactors& factors, bool silu, void* result,
               int64_t task) {
    if (silu)
        normalise_block<Values, true>(blocks, image, factors, result, task);
    else
        normalise_block<Values, false>(blocks, image, factors, result, task);
}

template <class Values>
constexpr GroupNormKernel make_kernel() {
    return {static_cast<int64_t>(kLanes), measure<Values>, normalise<Values>};
}

}  // namespace

const GroupNormKernel* group_norm_fp32() {
    static constexpr GroupNormKernel kernel = make_kernel<Fp32Values>();
    return &kernel;
}

const GroupNormKernel* group_norm_bf16() {
    static constexpr GroupNormKernel kernel = make_kernel<Bf16Values>();
    return &kernel;
}

}  // namespace HWY_NAMESPACE
}  // namespace diffapple::nn
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace diffapple::nn {

HWY_EXPORT(group_norm_fp32);
HWY_EXPORT(group_norm_bf16);

const GroupNormKernel& group_norm_kernel_fp32() {
    return *HWY_DYNAMIC_DISPATCH(group_norm_fp32)();
}

const GroupNormKernel& group_norm_kernel_bf16() {
    return *HWY_DYNAMIC_DISPATCH(group_norm_bf16)();
}

}  // namespace diffapple::nn
#endif
