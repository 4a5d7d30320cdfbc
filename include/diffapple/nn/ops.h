// The few tensor operations that modules are written on: the one place where a device's fast path is chosen.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

namespace diffapple::nn {

/// Pointwise non-linearities by the names that configs use.
enum class Activation { none, silu, mish, gelu, gelu_tanh, quick_gelu, relu };

/// "silu" or "swish", "mish", "gelu" (exact, by erf), "quick_gelu" (x sigmoid(1.702 x), Hendrycks & Gimpel 2016),
/// "relu"; "gelu_new", "gelu_fast" and "gelu_pytorch_tanh" are one function, GELU by its approximation with tanh;
/// throws Error naming the choices otherwise.
Activation find_activation(const std::string& name);

namespace ops {

/// x W^T + b. x [..., in], weight [out, in], bias [out] or undefined; result [..., out].
at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

/// 2-D convolution (cross-correlation), zero padding. x [N, in, H, W], weight [out, in, k, k], bias [out].
at::Tensor conv2d(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, int64_t stride,
                  int64_t padding);

/// Weights packed for the device that they are on, and the same operations with them. True where that is faster.
bool packing_pays(const at::Tensor& weight);
/// For inputs like x; others work, too.
at::Tensor pack_linear(const at::Tensor& weight, const at::Tensor& x);
at::Tensor pack_conv2d(const at::Tensor& weight, int64_t stride, int64_t padding, const at::Tensor& x);
/// Plain weights work, too, with the same result.
at::Tensor packed_linear(const at::Tensor& x, const at::Tensor& packed_weight, const at::Tensor& bias);
at::Tensor packed_conv2d(const at::Tensor& x, const at::Tensor& packed_weight, const at::Tensor& bias, int64_t stride,
                         int64_t padding);

/// Group normalisation (Wu & He 2018) followed by an activation. x [N, C, H, W]; weight, bias [C]. The storage of an
/// `x` that was given away (std::move) may be reused for the result.
at::Tensor group_norm(at::Tensor x, int64_t groups, const at::Tensor& weight, const at::Tensor& bias, double eps,
                      Activation activation = Activation::none);

/// Layer normalisation (Ba et al. 2016) over the last dimension. x [..., C]; weight, bias [C].
at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double eps);

/// Applies the activation; the argument's storage is reused for the result.
at::Tensor activate(at::Tensor x, Activation activation);

/// Softmax(Q K^T / sqrt(d)) V (Vaswani et al. 2017, eq. 1) over `heads` heads.
/// query [N, L, heads * d], key and value [N, S, heads * d]; result [N, L, heads * d]. A mask, [L, S] in the dtype of
/// the query, is added to the products before the softmax. With `upcast`, fp16 inputs are computed with in fp32, for
/// models whose products overflow fp16 (SD v2.1).
at::Tensor attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, int64_t heads,
                     const at::Tensor& mask = {}, bool upcast = false);

/// Keys or values [N, S, heads * d] for many calls of attention, which takes them so, too: where its fused kernel wants
/// larger heads (mps: SD v1.5's 40 and 160), filled up once instead of at each call.
at::Tensor pad_heads(const at::Tensor& x, int64_t heads);

/// A linear layer, then the first half of its channels times the GELU of the second (Shazeer 2020, GEGLU).
/// x [..., in], weight [2 * C, in], bias [2 * C]; result [..., C]. On the CPU the halves are two products, the second
/// with its GELU fused: 1.1 to 1.6 times as fast in bf16, 1.05 to 1.4 in fp32 (widths of SD v1.5).
at::Tensor linear_geglu(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

/// Resizes to height x width, each pixel taking the value of the nearest one. x [N, C, H, W].
at::Tensor upsample_nearest(const at::Tensor& x, int64_t height, int64_t width);

/// [N, C, H, W] to [N, H W, C]: a view where x is channels_last, a copy otherwise.
at::Tensor image_to_sequence(const at::Tensor& x);

/// [N, H W, C] to [N, C, H, W] in the layout that suits the device (core/device.h, image_memory_format).
at::Tensor sequence_to_image(const at::Tensor& x, int64_t height, int64_t width);

}  // namespace ops
}  // namespace diffapple::nn
