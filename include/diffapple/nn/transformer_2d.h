// Transformers over the pixels of an image that read a text by cross-attention (Rombach et al. 2022, section 3.3).
#pragma once

#include "diffapple/nn/layers.h"
#include "diffapple/nn/text_context.h"

namespace diffapple::nn {

struct TransformerConfig {
    int64_t channels;  ///< of the image
    int64_t heads;     ///< each of size channels / heads, rounded down
    int64_t layers;
    int64_t text_channels;
    int64_t norm_groups;
    bool upcast_attention = false;  ///< see ops::attention
};

/// Multi-head attention whose keys and values come from the sequence itself or from another one; diffusers' Attention
/// as BasicTransformerBlock uses it.
class CrossAttention : public torch::nn::Module {
public:
    /// Queries have `channels` channels, what is looked at has `source_channels`.
    CrossAttention(const TransformerConfig& config, int64_t channels, int64_t source_channels);
    /// source [N, S, source_channels].
    KeyValue project(const at::Tensor& source);
    /// The same for what many calls will read: in the layout that attention wants.
    KeyValue project_text(const at::Tensor& texts);
    /// x [N, L, channels]; the result has the same shape.
    at::Tensor forward(const at::Tensor& x, const KeyValue& source);

private:
    int64_t heads_;
    bool upcast_;
    std::shared_ptr<Linear> to_q_, to_k_, to_v_;
    std::shared_ptr<ModuleList<Linear>> to_out_;
};

/// A linear layer, GEGLU (Shazeer 2020: one half of the channels times the GELU of the other), a linear layer.
class FeedForward : public torch::nn::Module {
public:
    explicit FeedForward(int64_t channels);
    at::Tensor forward(const at::Tensor& x);

private:
    std::shared_ptr<Linear> proj_, out_;
};

/// Self-attention, attention to the text, feed-forward; each on the normalised input and added to it.
class BasicTransformerBlock : public torch::nn::Module {
public:
    BasicTransformerBlock(const TransformerConfig& config, int64_t channels);
    /// x [N, H W, channels]; the result has the same shape.
    at::Tensor forward(at::Tensor x, const TextContext& text);

    /// What the block reads of texts, [N, S, text_channels].
    KeyValue project_text(const at::Tensor& texts) { return attn2_->project_text(texts); }
    /// The block's number among those of its model, which says what it reads of a TextContext; the model sets it.
    void set_number(size_t number) { number_ = number; }

private:
    size_t number_ = 0;
    std::shared_ptr<LayerNorm> norm1_, norm2_, norm3_;
    std::shared_ptr<CrossAttention> attn1_, attn2_;
    std::shared_ptr<FeedForward> ff_;
};

/// Norm, projection, transformer blocks, projection, and the residual; diffusers' Transformer2DModel. The projections
/// are linear layers over the pixels also where the checkpoint has them as 1x1 convolutions (use_linear_projection is
/// false): both are one and the same, and loading accepts both.
class Transformer2DModel : public ImageAttention {
public:
    /// Throws Error when there are more heads than channels.
    explicit Transformer2DModel(const TransformerConfig& config);
    at::Tensor forward(const at::Tensor& x, const TextContext& text) override;

private:
    std::shared_ptr<GroupNorm> norm_;
    std::shared_ptr<Linear> proj_in_, proj_out_;
    std::shared_ptr<ModuleList<BasicTransformerBlock>> transformer_blocks_;
};

}  // namespace diffapple::nn
