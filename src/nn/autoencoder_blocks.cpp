#include "diffapple/nn/autoencoder_blocks.h"

#include <ATen/ATen.h>

namespace diffapple::nn {
namespace {

std::shared_ptr<ModuleList<ResnetBlock2D>> make_resnets(torch::nn::Module& block,
                                                        const AutoencoderBlockConfig& config) {
    auto resnets = block.register_module("resnets", std::make_shared<ModuleList<ResnetBlock2D>>());
    for (int64_t i = 0; i < config.layers; ++i)
        resnets->append(std::make_shared<ResnetBlock2D>(
            ResnetConfig{.in_channels = i == 0 ? config.in_channels : config.out_channels,
                         .out_channels = config.out_channels,
                         .groups = config.groups,
                         .eps = autoencoder_eps,
                         .activation = config.activation}));
    return resnets;
}

at::Tensor run(ModuleList<ResnetBlock2D>& resnets, at::Tensor x) {
    for (size_t i = 0; i < resnets.size(); ++i) x = resnets[i].forward(x, /*temb=*/{});
    return x;
}

}  // namespace

DownEncoderBlock2D::DownEncoderBlock2D(const AutoencoderBlockConfig& config) : resnets_(make_resnets(*this, config)) {
    if (!config.resample) return;
    constexpr int64_t padding_at_bottom_and_right = 0;
    downsamplers_ = register_module("downsamplers", std::make_shared<ModuleList<Downsample2D>>());
    downsamplers_->append(std::make_shared<Downsample2D>(config.out_channels, padding_at_bottom_and_right));
}

at::Tensor DownEncoderBlock2D::forward(at::Tensor x) {
    x = run(*resnets_, std::move(x));
    return downsamplers_ ? (*downsamplers_)[0].forward(x) : x;
}

UpDecoderBlock2D::UpDecoderBlock2D(const AutoencoderBlockConfig& config) : resnets_(make_resnets(*this, config)) {
    if (!config.resample) return;
    upsamplers_ = register_module("upsamplers", std::make_shared<ModuleList<Upsample2D>>());
    upsamplers_->append(std::make_shared<Upsample2D>(config.out_channels));
}

at::Tensor UpDecoderBlock2D::forward(at::Tensor x) {
    x = run(*resnets_, std::move(x));
    return upsamplers_ ? (*upsamplers_)[0].forward(x) : x;
}

}  // namespace diffapple::nn
