// The down, mid and up blocks of UNets, with or without attention to a text.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "diffapple/nn/attention.h"
#include "diffapple/nn/resnet.h"
#include "diffapple/nn/transformer_2d.h"

namespace diffapple::nn {

/// How a block changes the image's size after its layers.
enum class Sampler { none, conv, resnet };

/// What the blocks of one UNet have in common, and one block's own numbers.
struct BlockConfig {
    int64_t layers;
    int64_t in_channels, out_channels;
    int64_t skip_channels = 0;                     ///< up blocks: channels coming from the block below
    ResnetConfig resnet;                           ///< in_channels, out_channels and resample are set per layer
    std::optional<int64_t> attention_head_dim;     ///< present: an attention after each layer
    std::optional<int64_t> attention_groups;       ///< absent: attention without a norm
    std::optional<TransformerConfig> transformer;  ///< present: a transformer that reads the text after each layer
    std::vector<int64_t> transformer_depths;       ///< one for each layer, in place of the transformer's `layers`
    Sampler sampler = Sampler::none;
    int64_t downsample_padding = 1;
};

/// DownBlock2D, AttnDownBlock2D, CrossAttnDownBlock2D and ResnetDownsampleBlock2D of diffusers.
class DownBlock2D : public torch::nn::Module {
public:
    explicit DownBlock2D(const BlockConfig& config);
    /// Returns the block's result; appends each layer's result (and the halved image) to `skips`.
    at::Tensor forward(at::Tensor x, const at::Tensor& temb, std::vector<at::Tensor>& skips,
                       const TextContext& text = {});

private:
    std::shared_ptr<ModuleList<ResnetBlock2D>> resnets_;
    std::shared_ptr<ModuleList<ImageAttention>> attentions_;
    std::shared_ptr<ModuleList<Downsample2D>> conv_downsamplers_;
    std::shared_ptr<ModuleList<ResnetBlock2D>> resnet_downsamplers_;
};

/// UpBlock2D, AttnUpBlock2D, CrossAttnUpBlock2D and ResnetUpsampleBlock2D of diffusers.
class UpBlock2D : public torch::nn::Module {
public:
    explicit UpBlock2D(const BlockConfig& config);
    /// Takes as many skips from the back of `skips` as it has layers. A convolutional upsampler enlarges to the size of
    /// the next skip, which is not twice the size where halving rounded up.
    at::Tensor forward(at::Tensor x, const at::Tensor& temb, std::vector<at::Tensor>& skips,
                       const TextContext& text = {});

private:
    std::shared_ptr<ModuleList<ResnetBlock2D>> resnets_;
    std::shared_ptr<ModuleList<ImageAttention>> attentions_;
    std::shared_ptr<ModuleList<Upsample2D>> conv_upsamplers_;
    std::shared_ptr<ModuleList<ResnetBlock2D>> resnet_upsamplers_;
};

/// UNetMidBlock2D and UNetMidBlock2DCrossAttn of diffusers: a resnet, then `layers` times attention (if any) and a
/// resnet.
class UNetMidBlock2D : public torch::nn::Module {
public:
    explicit UNetMidBlock2D(const BlockConfig& config);
    at::Tensor forward(at::Tensor x, const at::Tensor& temb, const TextContext& text = {});

private:
    std::shared_ptr<ModuleList<ResnetBlock2D>> resnets_;
    std::shared_ptr<ModuleList<ImageAttention>> attentions_;
};

}  // namespace diffapple::nn
