// What kernels on Google Highway's vectors share, included once for each instruction set. Nothing of the standard
// library's inline functions is used: compiled here, with this set's instructions, they could become those of the whole
// program.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace diffapple::nn {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;
using Vector = hn::Vec<Floats>;
constexpr size_t kLanes = HWY_LANES(float);

/// How many parts of a size it takes.
constexpr size_t parts_of(size_t x, size_t size) {
    return (x + size - 1) / size;
}

constexpr float kLog2E = 1.44269504F;

/// 2^f on [-1/2, 1/2] to 2e-9 (minimax, from the highest power).
struct PreciseExponential {
    static constexpr float kPowersOf2[] = {
        1.5345812e-4F, 1.33999314e-3F, 9.61848896e-3F, 5.55032878e-2F, 0.240226469F, 0.693147206F, 1.0F};
};

/// 2^x for x <= 127; NaN stays NaN. Adding 1.5 * 2^23 rounds to an integer and leaves it in the lowest bits, from where
/// it is added to the exponent.
template <class Exponential>
HWY_INLINE Vector power_of_2(Vector x) {
    const Floats d;
    const hn::RebindToSigned<Floats> integers;
    const Vector magic = hn::Set(d, 12582912.0F);
    x = hn::Max(hn::Set(d, -126.0F), x);  // in this order: of a NaN, the second is taken
    const Vector shifted = hn::Add(x, magic);
    const Vector fraction = hn::Sub(x, hn::Sub(shifted, magic));
    Vector power = hn::Set(d, Exponential::kPowersOf2[0]);
    HWY_UNROLL(8)
    for (size_t i = 1; i < sizeof(Exponential::kPowersOf2) / sizeof(float); ++i)
        power = hn::MulAdd(power, fraction, hn::Set(d, Exponential::kPowersOf2[i]));
    return hn::BitCast(d, hn::Add(hn::BitCast(integers, power), hn::ShiftLeft<23>(hn::BitCast(integers, shifted))));
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace diffapple::nn
HWY_AFTER_NAMESPACE();
