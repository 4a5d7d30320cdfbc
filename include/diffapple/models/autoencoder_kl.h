// The variational autoencoder of latent diffusion (Rombach et al. 2022, section 3.1): pictures to latents and back.
#pragma once

#include <optional>
#include <vector>

#include "diffapple/io/json_fields.h"
#include "diffapple/nn/autoencoder_blocks.h"
#include "diffapple/nn/unet_blocks.h"

namespace diffapple {

/// The config.json of diffusers' AutoencoderKL, with its defaults.
struct AutoencoderKLConfig {
    int64_t in_channels, out_channels;
    int64_t latent_channels;
    std::vector<int64_t> block_out_channels;
    int64_t layers_per_block;
    int64_t norm_num_groups;
    nn::Activation act_fn;
    int64_t sample_size;  ///< pixels; of [height, width] the first. Tiles are this large
    double scaling_factor;
    /// `latents_mean` and `latents_std`, where both are given: those of the channels of trained latents. Only SDXL's
    /// pipelines read them. (`shift_factor` none of these pipelines reads.)
    struct LatentStatistics {
        std::vector<double> mean, deviation;
    };
    std::optional<LatentStatistics> latent_statistics;
    bool force_upcast;  ///< fp16 overflows in it: SDXL pipelines then run it in fp32
    bool use_quant_conv, use_post_quant_conv;
    bool mid_block_add_attention;

    /// Throws Error naming file and key for a value that is wrong, absurd or not supported.
    static AutoencoderKLConfig from_json(const JsonFields& fields);

    /// Pixels per latent, in each direction.
    int64_t size_factor() const { return int64_t{1} << (block_out_channels.size() - 1); }
};

/// The normal distribution of a picture's latents; a sample is mean + std * noise. Not scaled by scaling_factor.
struct Posterior {
    at::Tensor mean, std;  ///< [N, latent_channels, H / size_factor, W / size_factor]
};

/// Whether pictures larger than sample_size go through the model in overlapping tiles that are blended: less memory,
/// slightly other pixels. The same tiles and blending as diffusers' enable_tiling().
enum class Tiling { off, on };

class AutoencoderKL : public torch::nn::Module {
public:
    explicit AutoencoderKL(const AutoencoderKLConfig& config);

    /// image [N, in_channels, H, W] in [-1, 1].
    Posterior encode(const at::Tensor& image, Tiling tiling = Tiling::off);

    /// latents [N, latent_channels, h, w], already divided by scaling_factor; the picture is
    /// [N, out_channels, h * size_factor, w * size_factor], about [-1, 1].
    at::Tensor decode(const at::Tensor& latents, Tiling tiling = Tiling::off);

    const AutoencoderKLConfig& config() const { return config_; }

private:
    struct Encoder;
    struct Decoder;

    at::Tensor encode_whole(const at::Tensor& image);
    at::Tensor decode_whole(const at::Tensor& latents);

    AutoencoderKLConfig config_;
    std::shared_ptr<Encoder> encoder_;
    std::shared_ptr<Decoder> decoder_;
    std::shared_ptr<nn::Conv2d> quant_conv_, post_quant_conv_;
};

}  // namespace diffapple
