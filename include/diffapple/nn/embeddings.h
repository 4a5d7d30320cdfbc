// Embeddings of the timestep.
#pragma once

#include <optional>

#include "diffapple/nn/layers.h"

namespace diffapple::nn {

/// Sinusoidal embedding of one timestep (Ho et al. 2020, after Vaswani et al. 2017, section 3.5), as diffusers'
/// get_timestep_embedding: frequencies 10000^(-i / (dimension / 2 - freq_shift)), sines before cosines unless flipped.
/// Returns [1, dimension], fp32 on the CPU, where it is the same for every device.
at::Tensor sinusoidal_embedding(double timestep, int64_t dimension, bool flip_sin_to_cos, double freq_shift);
/// The same for several values: positions [N] (CPU) to [N, dimension].
at::Tensor sinusoidal_embedding(const at::Tensor& positions, int64_t dimension, bool flip_sin_to_cos,
                                double freq_shift);

/// The embedding of a guidance scale as diffusers' get_guidance_scale_embedding makes it: positions [N], already times
/// 1000, to [N, dimension]; sines first, and frequencies that end at 1 / 10000 (a freq_shift of 1).
at::Tensor guidance_embedding(const at::Tensor& positions, int64_t dimension);

/// A timestep as a UNet's blocks read it: its embedding [1 or N, time_embed_dim], activated.
struct TimeEmbedding {
    double timestep;
    at::Tensor activated;
};

/// Random Fourier features of log t (Song et al. 2021, score SDE; diffusers' GaussianFourierProjection):
/// [sin, cos](2 pi w log t) with w stored in the checkpoint.
class GaussianFourierProjection : public torch::nn::Module {
public:
    explicit GaussianFourierProjection(int64_t embedding_size);
    /// Returns [1, 2 * embedding_size], fp32. Like diffusers, not finite at t = 0.
    at::Tensor forward(double timestep);

    at::Tensor weight;  ///< [embedding_size]
};

/// Two linear layers with an activation between: [N, in_channels] to [N, time_embed_dim]. With `condition_channels`, a
/// projection of a condition [N, condition_channels] is added to what comes in.
class TimestepEmbedding : public torch::nn::Module {
public:
    TimestepEmbedding(int64_t in_channels, int64_t time_embed_dim, Activation activation = Activation::silu,
                      std::optional<int64_t> condition_channels = {});
    at::Tensor forward(const at::Tensor& x, const at::Tensor& condition = {});

private:
    Activation activation_;
    std::shared_ptr<Linear> linear_1_, linear_2_, cond_proj_;
};

}  // namespace diffapple::nn
