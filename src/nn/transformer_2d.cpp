#include "diffapple/nn/transformer_2d.h"

#include <ATen/ATen.h>

#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"

namespace diffapple::nn {
namespace {

// Fixed in diffusers, whatever the config's norm_eps says.
constexpr double group_norm_eps = 1e-6;
constexpr double layer_norm_eps = 1e-5;

}  // namespace

CrossAttention::CrossAttention(const TransformerConfig& config, int64_t channels, int64_t source_channels)
    : heads_(config.heads), upcast_(config.upcast_attention) {
    to_q_ = register_module("to_q", std::make_shared<Linear>(channels, channels, /*bias=*/false));
    to_k_ = register_module("to_k", std::make_shared<Linear>(source_channels, channels, /*bias=*/false));
    to_v_ = register_module("to_v", std::make_shared<Linear>(source_channels, channels, /*bias=*/false));
    to_out_ = register_module("to_out", std::make_shared<ModuleList<Linear>>());
    to_out_->append(std::make_shared<Linear>(channels, channels));
}

KeyValue CrossAttention::project(const at::Tensor& source) {
    return {to_k_->forward(source), to_v_->forward(source)};
}

KeyValue CrossAttention::project_text(const at::Tensor& texts) {
    const auto [key, value] = project(texts);
    return {ops::pad_heads(key, heads_), ops::pad_heads(value, heads_)};
}

at::Tensor CrossAttention::forward(const at::Tensor& x, const KeyValue& source) {
    return (*to_out_)[0].forward(
        ops::attention(to_q_->forward(x), source.key, source.value, heads_, /*mask=*/{}, upcast_));
}

FeedForward::FeedForward(int64_t channels) {
    const int64_t inner = 4 * channels;
    // The names are those of a Sequential: GEGLU, dropout, linear.
    const auto net = register_module("net", std::make_shared<torch::nn::Module>());
    const auto geglu = net->register_module("0", std::make_shared<torch::nn::Module>());
    proj_ = geglu->register_module("proj", std::make_shared<Linear>(channels, 2 * inner));
    out_ = net->register_module("2", std::make_shared<Linear>(inner, channels));
}

at::Tensor FeedForward::forward(const at::Tensor& x) {
    return out_->forward(ops::linear_geglu(x, proj_->usable_weight(), proj_->bias));
}

BasicTransformerBlock::BasicTransformerBlock(const TransformerConfig& config, int64_t channels) {
    norm1_ = register_module("norm1", std::make_shared<LayerNorm>(channels, layer_norm_eps));
    attn1_ = register_module("attn1", std::make_shared<CrossAttention>(config, channels, channels));
    norm2_ = register_module("norm2", std::make_shared<LayerNorm>(channels, layer_norm_eps));
    attn2_ = register_module("attn2", std::make_shared<CrossAttention>(config, channels, config.text_channels));
    norm3_ = register_module("norm3", std::make_shared<LayerNorm>(channels, layer_norm_eps));
    ff_ = register_module("ff", std::make_shared<FeedForward>(channels));
}

at::Tensor BasicTransformerBlock::forward(at::Tensor x, const TextContext& text) {
    const auto normalised = norm1_->forward(x);
    x = attn1_->forward(normalised, attn1_->project(normalised)).add_(x);
    x = attn2_->forward(norm2_->forward(x), text.of_block(number_)).add_(x);
    return ff_->forward(norm3_->forward(x)).add_(x);
}

Transformer2DModel::Transformer2DModel(const TransformerConfig& config) {
    if (config.heads > config.channels)
        fail("transformer: ", counted(config.heads, "head"), " are more than its ", counted(config.channels, "channel"),
             "; check attention_head_dim in the config");
    const int64_t inner = config.channels / config.heads * config.heads;
    norm_ = register_module("norm", std::make_shared<GroupNorm>(config.norm_groups, config.channels, group_norm_eps));
    proj_in_ = register_module("proj_in", std::make_shared<Linear>(config.channels, inner));
    transformer_blocks_ = register_module("transformer_blocks", std::make_shared<ModuleList<BasicTransformerBlock>>());
    for (int64_t i = 0; i < config.layers; ++i)
        transformer_blocks_->append(std::make_shared<BasicTransformerBlock>(config, inner));
    proj_out_ = register_module("proj_out", std::make_shared<Linear>(inner, config.channels));
}

at::Tensor Transformer2DModel::forward(const at::Tensor& x, const TextContext& text) {
    auto sequence = proj_in_->forward(ops::image_to_sequence(norm_->forward(x)));
    for (size_t i = 0; i < transformer_blocks_->size(); ++i)
        sequence = (*transformer_blocks_)[i].forward(std::move(sequence), text);
    return ops::sequence_to_image(proj_out_->forward(sequence), x.size(2), x.size(3)).add_(x);
}

}  // namespace diffapple::nn
