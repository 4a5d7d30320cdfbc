// Weights of 8 bits: symmetric quantisation with one scale per output channel (Jacob et al. 2018, "Quantization and
// training of neural networks for efficient integer-arithmetic-only inference", section 2). Weights only: a layer's
// weight is brought back to the dtype of computation at each use.
#pragma once

#include <ATen/core/Tensor.h>

namespace diffapple::nn {

/// weight = values * scales, channel by channel.
struct QuantisedWeight {
    at::Tensor values;  ///< int8, the weight's shape [out, ...] and layout
    at::Tensor scales;  ///< [out, 1, ...], as many dimensions as the weight, in the dtype of computation
};

/// Whether the weight is large enough for memory to be gained: the layers at a model's ends, which see or make a few
/// channels, stay as they are.
bool is_worth_quantising(at::IntArrayRef weight_shape);

/// Nearest values in -127..127. A scale is rounded to `dtype` before it is used, so that its rounding costs nothing.
QuantisedWeight quantise(const at::Tensor& weight, c10::ScalarType dtype);

/// In the dtype of the scales.
at::Tensor dequantise(const QuantisedWeight& weight);

}  // namespace diffapple::nn
