// The UNet that denoises under a text: Stable Diffusion v1, v2 (also its inpainting) and SDXL.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "diffapple/core/size.h"
#include "diffapple/io/json_fields.h"
#include "diffapple/nn/embeddings.h"
#include "diffapple/nn/unet_blocks.h"

namespace diffapple {

/// The config.json of diffusers' UNet2DConditionModel, with its defaults. Lists have one entry per level, the highest
/// resolution first, also where the file gives one number for all.
struct UNet2DConditionConfig {
    /// SDXL's added embedding of the pooled text and of six sizes (`addition_embed_type` "text_time").
    struct TextTime {
        int64_t time_embed_dim;  ///< of each size
        int64_t input_dim;       ///< of the pooled text and all sizes together
    };

    std::optional<Size> sample_size;    ///< of the latents
    int64_t in_channels, out_channels;  ///< 9 in: latents, mask and masked image (inpainting)
    bool center_input_sample;
    int64_t time_embed_dim;
    double freq_shift;
    bool flip_sin_to_cos;
    std::optional<nn::Activation> timestep_post_act, time_embedding_act_fn;
    std::optional<int64_t> guidance_embed_dim;  ///< `time_cond_proj_dim`: of the guidance's embedding (LCM)
    std::vector<std::string> down_block_types, up_block_types;  ///< up: the lowest resolution first
    std::optional<std::string> mid_block_type;                  ///< "UNetMidBlock2DCrossAttn", "UNetMidBlock2D"
    std::vector<int64_t> block_out_channels;
    std::vector<int64_t> layers_per_block;
    std::vector<int64_t> heads;  ///< `attention_head_dim`, which is the number of heads
    /// `transformer_layers_per_block`: of each level, the depth of each of its transformers; none where it has none.
    /// The mid block has the first one of the lowest level, which is always there.
    std::vector<std::vector<int64_t>> transformer_layers;
    std::vector<std::vector<int64_t>> up_transformer_layers;  ///< of the up blocks, the lowest resolution first
    int64_t cross_attention_dim;                              ///< channels of the text's embeddings
    std::optional<int64_t> encoder_hid_dim;                   ///< theirs, where they are projected to the others first
    bool upcast_attention;
    int64_t downsample_padding;
    double mid_block_scale_factor;
    nn::Activation act_fn;
    int64_t norm_num_groups;
    double norm_eps;
    nn::TimeScaleShift resnet_time_scale_shift;
    int64_t conv_in_kernel, conv_out_kernel;
    std::optional<TextTime> text_time;

    /// Channels of what the text encoders make.
    int64_t text_width() const { return encoder_hid_dim.value_or(cross_attention_dim); }

    /// Throws Error naming file and key for a value that is wrong, absurd or not supported.
    static UNet2DConditionConfig from_json(const JsonFields& fields);
};

/// epsilon_theta(z_t, t, text) of Rombach et al. 2022 (and Podell et al. 2023, SDXL) with the options of diffusers'
/// UNet2DConditionModel.
class UNet2DConditionModel : public torch::nn::Module {
public:
    explicit UNet2DConditionModel(const UNet2DConditionConfig& config);

    /// Keys and values of all cross-attentions, once per prompt, for this model or another instance with its weights.
    /// embeddings [N, L, text_width()] in the model's dtype and on its device. Throws Error when they are of
    /// another width.
    nn::TextContext encode_text(const at::Tensor& embeddings);

    /// SDXL's added embedding, once per prompt: text_embeds [N, D], the pooled text; time_ids [N, 6] on any device, of
    /// any type: original height and width, crop top and left, target height and width; rounded to the type of
    /// text_embeds first, as diffusers' pipelines do. Returns [N, time_embed_dim]. Throws Error when D or the number of
    /// ids does not fit. Only for models whose config has text_time.
    at::Tensor embed_added(const at::Tensor& text_embeds, const at::Tensor& time_ids);

    /// The scale of guidance in a model that learnt it (Luo et al. 2023, "Latent Consistency Models"), once per batch:
    /// [1, guidance_embed_dim] in the model's dtype and on its device. Only where the config has one.
    at::Tensor embed_guidance(double scale);

    /// The timesteps of a run, once for all its turns: what they need of the CPU is copied before the first. `added` as
    /// embed_added returns it where the config has text_time, `guidance` as embed_guidance.
    std::vector<nn::TimeEmbedding> embed_times(const std::vector<double>& timesteps, const at::Tensor& added = {},
                                               const at::Tensor& guidance = {});

    /// sample [N, in_channels, H, W] in the model's dtype and on its device, text of N prompts; returns
    /// [N, out_channels, H, W]. Any H and W.
    at::Tensor forward(const at::Tensor& sample, const nn::TimeEmbedding& time, const nn::TextContext& text);
    /// The same for a single timestep.
    at::Tensor forward(const at::Tensor& sample, double timestep, const nn::TextContext& text,
                       const at::Tensor& added = {}, const at::Tensor& guidance = {}) {
        return forward(sample, embed_times({timestep}, added, guidance).front(), text);
    }

    const UNet2DConditionConfig& config() const { return config_; }

private:
    /// In the order in which a TextContext holds what they read.
    std::vector<nn::BasicTransformerBlock*> transformer_blocks() const;
    /// projected [1, block_out_channels[0]], on the model's device and in its dtype.
    at::Tensor embed_time(const at::Tensor& projected, const at::Tensor& added, const at::Tensor& guidance);

    UNet2DConditionConfig config_;
    std::shared_ptr<nn::Conv2d> conv_in_, conv_out_;
    std::shared_ptr<nn::TimestepEmbedding> time_embedding_, add_embedding_;
    std::shared_ptr<nn::Linear> encoder_hid_proj_;
    std::shared_ptr<nn::ModuleList<nn::DownBlock2D>> down_blocks_;
    std::shared_ptr<nn::UNetMidBlock2D> mid_block_;
    std::shared_ptr<nn::ModuleList<nn::UpBlock2D>> up_blocks_;
    std::shared_ptr<nn::GroupNorm> conv_norm_out_;
};

}  // namespace diffapple
