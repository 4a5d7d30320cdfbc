// The unconditional pixel-space UNet of DDPM (google/ddpm-*).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "diffapple/core/size.h"
#include "diffapple/io/json_fields.h"
#include "diffapple/nn/embeddings.h"
#include "diffapple/nn/unet_blocks.h"

namespace diffapple {

/// The config.json of diffusers' UNet2DModel, with its defaults.
struct UNet2DConfig {
    std::optional<Size> sample_size;  ///< a number, or [height, width], or null
    int64_t in_channels, out_channels;
    bool center_input_sample;
    bool fourier_embedding;  ///< `time_embedding_type` is "fourier"; else "positional"
    int64_t time_embed_dim;
    double freq_shift;
    bool flip_sin_to_cos;
    std::vector<std::string> down_block_types, up_block_types;
    bool mid_block;
    std::vector<int64_t> block_out_channels;
    int64_t layers_per_block;
    double mid_block_scale_factor;
    int64_t downsample_padding;
    nn::Sampler downsample_type, upsample_type;
    nn::Activation act_fn;
    std::optional<int64_t> attention_head_dim;  ///< absent (null): one head
    int64_t norm_num_groups;
    std::optional<int64_t> mid_attention_groups;
    double norm_eps;
    nn::TimeScaleShift resnet_time_scale_shift;
    bool add_attention;

    /// Throws Error naming file and key for a value that is wrong, absurd or not supported.
    static UNet2DConfig from_json(const JsonFields& fields);

    /// Width and height of a picture must be multiples of this (the product of all downsamplings).
    int64_t size_factor() const { return int64_t{1} << (block_out_channels.size() - 1); }
};

/// epsilon_theta(x_t, t) of Ho et al. 2020 (appendix B) with the options of diffusers' UNet2DModel.
class UNet2DModel : public torch::nn::Module {
public:
    explicit UNet2DModel(const UNet2DConfig& config);

    /// The timesteps of a run, once for all its turns: what they need of the CPU is copied before the first.
    std::vector<nn::TimeEmbedding> embed_times(const std::vector<double>& timesteps);

    /// sample [N, in_channels, H, W] in the model's dtype and on its device; returns [N, out_channels, H, W].
    at::Tensor forward(const at::Tensor& sample, const nn::TimeEmbedding& time);
    /// The same for a single timestep.
    at::Tensor forward(const at::Tensor& sample, double timestep) {
        return forward(sample, embed_times({timestep}).front());
    }

    const UNet2DConfig& config() const { return config_; }

private:
    /// The timesteps' features [T, ...], on the model's device and in its dtype.
    at::Tensor project_times(const std::vector<double>& timesteps);

    UNet2DConfig config_;
    std::shared_ptr<nn::Conv2d> conv_in_, conv_out_;
    std::shared_ptr<nn::GaussianFourierProjection> time_proj_;
    std::shared_ptr<nn::TimestepEmbedding> time_embedding_;
    std::shared_ptr<nn::ModuleList<nn::DownBlock2D>> down_blocks_;
    std::shared_ptr<nn::UNetMidBlock2D> mid_block_;
    std::shared_ptr<nn::ModuleList<nn::UpBlock2D>> up_blocks_;
    std::shared_ptr<nn::GroupNorm> conv_norm_out_;
};

}  // namespace diffapple
