#include "diffapple/nn/quantisation.h"

#include <ATen/ATen.h>

#include <limits>
#include <vector>

namespace diffapple::nn {
namespace {

constexpr double largest_value = 127;

}  // namespace

bool is_worth_quantising(at::IntArrayRef weight_shape) {
    constexpr int64_t fewest_channels = 16;
    return weight_shape.size() >= 2 && weight_shape[0] >= fewest_channels && weight_shape[1] >= fewest_channels;
}

QuantisedWeight quantise(const at::Tensor& weight, c10::ScalarType dtype) {
    std::vector<int64_t> inputs;
    for (int64_t dim = 1; dim < weight.dim(); ++dim) inputs.push_back(dim);
    const at::Tensor exact = weight.to(at::kFloat);
    at::Tensor scales = at::linalg_vector_norm(exact, std::numeric_limits<double>::infinity(), inputs, /*keepdim=*/true)
                            .div_(largest_value)
                            .to(dtype);
    scales.masked_fill_(scales == 0, 1);  // a channel of zeros
    at::Tensor values = exact.div(scales.to(at::kFloat)).round_().clamp_(-largest_value, largest_value).to(at::kChar);
    return {.values = values, .scales = scales};
}

at::Tensor dequantise(const QuantisedWeight& weight) {
    // GPUs convert while they multiply, in one pass over the weight; the CPU's kernels want one type.
    if (!weight.values.is_cpu()) return weight.values.mul(weight.scales);
    return weight.values.to(weight.scales.scalar_type()).mul_(weight.scales);
}

}  // namespace diffapple::nn
