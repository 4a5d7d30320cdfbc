#include "diffapple/nn/ops.h"

#include <ATen/ATen.h>

#include <vector>

#include "diffapple/core/device.h"
#include "diffapple/core/error.h"
#include "diffapple/core/libtorch.h"

namespace diffapple::nn {

Activation find_activation(const std::string& name) {
    if (name == "silu" || name == "swish") return Activation::silu;
    if (name == "mish") return Activation::mish;
    if (name == "gelu") return Activation::gelu;
    if (name == "gelu_new" || name == "gelu_fast" || name == "gelu_pytorch_tanh") return Activation::gelu_tanh;
    if (name == "quick_gelu") return Activation::quick_gelu;
    if (name == "relu") return Activation::relu;
    fail("activation '", name, "' is unknown; this program has silu, swish, mish, gelu, quick_gelu and relu");
}

namespace ops {

namespace {

/// As a product of two matrices, and for one row without the bias, which is added: on mps, more dimensions give wrong
/// rows (fp16, M5) or from 65,537 of them on (pytorch#180776, #189495, #192934), and one row loses its bias on M1 with
/// macOS 26 up to LibTorch 2.13 (pytorch#188438).
at::Tensor linear_on_mps(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
    std::vector<int64_t> shape = x.sizes().vec();
    shape.back() = weight.size(0);
    const auto rows = x.reshape({-1, x.size(-1)});
    const bool adds_bias = rows.size(0) == 1 && bias.defined();
    auto result = at::linear(rows, weight, adds_bias ? at::Tensor() : bias);
    if (adds_bias) result.add_(bias);
    return result.view(shape);
}

}  // namespace

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
    return x.is_mps() ? linear_on_mps(x, weight, bias) : at::linear(x, weight, bias);
}

at::Tensor conv2d(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, int64_t stride,
                  int64_t padding) {
    return at::conv2d(x, weight, bias, {stride, stride}, {padding, padding});
}

bool packing_pays(const at::Tensor& weight) {
    return weight.device().is_cpu() && libtorch::can_pack_weights(weight.scalar_type());
}

at::Tensor pack_linear(const at::Tensor& weight, const at::Tensor& x) {
    return libtorch::pack_linear_weight(weight, x.numel() / x.size(-1));
}

at::Tensor pack_conv2d(const at::Tensor& weight, int64_t stride, int64_t padding, const at::Tensor& x) {
    return libtorch::pack_conv2d_weight(weight, stride, padding, x.sizes());
}

at::Tensor packed_linear(const at::Tensor& x, const at::Tensor& packed_weight, const at::Tensor& bias) {
    return libtorch::packed_linear(x, packed_weight, bias);
}

at::Tensor packed_conv2d(const at::Tensor& x, const at::Tensor& packed_weight, const at::Tensor& bias, int64_t stride,
                         int64_t padding) {
    return libtorch::packed_conv2d(x, packed_weight, bias, stride, padding);
}

at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double eps) {
    return at::layer_norm(x, weight.sizes(), weight, bias, eps);
}

at::Tensor activate(at::Tensor x, Activation activation) {
    switch (activation) {
        case Activation::none:
            return x;
        case Activation::silu:
            return at::silu_(x);
        case Activation::mish:
            return at::mish_(x);
        case Activation::gelu:
            return at::gelu_(x);
        case Activation::gelu_tanh:
            return at::gelu_(x, "tanh");
        case Activation::quick_gelu:
            return x.mul_(at::sigmoid(x.mul(1.702)));
        case Activation::relu:
            return at::relu_(x);
    }
    return x;
}

at::Tensor linear_geglu(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
    if (packing_pays(weight)) {
        const auto weights = weight.chunk(2), biases = bias.chunk(2);
        return libtorch::onednn_linear_gelu(x, weights[1], biases[1])
            .mul_(libtorch::packed_linear(x, weights[0], biases[0]));
    }
    const auto halves = linear(x, weight, bias).chunk(2, -1);
    return at::gelu(halves[1]).mul_(halves[0]);
}

at::Tensor upsample_nearest(const at::Tensor& x, int64_t height, int64_t width) {
    return at::upsample_nearest2d(x, {height, width});
}

at::Tensor image_to_sequence(const at::Tensor& x) {
    return x.permute({0, 2, 3, 1}).reshape({x.size(0), x.size(2) * x.size(3), x.size(1)}).contiguous();
}

at::Tensor sequence_to_image(const at::Tensor& x, int64_t height, int64_t width) {
    return x.reshape({x.size(0), height, width, x.size(2)})
        .permute({0, 3, 1, 2})
        .contiguous(image_memory_format(x.device()));
}

}  // namespace ops
}  // namespace diffapple::nn
