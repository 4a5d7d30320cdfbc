#include "diffapple/nn/ops.h"

#include <ATen/ATen.h>

#include "diffapple/core/device.h"
#include "diffapple/core/error.h"
#include "diffapple/core/libtorch.h"

namespace diffapple::nn {

Activation find_activation(const std::string& name) {
    if (name == "silu" || name == "swish") return Activation::silu;
    if (name == "mish") return Activation::mish;
    if (name == "gelu") return Activation::gelu;
    if (name == "quick_gelu") return Activation::quick_gelu;
    if (name == "relu") return Activation::relu;
    fail("activation '", name, "' is unknown; this program has silu, swish, mish, gelu, quick_gelu and relu");
}

namespace ops {

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
    return at::linear(x, weight, bias);
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

at::Tensor group_norm(const at::Tensor& x, int64_t groups, const at::Tensor& weight, const at::Tensor& bias, double eps,
                      Activation activation) {
    return activate(at::group_norm(x, groups, weight, bias, eps), activation);
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
        case Activation::quick_gelu:
            return x.mul_(at::sigmoid(x.mul(1.702)));
        case Activation::relu:
            return at::relu_(x);
    }
    return x;
}

at::Tensor attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, int64_t heads,
                     const at::Tensor& mask, bool upcast) {
    if (upcast && query.scalar_type() == at::kHalf)
        return attention(query.to(at::kFloat), key.to(at::kFloat), value.to(at::kFloat), heads,
                         mask.defined() ? mask.to(at::kFloat) : mask)
            .to(at::kHalf);
    const auto split_heads = [heads](const at::Tensor& x) {
        return x.view({x.size(0), x.size(1), heads, x.size(2) / heads}).transpose(1, 2);
    };
    const auto output =
        at::scaled_dot_product_attention(split_heads(query), split_heads(key), split_heads(value),
                                         mask.defined() ? std::optional<at::Tensor>(mask) : std::nullopt);
    return output.transpose(1, 2).reshape(query.sizes());
}

at::Tensor geglu(const at::Tensor& x) {
    const auto halves = x.chunk(2, -1);
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
