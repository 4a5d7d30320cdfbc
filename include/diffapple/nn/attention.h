// Self-attention over the pixels of an image.
#pragma once

#include <optional>

#include "diffapple/nn/layers.h"
#include "diffapple/nn/text_context.h"

namespace diffapple::nn {

struct AttentionConfig {
    int64_t channels;
    int64_t head_dim;                    ///< heads = channels / head_dim, rounded down as diffusers does
    std::optional<int64_t> norm_groups;  ///< absent: no normalisation of the input
    double eps;
    double rescale_output_factor = 1.0;
};

/// Group norm, multi-head self-attention and the residual; diffusers' Attention with
/// `_from_deprecated_attn_block=True`.
class Attention : public ImageAttention {
public:
    explicit Attention(const AttentionConfig& config);
    /// x [N, channels, H, W]; the result has the same shape.
    at::Tensor forward(const at::Tensor& x);
    at::Tensor forward(const at::Tensor& x, const TextContext&) override { return forward(x); }

private:
    int64_t heads_;
    double rescale_output_factor_;
    std::shared_ptr<GroupNorm> group_norm_;
    std::shared_ptr<Linear> to_q_, to_k_, to_v_;
    std::shared_ptr<ModuleList<Linear>> to_out_;
};

}  // namespace diffapple::nn
