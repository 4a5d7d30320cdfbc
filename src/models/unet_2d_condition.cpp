#include "diffapple/models/unet_2d_condition.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "diffapple/core/device.h"
#include "diffapple/core/error.h"

namespace diffapple {
namespace {

/// The settings that all blocks of the model share.
nn::BlockConfig common_block(const UNet2DConditionConfig& config) {
    return {.resnet = {.temb_channels = config.time_embed_dim,
                       .groups = config.norm_num_groups,
                       .eps = config.norm_eps,
                       .activation = config.act_fn,
                       .time_scale_shift = config.resnet_time_scale_shift},
            .downsample_padding = config.downsample_padding};
}

/// Their depths are the block's.
nn::TransformerConfig transformer(const UNet2DConditionConfig& config, size_t level) {
    return {.channels = config.block_out_channels[level],
            .heads = config.heads[level],
            .text_channels = config.cross_attention_dim,
            .norm_groups = config.norm_num_groups,
            .upcast_attention = config.upcast_attention};
}

std::shared_ptr<nn::DownBlock2D> make_down_block(const UNet2DConditionConfig& config, size_t level) {
    const auto& channels = config.block_out_channels;
    nn::BlockConfig block = common_block(config);
    block.layers = config.layers_per_block[level];
    block.in_channels = channels[level == 0 ? 0 : level - 1];
    block.out_channels = channels[level];
    if (config.down_block_types[level].starts_with("CrossAttn")) block.transformer = transformer(config, level);
    block.transformer_depths = config.transformer_layers[level];
    if (level + 1 < channels.size()) block.sampler = nn::Sampler::conv;
    return std::make_shared<nn::DownBlock2D>(block);
}

std::shared_ptr<nn::UNetMidBlock2D> make_mid_block(const UNet2DConditionConfig& config) {
    const size_t level = config.block_out_channels.size() - 1;
    const bool with_text = *config.mid_block_type == "UNetMidBlock2DCrossAttn";
    nn::BlockConfig block = common_block(config);
    block.layers = with_text ? 1 : 0;
    block.in_channels = block.out_channels = config.block_out_channels[level];
    block.resnet.output_scale_factor = config.mid_block_scale_factor;
    if (with_text) block.transformer = transformer(config, level);
    block.transformer_depths = {config.transformer_layers[level].front()};
    return std::make_shared<nn::UNetMidBlock2D>(block);
}

std::shared_ptr<nn::UpBlock2D> make_up_block(const UNet2DConditionConfig& config, size_t i) {
    const auto& channels = config.block_out_channels;
    const size_t level = channels.size() - 1 - i;
    nn::BlockConfig block = common_block(config);
    block.layers = config.layers_per_block[level] + 1;
    block.in_channels = channels[std::min(level + 1, channels.size() - 1)];
    block.out_channels = channels[level];
    block.skip_channels = channels[level == 0 ? 0 : level - 1];
    if (config.up_block_types[i].starts_with("CrossAttn")) block.transformer = transformer(config, level);
    block.transformer_depths = config.up_transformer_layers[i];
    if (level > 0) block.sampler = nn::Sampler::conv;
    return std::make_shared<nn::UpBlock2D>(block);
}

/// A convolution that keeps the image's size.
std::shared_ptr<nn::Conv2d> make_conv(int64_t in_channels, int64_t out_channels, int64_t kernel_size) {
    return std::make_shared<nn::Conv2d>(in_channels, out_channels, kernel_size, 1, (kernel_size - 1) / 2);
}

}  // namespace

UNet2DConditionModel::UNet2DConditionModel(const UNet2DConditionConfig& config) : config_(config) {
    const int64_t first = config.block_out_channels.front();
    const size_t levels = config.block_out_channels.size();
    conv_in_ = register_module("conv_in", make_conv(config.in_channels, first, config.conv_in_kernel));
    time_embedding_ =
        register_module("time_embedding", std::make_shared<nn::TimestepEmbedding>(
                                              first, config.time_embed_dim, config.act_fn, config.guidance_embed_dim));
    if (config.encoder_hid_dim)
        encoder_hid_proj_ = register_module(
            "encoder_hid_proj", std::make_shared<nn::Linear>(*config.encoder_hid_dim, config.cross_attention_dim));
    if (config.text_time)
        add_embedding_ = register_module("add_embedding", std::make_shared<nn::TimestepEmbedding>(
                                                              config.text_time->input_dim, config.time_embed_dim));
    down_blocks_ = register_module("down_blocks", std::make_shared<nn::ModuleList<nn::DownBlock2D>>());
    for (size_t i = 0; i < levels; ++i) down_blocks_->append(make_down_block(config, i));
    if (config.mid_block_type) mid_block_ = register_module("mid_block", make_mid_block(config));
    up_blocks_ = register_module("up_blocks", std::make_shared<nn::ModuleList<nn::UpBlock2D>>());
    for (size_t i = 0; i < levels; ++i) up_blocks_->append(make_up_block(config, i));
    conv_norm_out_ = register_module("conv_norm_out",
                                     std::make_shared<nn::GroupNorm>(config.norm_num_groups, first, config.norm_eps));
    conv_out_ = register_module("conv_out", make_conv(first, config.out_channels, config.conv_out_kernel));
    for (size_t number = 0; auto* const block : transformer_blocks()) block->set_number(number++);
}

std::vector<nn::BasicTransformerBlock*> UNet2DConditionModel::transformer_blocks() const {
    std::vector<nn::BasicTransformerBlock*> blocks;
    for (const auto& module : modules(/*include_self=*/false))
        if (auto* const block = module->as<nn::BasicTransformerBlock>()) blocks.push_back(block);
    return blocks;
}

nn::TextContext UNet2DConditionModel::encode_text(const at::Tensor& embeddings) {
    if (embeddings.size(-1) != config_.text_width())
        fail("unet: it takes text embeddings of width ", config_.text_width(), " (",
             config_.encoder_hid_dim ? "encoder_hid_dim" : "cross_attention_dim", "), but got ", embeddings.size(-1),
             "; the text encoder belongs to another model");
    const auto projected = encoder_hid_proj_ ? encoder_hid_proj_->forward(embeddings) : embeddings;
    nn::TextContext context;
    for (auto* const block : transformer_blocks()) context.append(block->project_text(projected));
    return context;
}

at::Tensor UNet2DConditionModel::embed_added(const at::Tensor& text_embeds, const at::Tensor& time_ids) {
    const auto& [time_embed_dim, input_dim] = config_.text_time.value();
    const int64_t given = text_embeds.size(1) + time_ids.size(1) * time_embed_dim;
    if (given != input_dim)
        fail("unet: its added embedding takes ", input_dim, " values (projection_class_embeddings_input_dim), but the ",
             "pooled text has ", text_embeds.size(1), " and the ", time_ids.size(1), " sizes ",
             time_ids.size(1) * time_embed_dim, "; the text encoder belongs to another model");
    const auto sizes = time_ids.to(at::kCPU).to(text_embeds.scalar_type()).flatten();
    const auto embedded = nn::sinusoidal_embedding(sizes, time_embed_dim, config_.flip_sin_to_cos, config_.freq_shift)
                              .reshape({text_embeds.size(0), -1});
    return add_embedding_->forward(
        at::cat({text_embeds, embedded.to(text_embeds.device(), text_embeds.scalar_type())}, 1));
}

at::Tensor UNet2DConditionModel::embed_guidance(double scale) {
    constexpr double timesteps = 1000;  // the scale above 1, as if it were a share of all timesteps
    const auto position = at::full({1}, scale - 1, at::kFloat).mul_(timesteps);
    return nn::guidance_embedding(position, config_.guidance_embed_dim.value())
        .to(conv_in_->weight.device(), conv_in_->weight.scalar_type());
}

std::vector<nn::TimeEmbedding> UNet2DConditionModel::embed_times(const std::vector<double>& timesteps,
                                                                 const at::Tensor& added, const at::Tensor& guidance) {
    std::vector<at::Tensor> projected;
    for (const double timestep : timesteps)
        projected.push_back(nn::sinusoidal_embedding(timestep, config_.block_out_channels.front(),
                                                     config_.flip_sin_to_cos, config_.freq_shift));
    const auto all = at::cat(projected).to(conv_in_->weight.device(), conv_in_->weight.scalar_type());
    std::vector<nn::TimeEmbedding> times;  // one by one: several rows of a product are not the same to the last bit
    for (size_t i = 0; i < timesteps.size(); ++i)
        times.push_back({timesteps[i], embed_time(all.narrow(0, static_cast<int64_t>(i), 1), added, guidance)});
    return times;
}

at::Tensor UNet2DConditionModel::embed_time(const at::Tensor& projected, const at::Tensor& added,
                                            const at::Tensor& guidance) {
    auto temb = time_embedding_->forward(projected, guidance);
    if (config_.timestep_post_act) temb = nn::ops::activate(std::move(temb), *config_.timestep_post_act);
    if (added.defined()) temb = temb.add(added);
    if (config_.time_embedding_act_fn) temb = nn::ops::activate(std::move(temb), *config_.time_embedding_act_fn);
    // Every block activates the embedding in the same way, so it is done once.
    return nn::ops::activate(std::move(temb), config_.act_fn);
}

at::Tensor UNet2DConditionModel::forward(const at::Tensor& sample, const nn::TimeEmbedding& time,
                                         const nn::TextContext& text) {
    // 1. time
    const at::Tensor& temb = time.activated;

    // 2. pre-process
    auto x = config_.center_input_sample ? sample.mul(2).sub_(1) : sample;
    x = conv_in_->forward(x.contiguous(image_memory_format(x.device())));

    // 3. down
    std::vector<at::Tensor> skips{x};
    for (size_t i = 0; i < down_blocks_->size(); ++i) {
        x = (*down_blocks_)[i].forward(std::move(x), temb, skips, text);
        commit(x.device());
    }

    // 4. mid
    if (mid_block_) x = mid_block_->forward(std::move(x), temb, text);
    commit(x.device());

    // 5. up
    for (size_t i = 0; i < up_blocks_->size(); ++i) {
        x = (*up_blocks_)[i].forward(std::move(x), temb, skips, text);
        commit(x.device());
    }

    // 6. post-process
    return conv_out_->forward(conv_norm_out_->forward(std::move(x), config_.act_fn));
}

}  // namespace diffapple
