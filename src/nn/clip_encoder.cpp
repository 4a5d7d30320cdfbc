#include "diffapple/nn/clip_encoder.h"

#include <ATen/ATen.h>

#include "diffapple/core/error.h"

namespace diffapple::nn {

ClipAttention::ClipAttention(const ClipEncoderConfig& config) : heads_(config.heads) {
    const int64_t size = config.hidden_size;
    q_proj_ = register_module("q_proj", std::make_shared<Linear>(size, size));
    k_proj_ = register_module("k_proj", std::make_shared<Linear>(size, size));
    v_proj_ = register_module("v_proj", std::make_shared<Linear>(size, size));
    out_proj_ = register_module("out_proj", std::make_shared<Linear>(size, size));
}

at::Tensor ClipAttention::forward(const at::Tensor& x, const at::Tensor& mask) {
    return out_proj_->forward(
        ops::attention(q_proj_->forward(x), k_proj_->forward(x), v_proj_->forward(x), heads_, mask));
}

ClipMlp::ClipMlp(const ClipEncoderConfig& config) : activation_(config.activation) {
    fc1_ = register_module("fc1", std::make_shared<Linear>(config.hidden_size, config.intermediate_size));
    fc2_ = register_module("fc2", std::make_shared<Linear>(config.intermediate_size, config.hidden_size));
}

at::Tensor ClipMlp::forward(const at::Tensor& x) {
    return fc2_->forward(ops::activate(fc1_->forward(x), activation_));
}

ClipEncoderLayer::ClipEncoderLayer(const ClipEncoderConfig& config) {
    const int64_t size = config.hidden_size;
    layer_norm1_ = register_module("layer_norm1", std::make_shared<LayerNorm>(size, config.layer_norm_eps));
    self_attn_ = register_module("self_attn", std::make_shared<ClipAttention>(config));
    layer_norm2_ = register_module("layer_norm2", std::make_shared<LayerNorm>(size, config.layer_norm_eps));
    mlp_ = register_module("mlp", std::make_shared<ClipMlp>(config));
}

at::Tensor ClipEncoderLayer::forward(const at::Tensor& x, const at::Tensor& mask) {
    const auto attended = self_attn_->forward(layer_norm1_->forward(x), mask).add_(x);
    return mlp_->forward(layer_norm2_->forward(attended)).add_(attended);
}

ClipEncoder::ClipEncoder(const ClipEncoderConfig& config) {
    if (config.hidden_size % config.heads != 0)
        fail("CLIP: hidden_size ", config.hidden_size, " cannot be split into ", config.heads,
             " heads; check num_attention_heads in the config");
    layers_ = register_module("layers", std::make_shared<ModuleList<ClipEncoderLayer>>());
    for (int64_t i = 0; i < config.layers; ++i) layers_->append(std::make_shared<ClipEncoderLayer>(config));
}

at::Tensor ClipEncoder::forward(at::Tensor x, const at::Tensor& mask, int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) x = (*layers_)[i].forward(x, mask);
    return x;
}

}  // namespace diffapple::nn
