#include "diffapple/pipelines/guidance.h"

#include <ATen/ATen.h>

namespace diffapple {

at::Tensor Guidance::apply(const at::Tensor& both) const {
    const auto halves = both.chunk(2);
    const at::Tensor &negative = halves[0], &positive = halves[1];
    auto guided = positive.sub(negative).mul_(scale).add_(negative);
    if (rescale == 0.0) return guided;
    // Eq. 14 to 16: the standard deviation of each prediction is brought back to that of the positive one.
    const auto deviation = [](const at::Tensor& x) {
        return at::std(x, at::IntArrayRef{1, 2, 3}, /*unbiased=*/true, /*keepdim=*/true);
    };
    const auto rescaled = guided.mul(deviation(positive).div_(deviation(guided)));
    return rescaled.mul_(rescale).add_(guided, 1 - rescale);
}

}  // namespace diffapple
