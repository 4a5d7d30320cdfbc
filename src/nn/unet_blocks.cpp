#include "diffapple/nn/unet_blocks.h"

#include <ATen/ATen.h>

namespace diffapple::nn {
namespace {

std::shared_ptr<ResnetBlock2D> make_resnet(const BlockConfig& config, int64_t in_channels, int64_t out_channels,
                                           Resample resample = Resample::none) {
    ResnetConfig resnet = config.resnet;
    resnet.in_channels = in_channels;
    resnet.out_channels = out_channels;
    resnet.resample = resample;
    return std::make_shared<ResnetBlock2D>(resnet);
}

std::shared_ptr<ImageAttention> make_attention(const BlockConfig& config, size_t layer) {
    if (config.transformer) {
        TransformerConfig transformer = *config.transformer;
        transformer.layers = config.transformer_depths[layer];
        return std::make_shared<Transformer2DModel>(transformer);
    }
    return std::make_shared<Attention>(AttentionConfig{.channels = config.out_channels,
                                                       .head_dim = *config.attention_head_dim,
                                                       .norm_groups = config.attention_groups,
                                                       .eps = config.resnet.eps,
                                                       .rescale_output_factor = config.resnet.output_scale_factor});
}

/// "attentions", with one per layer, or null where the block has none.
std::shared_ptr<ModuleList<ImageAttention>> make_attentions(torch::nn::Module& block, const BlockConfig& config) {
    if (!config.attention_head_dim && !config.transformer) return nullptr;
    auto attentions = block.register_module("attentions", std::make_shared<ModuleList<ImageAttention>>());
    for (int64_t i = 0; i < config.layers; ++i) attentions->append(make_attention(config, static_cast<size_t>(i)));
    return attentions;
}

}  // namespace

DownBlock2D::DownBlock2D(const BlockConfig& config) {
    resnets_ = register_module("resnets", std::make_shared<ModuleList<ResnetBlock2D>>());
    for (int64_t i = 0; i < config.layers; ++i)
        resnets_->append(make_resnet(config, i == 0 ? config.in_channels : config.out_channels, config.out_channels));
    attentions_ = make_attentions(*this, config);
    if (config.sampler == Sampler::conv) {
        conv_downsamplers_ = register_module("downsamplers", std::make_shared<ModuleList<Downsample2D>>());
        conv_downsamplers_->append(std::make_shared<Downsample2D>(config.out_channels, config.downsample_padding));
    } else if (config.sampler == Sampler::resnet) {
        resnet_downsamplers_ = register_module("downsamplers", std::make_shared<ModuleList<ResnetBlock2D>>());
        resnet_downsamplers_->append(make_resnet(config, config.out_channels, config.out_channels, Resample::down));
    }
}

at::Tensor DownBlock2D::forward(at::Tensor x, const at::Tensor& temb, std::vector<at::Tensor>& skips,
                                const TextContext& text) {
    for (size_t i = 0; i < resnets_->size(); ++i) {
        x = (*resnets_)[i].forward(x, temb);
        if (attentions_) x = (*attentions_)[i].forward(x, text);
        skips.push_back(x);
    }
    if (conv_downsamplers_) x = (*conv_downsamplers_)[0].forward(x);
    if (resnet_downsamplers_) x = (*resnet_downsamplers_)[0].forward(x, temb);
    if (conv_downsamplers_ || resnet_downsamplers_) skips.push_back(x);
    return x;
}

UpBlock2D::UpBlock2D(const BlockConfig& config) {
    resnets_ = register_module("resnets", std::make_shared<ModuleList<ResnetBlock2D>>());
    for (int64_t i = 0; i < config.layers; ++i) {
        const int64_t below = i == 0 ? config.in_channels : config.out_channels;
        const int64_t skip = i == config.layers - 1 ? config.skip_channels : config.out_channels;
        resnets_->append(make_resnet(config, below + skip, config.out_channels));
    }
    attentions_ = make_attentions(*this, config);
    if (config.sampler == Sampler::conv) {
        conv_upsamplers_ = register_module("upsamplers", std::make_shared<ModuleList<Upsample2D>>());
        conv_upsamplers_->append(std::make_shared<Upsample2D>(config.out_channels));
    } else if (config.sampler == Sampler::resnet) {
        resnet_upsamplers_ = register_module("upsamplers", std::make_shared<ModuleList<ResnetBlock2D>>());
        resnet_upsamplers_->append(make_resnet(config, config.out_channels, config.out_channels, Resample::up));
    }
}

at::Tensor UpBlock2D::forward(at::Tensor x, const at::Tensor& temb, std::vector<at::Tensor>& skips,
                              const TextContext& text) {
    for (size_t i = 0; i < resnets_->size(); ++i) {
        x = at::cat({x, skips.back()}, 1);
        skips.pop_back();
        x = (*resnets_)[i].forward(x, temb);
        if (attentions_) x = (*attentions_)[i].forward(x, text);
    }
    if (conv_upsamplers_) {
        auto& upsampler = (*conv_upsamplers_)[0];
        x = skips.empty() ? upsampler.forward(x) : upsampler.forward(x, skips.back().size(2), skips.back().size(3));
    }
    if (resnet_upsamplers_) x = (*resnet_upsamplers_)[0].forward(x, temb);
    return x;
}

UNetMidBlock2D::UNetMidBlock2D(const BlockConfig& config) {
    resnets_ = register_module("resnets", std::make_shared<ModuleList<ResnetBlock2D>>());
    for (int64_t i = 0; i <= config.layers; ++i)
        resnets_->append(make_resnet(config, config.in_channels, config.out_channels));
    attentions_ = make_attentions(*this, config);
}

at::Tensor UNetMidBlock2D::forward(at::Tensor x, const at::Tensor& temb, const TextContext& text) {
    x = (*resnets_)[0].forward(x, temb);
    for (size_t i = 1; i < resnets_->size(); ++i) {
        if (attentions_) x = (*attentions_)[i - 1].forward(x, text);
        x = (*resnets_)[i].forward(x, temb);
    }
    return x;
}

}  // namespace diffapple::nn
