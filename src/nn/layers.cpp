#include "diffapple/nn/layers.h"

#include <ATen/ATen.h>

#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"

namespace diffapple::nn {

at::Tensor declare_parameter(torch::nn::Module& module, const std::string& name, at::IntArrayRef shape) {
    // One float seen through zero strides: it has the shape that loading checks, and no memory of its own.
    const at::Tensor placeholder = at::zeros({1}).expand(at::IntArrayRef(shape));
    return module.register_parameter(name, placeholder, /*requires_grad=*/false);
}

void Packable::replace(at::Tensor& weight, at::Tensor packed_weight) {
    const c10::InferenceMode guard(false);
    weight.set_data(at::zeros({1}, weight.options()).expand(weight.sizes()));  // the shape stays visible
    packed_ = std::move(packed_weight);
}

void pack_weights(torch::nn::Module& module, int after_passes) {
    for (const auto& part : module.modules()) {
        auto* const layer = dynamic_cast<Packable*>(part.get());
        const auto parameters = part->parameters(/*recurse=*/false);
        if (layer && ops::packing_pays(parameters.front())) layer->pack_after(after_passes);
    }
}

at::Tensor Linear::forward(const at::Tensor& x) {
    const auto& found = packable(weight, [&](const at::Tensor& plain) { return ops::pack_linear(plain, x); });
    return found.defined() ? ops::packed_linear(x, found, bias) : ops::linear(x, usable_weight(), bias);
}

at::Tensor Conv2d::forward(const at::Tensor& x) {
    const auto& found =
        packable(weight, [&](const at::Tensor& plain) { return ops::pack_conv2d(plain, stride_, padding_, x); });
    return found.defined() ? ops::packed_conv2d(x, found, bias, stride_, padding_)
                           : ops::conv2d(x, usable_weight(), bias, stride_, padding_);
}

void WeightLayer::set_quantised(const QuantisedWeight& quantised) {
    weight.set_data(quantised.values);
    scales_ = quantised.scales;
}

Linear::Linear(int64_t in_features, int64_t out_features, bool with_bias) {
    weight = declare_parameter(*this, "weight", {out_features, in_features});
    if (with_bias) bias = declare_parameter(*this, "bias", {out_features});
}

Conv2d::Conv2d(int64_t in_channels, int64_t out_channels, int64_t kernel_size, int64_t stride, int64_t padding)
    : stride_(stride), padding_(padding) {
    weight = declare_parameter(*this, "weight", {out_channels, in_channels, kernel_size, kernel_size});
    bias = declare_parameter(*this, "bias", {out_channels});
}

GroupNorm::GroupNorm(int64_t groups, int64_t channels, double eps) : groups_(groups), eps_(eps) {
    if (channels % groups != 0)
        fail("group normalisation: ", counted(channels, "channel"), " cannot be split into ", counted(groups, "group"),
             "; check norm_num_groups, attn_norm_num_groups and block_out_channels in the config");
    weight = declare_parameter(*this, "weight", {channels});
    bias = declare_parameter(*this, "bias", {channels});
}

LayerNorm::LayerNorm(int64_t features, double eps) : eps_(eps) {
    weight = declare_parameter(*this, "weight", {features});
    bias = declare_parameter(*this, "bias", {features});
}

Embedding::Embedding(int64_t count, int64_t dimension) {
    weight = declare_parameter(*this, "weight", {count, dimension});
}

at::Tensor Embedding::forward(const at::Tensor& ids) {
    return at::embedding(weight, ids);
}

}  // namespace diffapple::nn
