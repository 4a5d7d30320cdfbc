#include "diffapple/models/autoencoder_kl.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "config_fields.h"
#include "diffapple/core/device.h"
#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"
#include "diffapple/models/tiles.h"

namespace diffapple {
namespace {

void read_blocks(const JsonFields& fields, AutoencoderKLConfig& config) {
    config.block_out_channels = read_block_out_channels(fields, {64});
    for (const auto& [key, supported] : {std::pair{"down_block_types", std::string("DownEncoderBlock2D")},
                                         std::pair{"up_block_types", std::string("UpDecoderBlock2D")}}) {
        const auto names = read_block_names(fields, key, {supported});
        for (const auto& name : names)
            if (name != supported)
                fields.reject(key, concat("has the unsupported block '", name, "'; this program has ", supported));
        require_one_per_block(fields, key, names.size(), config.block_out_channels.size());
    }
}

std::optional<AutoencoderKLConfig::LatentStatistics> read_latent_statistics(const JsonFields& fields,
                                                                            int64_t channels) {
    const auto read = [&](const std::string& key) {
        auto values = fields.numbers(key);
        if (static_cast<int64_t>(values.size()) != channels)
            fields.reject(key, concat("has ", counted(values.size(), "entry"), ", but latent_channels is ", channels));
        return values;
    };
    if (!fields.has("latents_mean") || !fields.has("latents_std")) return std::nullopt;
    AutoencoderKLConfig::LatentStatistics found{.mean = read("latents_mean"), .deviation = read("latents_std")};
    if (std::count(found.deviation.begin(), found.deviation.end(), 0.0)) fields.reject("latents_std", "has a 0");
    return found;
}

}  // namespace

AutoencoderKLConfig AutoencoderKLConfig::from_json(const JsonFields& fields) {
    require_class(fields, "AutoencoderKL");
    AutoencoderKLConfig config;
    read_blocks(fields, config);
    config.in_channels = fields.integer("in_channels", 1, max_channels, 3);
    config.out_channels = fields.integer("out_channels", 1, max_channels, 3);
    config.latent_channels = fields.integer("latent_channels", 1, max_channels, 4);
    config.layers_per_block = fields.integer("layers_per_block", 1, 64, 1);
    config.norm_num_groups = fields.integer("norm_num_groups", 1, max_channels, 32);
    config.act_fn = read_act_fn(fields);
    constexpr int64_t usual_sample = 32;
    const auto sample = read_sample_size(fields);
    config.sample_size = sample ? sample->height : usual_sample;
    config.scaling_factor = fields.number("scaling_factor", 0.18215);
    if (config.scaling_factor == 0.0) fields.reject("scaling_factor", "must not be 0");
    config.latent_statistics = read_latent_statistics(fields, config.latent_channels);
    config.force_upcast = fields.boolean("force_upcast", true);
    config.use_quant_conv = fields.boolean("use_quant_conv", true);
    config.use_post_quant_conv = fields.boolean("use_post_quant_conv", true);
    config.mid_block_add_attention = fields.boolean("mid_block_add_attention", true);
    return config;
}

namespace {

nn::AutoencoderBlockConfig block_config(const AutoencoderKLConfig& config, int64_t layers, int64_t in_channels,
                                        int64_t out_channels, bool resample) {
    return {.layers = layers,
            .in_channels = in_channels,
            .out_channels = out_channels,
            .groups = config.norm_num_groups,
            .activation = config.act_fn,
            .resample = resample};
}

std::shared_ptr<nn::UNetMidBlock2D> make_mid_block(const AutoencoderKLConfig& config) {
    const int64_t channels = config.block_out_channels.back();
    nn::BlockConfig block{.layers = 1, .in_channels = channels, .out_channels = channels};
    block.resnet = {.groups = config.norm_num_groups, .eps = nn::autoencoder_eps, .activation = config.act_fn};
    if (config.mid_block_add_attention) block.attention_head_dim = channels;
    block.attention_groups = config.norm_num_groups;
    return std::make_shared<nn::UNetMidBlock2D>(block);
}

std::shared_ptr<nn::GroupNorm> make_norm_out(const AutoencoderKLConfig& config, int64_t channels) {
    return std::make_shared<nn::GroupNorm>(config.norm_num_groups, channels, nn::autoencoder_eps);
}

}  // namespace

/// Pictures to the mean and the log variance of their latents.
struct AutoencoderKL::Encoder : torch::nn::Module {
    explicit Encoder(const AutoencoderKLConfig& config) {
        const auto& channels = config.block_out_channels;
        conv_in =
            register_module("conv_in", std::make_shared<nn::Conv2d>(config.in_channels, channels.front(), 3, 1, 1));
        down_blocks = register_module("down_blocks", std::make_shared<nn::ModuleList<nn::DownEncoderBlock2D>>());
        for (size_t i = 0; i < channels.size(); ++i)
            down_blocks->append(std::make_shared<nn::DownEncoderBlock2D>(
                block_config(config, config.layers_per_block, channels[i == 0 ? 0 : i - 1], channels[i],
                             /*resample=*/i + 1 < channels.size())));
        mid_block = register_module("mid_block", make_mid_block(config));
        conv_norm_out = register_module("conv_norm_out", make_norm_out(config, channels.back()));
        conv_out = register_module("conv_out",
                                   std::make_shared<nn::Conv2d>(channels.back(), 2 * config.latent_channels, 3, 1, 1));
    }

