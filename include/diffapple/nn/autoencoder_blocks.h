// The down and up blocks of the autoencoder: residual blocks without time embedding and without skips.
#pragma once

#include "diffapple/nn/resnet.h"

namespace diffapple::nn {

/// The epsilon of every norm of the autoencoder, whatever the config says of others (as in diffusers).
constexpr double autoencoder_eps = 1e-6;

struct AutoencoderBlockConfig {
    int64_t layers;
    int64_t in_channels, out_channels;
    int64_t groups;
    Activation activation;
    bool resample;  ///< halve (down) or double (up) the image after the layers
};

/// DownEncoderBlock2D of diffusers.
class DownEncoderBlock2D : public torch::nn::Module {
public:
    explicit DownEncoderBlock2D(const AutoencoderBlockConfig& config);
    at::Tensor forward(at::Tensor x);

private:
    std::shared_ptr<ModuleList<ResnetBlock2D>> resnets_;
    std::shared_ptr<ModuleList<Downsample2D>> downsamplers_;
};

/// UpDecoderBlock2D of diffusers.
class UpDecoderBlock2D : public torch::nn::Module {
public:
    explicit UpDecoderBlock2D(const AutoencoderBlockConfig& config);
    at::Tensor forward(at::Tensor x);

private:
    std::shared_ptr<ModuleList<ResnetBlock2D>> resnets_;
    std::shared_ptr<ModuleList<Upsample2D>> upsamplers_;
};

}  // namespace diffapple::nn
