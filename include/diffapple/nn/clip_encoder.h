// The transformer that CLIP's text and image encoders share.
#pragma once

#include "diffapple/nn/layers.h"

namespace diffapple::nn {

struct ClipEncoderConfig {
    int64_t hidden_size, intermediate_size;
    int64_t layers, heads;
    Activation activation;
    double layer_norm_eps;
};

/// Multi-head self-attention over a sequence; transformers' CLIPAttention.
class ClipAttention : public torch::nn::Module {
public:
    explicit ClipAttention(const ClipEncoderConfig& config);
    /// x [N, L, hidden_size]; mask as for ops::attention.
    at::Tensor forward(const at::Tensor& x, const at::Tensor& mask);

private:
    int64_t heads_;
    std::shared_ptr<Linear> q_proj_, k_proj_, v_proj_, out_proj_;
};

/// Two linear layers with the activation between; transformers' CLIPMLP.
class ClipMlp : public torch::nn::Module {
public:
    explicit ClipMlp(const ClipEncoderConfig& config);
    at::Tensor forward(const at::Tensor& x);

private:
    Activation activation_;
    std::shared_ptr<Linear> fc1_, fc2_;
};

/// Attention and MLP, each on the normalised input and added to it; transformers' CLIPEncoderLayer.
class ClipEncoderLayer : public torch::nn::Module {
public:
    explicit ClipEncoderLayer(const ClipEncoderConfig& config);
    at::Tensor forward(const at::Tensor& x, const at::Tensor& mask);

private:
    std::shared_ptr<ClipAttention> self_attn_;
    std::shared_ptr<LayerNorm> layer_norm1_, layer_norm2_;
    std::shared_ptr<ClipMlp> mlp_;
};

/// The layers, one after the other (Radford et al. 2021, section 2.4).
class ClipEncoder : public torch::nn::Module {
public:
    /// Throws Error when hidden_size is not a multiple of heads.
    explicit ClipEncoder(const ClipEncoderConfig& config);
    /// Runs layers first ... last - 1 on x [N, L, hidden_size], which stays as it is.
    at::Tensor forward(at::Tensor x, const at::Tensor& mask, int64_t first, int64_t last);

    int64_t depth() const { return static_cast<int64_t>(layers_->size()); }

private:
    std::shared_ptr<ModuleList<ClipEncoderLayer>> layers_;
};

}  // namespace diffapple::nn
