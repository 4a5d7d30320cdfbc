#include "diffapple/models/unet_2d.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "config_fields.h"
#include "diffapple/core/device.h"
#include "diffapple/core/error.h"

namespace diffapple {
namespace {

/// What a block type of the config says: whether it has attention, and a sampler that overrides the model's.
struct BlockType {
    bool attention = false;
    std::optional<nn::Sampler> sampler;
};

BlockType parse_block_type(const JsonFields& fields, const std::string& key, const std::string& name) {
    const std::string side = key == "down_block_types" ? "Down" : "Up";
    if (name == side + "Block2D") return {.sampler = nn::Sampler::conv};
    if (name == "Attn" + side + "Block2D") return {.attention = true};
    if (name == "Resnet" + side + "sampleBlock2D") return {.sampler = nn::Sampler::resnet};
    fields.reject(key, concat("has the unsupported block '", name, "'; this program has ", side, "Block2D, Attn", side,
                              "Block2D and Resnet", side, "sampleBlock2D"));
}

nn::Sampler read_sampler(const JsonFields& fields, const std::string& key) {
    return fields.choice(key, {"conv", "resnet"}, "conv") == "conv" ? nn::Sampler::conv : nn::Sampler::resnet;
}

void refuse_class_conditioning(const JsonFields& fields) {
    for (const std::string key : {"class_embed_type", "num_class_embeds"})
        if (fields.has(key)) fields.reject(key, "is set, but class-conditional models are not supported");
}

std::optional<int64_t> read_head_dim(const JsonFields& fields) {
    // Absent means 8, null means one head: diffusers' default argument against an explicit None.
    if (fields.given("attention_head_dim") && !fields.has("attention_head_dim")) return std::nullopt;
    return fields.integer("attention_head_dim", 1, max_channels, 8);
}

void read_blocks(const JsonFields& fields, UNet2DConfig& config) {
    config.down_block_types = read_block_names(
        fields, "down_block_types", {"DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"});
    config.up_block_types =
        read_block_names(fields, "up_block_types", {"AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"});
    config.block_out_channels = read_block_out_channels(fields, {224, 448, 672, 896});
    const size_t blocks = config.block_out_channels.size();
    for (const auto& [key, count] : {std::pair{"down_block_types", config.down_block_types.size()},
                                     std::pair{"up_block_types", config.up_block_types.size()}})
        require_one_per_block(fields, key, count, blocks);
    for (const auto& name : config.down_block_types) parse_block_type(fields, "down_block_types", name);
    for (const auto& name : config.up_block_types) parse_block_type(fields, "up_block_types", name);
    config.mid_block = true;
    if (fields.given("mid_block_type")) {
        config.mid_block = fields.has("mid_block_type");
        if (config.mid_block) fields.choice("mid_block_type", {"UNetMidBlock2D"});
    }
}

}  // namespace

UNet2DConfig UNet2DConfig::from_json(const JsonFields& fields) {
    require_class(fields, "UNet2DModel");
    refuse_class_conditioning(fields);
    UNet2DConfig config;
    config.sample_size = read_sample_size(fields);
    read_blocks(fields, config);
    config.in_channels = fields.integer("in_channels", 1, max_channels, 3);
    config.out_channels = fields.integer("out_channels", 1, max_channels, 3);
    config.center_input_sample = fields.boolean("center_input_sample", false);
    config.fourier_embedding =
        fields.choice("time_embedding_type", {"positional", "fourier"}, "positional") == "fourier";
    config.time_embed_dim = fields.integer("time_embedding_dim", 1, 4 * max_channels, 4 * config.block_out_channels[0]);
    config.freq_shift = fields.number("freq_shift", 0.0);
    config.flip_sin_to_cos = fields.boolean("flip_sin_to_cos", true);
    config.layers_per_block = fields.integer("layers_per_block", 1, 64, 2);
    config.mid_block_scale_factor = read_mid_block_scale_factor(fields);
    config.downsample_padding = fields.integer("downsample_padding", 0, 1, 1);
    config.downsample_type = read_sampler(fields, "downsample_type");
    config.upsample_type = read_sampler(fields, "upsample_type");
    config.act_fn = read_act_fn(fields);
    config.attention_head_dim = read_head_dim(fields);
    config.norm_num_groups = fields.integer("norm_num_groups", 1, max_channels, 32);
    config.norm_eps = fields.number("norm_eps", 1e-5);
    config.resnet_time_scale_shift = read_time_scale_shift(fields);
    config.add_attention = fields.boolean("add_attention", true);
    if (fields.has("attn_norm_num_groups"))
        config.mid_attention_groups = fields.integer("attn_norm_num_groups", 1, max_channels);
    else if (config.resnet_time_scale_shift == nn::TimeScaleShift::add)
        config.mid_attention_groups = config.norm_num_groups;
    return config;
}

namespace {

/// The settings that all blocks of the model share.
nn::BlockConfig common_block(const UNet2DConfig& config) {
    return {.layers = config.layers_per_block,
            .resnet = {.temb_channels = config.time_embed_dim,
                       .groups = config.norm_num_groups,
                       .eps = config.norm_eps,
                       .activation = config.act_fn,
                       .time_scale_shift = config.resnet_time_scale_shift},
            .attention_groups = config.norm_num_groups,
            .downsample_padding = config.downsample_padding};
}

bool has_attention(const std::string& block_type) {
    return block_type.starts_with("Attn");
}

/// DownBlock2D and UpBlock2D always resample by convolution, the Resnet... kinds by a resnet; only blocks with
/// attention follow downsample_type and upsample_type (as in diffusers' get_down_block and get_up_block).
nn::Sampler sampler_of(const std::string& block_type, nn::Sampler of_model) {
    if (has_attention(block_type)) return of_model;
    return block_type.starts_with("Resnet") ? nn::Sampler::resnet : nn::Sampler::conv;
}

std::shared_ptr<nn::DownBlock2D> make_down_block(const UNet2DConfig& config, size_t i) {
    const auto& channels = config.block_out_channels;
    const std::string& type = config.down_block_types[i];
    nn::BlockConfig block = common_block(config);
    block.in_channels = channels[i == 0 ? 0 : i - 1];
    block.out_channels = channels[i];
    if (has_attention(type)) block.attention_head_dim = config.attention_head_dim.value_or(channels[i]);
    if (i + 1 < channels.size()) block.sampler = sampler_of(type, config.downsample_type);
    return std::make_shared<nn::DownBlock2D>(block);
}

std::shared_ptr<nn::UpBlock2D> make_up_block(const UNet2DConfig& config, size_t i) {
    const auto& channels = config.block_out_channels;
    const size_t level = channels.size() - 1 - i;
    const std::string& type = config.up_block_types[i];
    nn::BlockConfig block = common_block(config);
    block.layers = config.layers_per_block + 1;
    block.in_channels = channels[std::min(level + 1, channels.size() - 1)];
    block.out_channels = channels[level];
    block.skip_channels = channels[level == 0 ? 0 : level - 1];
    if (has_attention(type)) block.attention_head_dim = config.attention_head_dim.value_or(channels[level]);
    if (level > 0) block.sampler = sampler_of(type, config.upsample_type);
    return std::make_shared<nn::UpBlock2D>(block);
}

std::shared_ptr<nn::UNetMidBlock2D> make_mid_block(const UNet2DConfig& config) {
    nn::BlockConfig block = common_block(config);
    block.layers = 1;
    block.in_channels = block.out_channels = config.block_out_channels.back();
    block.resnet.output_scale_factor = config.mid_block_scale_factor;
    block.attention_groups = config.mid_attention_groups;
    if (config.add_attention) block.attention_head_dim = config.attention_head_dim.value_or(block.out_channels);
    return std::make_shared<nn::UNetMidBlock2D>(block);
}

}  // namespace

UNet2DModel::UNet2DModel(const UNet2DConfig& config) : config_(config) {
    const int64_t first = config.block_out_channels.front();
    conv_in_ = register_module("conv_in", std::make_shared<nn::Conv2d>(config.in_channels, first, 3, 1, 1));
    if (config.fourier_embedding)
        time_proj_ = register_module("time_proj", std::make_shared<nn::GaussianFourierProjection>(first));
    time_embedding_ = register_module(
        "time_embedding",
        std::make_shared<nn::TimestepEmbedding>(config.fourier_embedding ? 2 * first : first, config.time_embed_dim));
    down_blocks_ = register_module("down_blocks", std::make_shared<nn::ModuleList<nn::DownBlock2D>>());
    for (size_t i = 0; i < config.block_out_channels.size(); ++i) down_blocks_->append(make_down_block(config, i));
    if (config.mid_block) mid_block_ = register_module("mid_block", make_mid_block(config));
    up_blocks_ = register_module("up_blocks", std::make_shared<nn::ModuleList<nn::UpBlock2D>>());
    for (size_t i = 0; i < config.block_out_channels.size(); ++i) up_blocks_->append(make_up_block(config, i));
    conv_norm_out_ = register_module("conv_norm_out",
                                     std::make_shared<nn::GroupNorm>(config.norm_num_groups, first, config.norm_eps));
    conv_out_ = register_module("conv_out", std::make_shared<nn::Conv2d>(first, config.out_channels, 3, 1, 1));
}

at::Tensor UNet2DModel::project_times(const std::vector<double>& timesteps) {
    std::vector<at::Tensor> projected;
    for (const double timestep : timesteps)
        projected.push_back(config_.fourier_embedding
                                ? time_proj_->forward(timestep)
                                : nn::sinusoidal_embedding(timestep, config_.block_out_channels.front(),
                                                           config_.flip_sin_to_cos, config_.freq_shift));
    return at::cat(projected).to(conv_in_->weight.device(), conv_in_->weight.scalar_type());
}

std::vector<nn::TimeEmbedding> UNet2DModel::embed_times(const std::vector<double>& timesteps) {
    const auto projected = project_times(timesteps);
    std::vector<nn::TimeEmbedding> times;  // one by one: several rows of a product are not the same to the last bit
    for (size_t i = 0; i < timesteps.size(); ++i) {
        auto temb = time_embedding_->forward(projected.narrow(0, static_cast<int64_t>(i), 1));
        // Every block activates the embedding in the same way, so it is done once.
        times.push_back({timesteps[i], nn::ops::activate(std::move(temb), config_.act_fn)});
    }
    return times;
}

at::Tensor UNet2DModel::forward(const at::Tensor& sample, const nn::TimeEmbedding& time) {
    // 1. time
    const at::Tensor& temb = time.activated;

    // 2. pre-process
    auto x = config_.center_input_sample ? sample.mul(2).sub_(1) : sample;
    x = conv_in_->forward(x.contiguous(image_memory_format(x.device())));

    // 3. down
    std::vector<at::Tensor> skips{x};
    for (size_t i = 0; i < down_blocks_->size(); ++i) {
        x = (*down_blocks_)[i].forward(std::move(x), temb, skips);
        commit(x.device());
    }

    // 4. mid
    if (mid_block_) x = mid_block_->forward(std::move(x), temb);
    commit(x.device());

    // 5. up
    for (size_t i = 0; i < up_blocks_->size(); ++i) {
        x = (*up_blocks_)[i].forward(std::move(x), temb, skips);
        commit(x.device());
    }

    // 6. post-process
    x = conv_out_->forward(conv_norm_out_->forward(std::move(x), nn::Activation::silu));
    return config_.fourier_embedding ? x.div_(time.timestep) : x;
}

}  // namespace diffapple
