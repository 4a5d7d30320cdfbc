#include "diffapple/nn/resnet.h"

#include <ATen/ATen.h>

namespace diffapple::nn {

ResnetBlock2D::ResnetBlock2D(const ResnetConfig& config) : config_(config) {
    const int64_t in = config.in_channels, out = config.out_channels;
    const int64_t projected = config.time_scale_shift == TimeScaleShift::scale_shift ? 2 * out : out;
    norm1_ = register_module("norm1", std::make_shared<GroupNorm>(config.groups, in, config.eps));
    conv1_ = register_module("conv1", std::make_shared<Conv2d>(in, out, 3, 1, 1));
    if (config.temb_channels)
        time_emb_proj_ = register_module("time_emb_proj", std::make_shared<Linear>(*config.temb_channels, projected));
    norm2_ = register_module("norm2", std::make_shared<GroupNorm>(config.groups, out, config.eps));
    conv2_ = register_module("conv2", std::make_shared<Conv2d>(out, out, 3, 1, 1));
    if (in != out) conv_shortcut_ = register_module("conv_shortcut", std::make_shared<Conv2d>(in, out, 1));
}

at::Tensor ResnetBlock2D::resample(const at::Tensor& x) const {
    switch (config_.resample) {
        case Resample::none:
            return x;
        case Resample::up:
            return ops::upsample_nearest(x, 2 * x.size(2), 2 * x.size(3));
        case Resample::down:
            return at::avg_pool2d(x, {2, 2}, {2, 2});
    }
    return x;
}

at::Tensor ResnetBlock2D::condition_on_time(at::Tensor hidden, const at::Tensor& temb) {
    if (!time_emb_proj_) return norm2_->forward(std::move(hidden), config_.activation);
    const auto projected = time_emb_proj_->forward(temb).unsqueeze(-1).unsqueeze(-1);
    if (config_.time_scale_shift == TimeScaleShift::add) {
        hidden.add_(projected);
        return norm2_->forward(std::move(hidden), config_.activation);
    }
    const auto halves = projected.chunk(2, 1);
    hidden = norm2_->forward(std::move(hidden));
    return ops::activate(hidden.mul_(halves[0] + 1).add_(halves[1]), config_.activation);
}

at::Tensor ResnetBlock2D::forward(const at::Tensor& x, const at::Tensor& temb) {
    auto hidden = conv1_->forward(resample(norm1_->forward(x, config_.activation)));
    hidden = conv2_->forward(condition_on_time(std::move(hidden), temb));
    const auto input = resample(x);
    hidden.add_(conv_shortcut_ ? conv_shortcut_->forward(input) : input);
    return config_.output_scale_factor == 1.0 ? hidden : hidden.div_(config_.output_scale_factor);
}

Downsample2D::Downsample2D(int64_t channels, int64_t padding) : padding_(padding) {
    conv_ = register_module("conv", std::make_shared<Conv2d>(channels, channels, 3, 2, padding));
}

at::Tensor Downsample2D::forward(const at::Tensor& x) {
    return conv_->forward(padding_ == 0 ? at::constant_pad_nd(x, {0, 1, 0, 1}) : x);
}

Upsample2D::Upsample2D(int64_t channels) {
    conv_ = register_module("conv", std::make_shared<Conv2d>(channels, channels, 3, 1, 1));
}

at::Tensor Upsample2D::forward(const at::Tensor& x, int64_t height, int64_t width) {
    return conv_->forward(ops::upsample_nearest(x, height, width));
}

}  // namespace diffapple::nn