    at::Tensor forward(at::Tensor x) {
        x = conv_in->forward(x);
        for (size_t i = 0; i < down_blocks->size(); ++i) x = (*down_blocks)[i].forward(std::move(x));
        x = mid_block->forward(std::move(x), /*temb=*/{});
        return conv_out->forward(conv_norm_out->forward(std::move(x), nn::Activation::silu));
    }

    std::shared_ptr<nn::Conv2d> conv_in, conv_out;
    std::shared_ptr<nn::ModuleList<nn::DownEncoderBlock2D>> down_blocks;
    std::shared_ptr<nn::UNetMidBlock2D> mid_block;
    std::shared_ptr<nn::GroupNorm> conv_norm_out;
};

/// Latents to pictures.
struct AutoencoderKL::Decoder : torch::nn::Module {
    explicit Decoder(const AutoencoderKLConfig& config) {
        const std::vector<int64_t> channels(config.block_out_channels.rbegin(), config.block_out_channels.rend());
        conv_in =
            register_module("conv_in", std::make_shared<nn::Conv2d>(config.latent_channels, channels.front(), 3, 1, 1));
        mid_block = register_module("mid_block", make_mid_block(config));
        up_blocks = register_module("up_blocks", std::make_shared<nn::ModuleList<nn::UpDecoderBlock2D>>());
        for (size_t i = 0; i < channels.size(); ++i)
            up_blocks->append(std::make_shared<nn::UpDecoderBlock2D>(
                block_config(config, config.layers_per_block + 1, channels[i == 0 ? 0 : i - 1], channels[i],
                             /*resample=*/i + 1 < channels.size())));
        conv_norm_out = register_module("conv_norm_out", make_norm_out(config, channels.back()));
        conv_out =
            register_module("conv_out", std::make_shared<nn::Conv2d>(channels.back(), config.out_channels, 3, 1, 1));
    }

    at::Tensor forward(at::Tensor x) {
        x = conv_in->forward(x);
        x = mid_block->forward(std::move(x), /*temb=*/{});
        for (size_t i = 0; i < up_blocks->size(); ++i) x = (*up_blocks)[i].forward(std::move(x));
        return conv_out->forward(conv_norm_out->forward(std::move(x), nn::Activation::silu));
    }

    std::shared_ptr<nn::Conv2d> conv_in, conv_out;
    std::shared_ptr<nn::UNetMidBlock2D> mid_block;
    std::shared_ptr<nn::ModuleList<nn::UpDecoderBlock2D>> up_blocks;
    std::shared_ptr<nn::GroupNorm> conv_norm_out;
};

AutoencoderKL::AutoencoderKL(const AutoencoderKLConfig& config) : config_(config) {
    const int64_t latent = config.latent_channels;
    encoder_ = register_module("encoder", std::make_shared<Encoder>(config));
    decoder_ = register_module("decoder", std::make_shared<Decoder>(config));
    if (config.use_quant_conv)
        quant_conv_ = register_module("quant_conv", std::make_shared<nn::Conv2d>(2 * latent, 2 * latent, 1));
    if (config.use_post_quant_conv)
        post_quant_conv_ = register_module("post_quant_conv", std::make_shared<nn::Conv2d>(latent, latent, 1));
}

at::Tensor AutoencoderKL::encode_whole(const at::Tensor& image) {
    const at::Tensor moments = encoder_->forward(image.contiguous(image_memory_format(image.device())));
    return quant_conv_ ? quant_conv_->forward(moments) : moments;
}

at::Tensor AutoencoderKL::decode_whole(const at::Tensor& latents) {
    const at::Tensor z = latents.contiguous(image_memory_format(latents.device()));
    return decoder_->forward(post_quant_conv_ ? post_quant_conv_->forward(z) : z);
}

namespace {

bool exceeds(const at::Tensor& image, int64_t size) {
    return image.size(2) > size || image.size(3) > size;
}

}  // namespace

Posterior AutoencoderKL::encode(const at::Tensor& image, Tiling tiling) {
    const int64_t tile = config_.sample_size;
    const auto whole = [this](const at::Tensor& part) { return encode_whole(part); };
    const at::Tensor moments = tiling == Tiling::on && exceeds(image, tile)
                                   ? map_tiles(image, {.input = tile, .output = tile / config_.size_factor()}, whole)
                                   : whole(image);
    const auto halves = moments.chunk(2, 1);
    constexpr double smallest_logvar = -30, largest_logvar = 20;
    return {.mean = halves[0].contiguous(), .std = halves[1].clamp(smallest_logvar, largest_logvar).mul_(0.5).exp_()};
}

at::Tensor AutoencoderKL::decode(const at::Tensor& latents, Tiling tiling) {
    const int64_t tile = config_.sample_size / config_.size_factor();
    const auto whole = [this](const at::Tensor& part) { return decode_whole(part); };
    if (tiling == Tiling::on && exceeds(latents, tile))
        return map_tiles(latents, {.input = tile, .output = config_.sample_size}, whole);
    return whole(latents);
}

}  // namespace diffapple
