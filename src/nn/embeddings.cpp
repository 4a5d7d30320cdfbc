#include "diffapple/nn/embeddings.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>

namespace diffapple::nn {

at::Tensor sinusoidal_embedding(double timestep, int64_t dimension, bool flip_sin_to_cos, double freq_shift) {
    return sinusoidal_embedding(at::full({1}, timestep, at::kFloat), dimension, flip_sin_to_cos, freq_shift);
}

at::Tensor sinusoidal_embedding(const at::Tensor& positions, int64_t dimension, bool flip_sin_to_cos,
                                double freq_shift) {
    constexpr double max_period = 10000.0;
    const int64_t half = dimension / 2;
    const auto exponent = at::arange(half, at::kFloat).mul(-std::log(max_period)).div(half - freq_shift);
    const auto angles = positions.to(at::kFloat).unsqueeze(1).mul(at::exp(exponent));
    const auto sine = at::sin(angles), cosine = at::cos(angles);
    const auto embedding = flip_sin_to_cos ? at::cat({cosine, sine}, 1) : at::cat({sine, cosine}, 1);
    return at::pad(embedding, {0, dimension % 2});
}

at::Tensor guidance_embedding(const at::Tensor& positions, int64_t dimension) {
    constexpr float max_period = 10000;
    const int64_t half = dimension / 2;
    // In floats: the positions are thousands of radians, in which the rounding of a frequency shows.
    const float distance = std::log(max_period) / static_cast<float>(half - 1);
    const auto angles = positions.unsqueeze(1).mul(at::exp(at::arange(half, at::kFloat).mul(-distance)));
    return at::pad(at::cat({at::sin(angles), at::cos(angles)}, 1), {0, dimension % 2});
}

GaussianFourierProjection::GaussianFourierProjection(int64_t embedding_size) {
    weight = declare_parameter(*this, "weight", {embedding_size});
}

at::Tensor GaussianFourierProjection::forward(double timestep) {
    const auto angles = weight.to(at::kFloat).mul(std::log(timestep)).mul(2).mul(std::numbers::pi).unsqueeze(0);
    return at::cat({at::sin(angles), at::cos(angles)}, 1);
}

TimestepEmbedding::TimestepEmbedding(int64_t in_channels, int64_t time_embed_dim, Activation activation,
                                     std::optional<int64_t> condition_channels)
    : activation_(activation) {
    if (condition_channels)
        cond_proj_ =
            register_module("cond_proj", std::make_shared<Linear>(*condition_channels, in_channels, /*bias=*/false));
    linear_1_ = register_module("linear_1", std::make_shared<Linear>(in_channels, time_embed_dim));
    linear_2_ = register_module("linear_2", std::make_shared<Linear>(time_embed_dim, time_embed_dim));
}

at::Tensor TimestepEmbedding::forward(const at::Tensor& x, const at::Tensor& condition) {
    const auto input = cond_proj_ && condition.defined() ? x.add(cond_proj_->forward(condition)) : x;
    return linear_2_->forward(ops::activate(linear_1_->forward(input), activation_));
}

}  // namespace diffapple::nn
