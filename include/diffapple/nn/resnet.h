// Residual convolution blocks and the layers that change an image's size.
#pragma once

#include <optional>

#include "diffapple/nn/layers.h"

namespace diffapple::nn {

/// How the time embedding enters a residual block: added before the second norm, or as its scale and shift
/// (Dhariwal & Nichol 2021, AdaGN).
enum class TimeScaleShift { add, scale_shift };

/// What a residual block does to the image's size: nothing, doubling (nearest) or halving (2x2 average).
enum class Resample { none, up, down };

struct ResnetConfig {
    int64_t in_channels, out_channels;
    std::optional<int64_t> temb_channels;  ///< absent: a block without a time embedding (autoencoders)
    int64_t groups;
    double eps;
    Activation activation = Activation::silu;
    TimeScaleShift time_scale_shift = TimeScaleShift::add;
    double output_scale_factor = 1.0;
    Resample resample = Resample::none;
};

/// norm, activation, (resample), conv, time embedding, norm, activation, conv, plus the shortcut; divided by the output
/// scale factor. Ho et al. 2020, appendix B; diffusers' ResnetBlock2D.
class ResnetBlock2D : public torch::nn::Module {
public:
    explicit ResnetBlock2D(const ResnetConfig& config);
    /// x [N, in, H, W]; temb [1 or N, temb_channels], already activated (the same for every block of a model);
    /// undefined for a block without one.
    at::Tensor forward(const at::Tensor& x, const at::Tensor& temb);

private:
    at::Tensor resample(const at::Tensor& x) const;
    at::Tensor condition_on_time(at::Tensor hidden, const at::Tensor& temb);

    ResnetConfig config_;
    std::shared_ptr<GroupNorm> norm1_, norm2_;
    std::shared_ptr<Conv2d> conv1_, conv2_, conv_shortcut_;
    std::shared_ptr<Linear> time_emb_proj_;
};

/// Halves the image by a 3x3 convolution of stride 2. Padding 0 pads one row and column at the bottom and right.
class Downsample2D : public torch::nn::Module {
public:
    Downsample2D(int64_t channels, int64_t padding);
    at::Tensor forward(const at::Tensor& x);

private:
    int64_t padding_;
    std::shared_ptr<Conv2d> conv_;
};

/// Enlarges the image (nearest), then a 3x3 convolution.
class Upsample2D : public torch::nn::Module {
public:
    explicit Upsample2D(int64_t channels);
    /// To twice the size.
    at::Tensor forward(const at::Tensor& x) { return forward(x, 2 * x.size(2), 2 * x.size(3)); }
    /// To the given size.
    at::Tensor forward(const at::Tensor& x, int64_t height, int64_t width);

private:
    std::shared_ptr<Conv2d> conv_;
};

}  // namespace diffapple::nn
