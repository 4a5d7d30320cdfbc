// The denoising loop and the way from a sample to 8-bit pictures.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <limits>

#include "diffapple/core/error.h"
#include "diffapple/pipelines/denoise.h"

namespace diffapple {
namespace {

/// Two turns at the same timestep, each adding the model's output.
class AddingScheduler final : public Scheduler {
public:
    const std::vector<double>& timesteps() const override { return timesteps_; }
    at::Tensor step(const at::Tensor& output, size_t index, const at::Tensor& sample, NoiseSource& /*noise*/) override {
        indices.push_back(index);
        return sample + output;
    }
    at::Tensor add_noise(const at::Tensor& original, const at::Tensor& noise, size_t /*index*/) const override {
        return original + noise;
    }
    std::vector<size_t> indices;

private:
    std::vector<double> timesteps_{5, 5};
};

TEST(Denoise, AddressesTurnsByIndex) {
    AddingScheduler scheduler;
    NoiseSource noise(0);
    std::vector<size_t> reported;
    const auto result = denoise(
        at::zeros({1, 3, 2, 2}), scheduler,
        [&](const at::Tensor& x, size_t index) { return x + scheduler.timesteps()[index]; }, noise,
        [&](size_t done, size_t total) { reported.push_back(10 * done + total); });
    EXPECT_EQ(scheduler.indices, (std::vector<size_t>{0, 1}));
    EXPECT_EQ(reported, (std::vector<size_t>{2, 12, 22}));
    EXPECT_EQ(result.turns, 2U);
    EXPECT_TRUE(at::equal(result.sample, at::full({1, 3, 2, 2}, 15.0F)));  // 0 + 5, then 5 + 10
}

TEST(Denoise, NaNIsAnErrorThatNamesTheStage) {
    AddingScheduler scheduler;
    NoiseSource noise(0);
    const Predict broken = [](const at::Tensor& x, size_t) { return x + std::numeric_limits<float>::quiet_NaN(); };
    try {
        denoise(at::zeros({1, 3, 2, 2}), scheduler, broken, noise, [](size_t, size_t) {});
        FAIL() << "no error";
    } catch (const Error& error) {
        EXPECT_NE(std::string(error.what()).find("denoising"), std::string::npos);
    }
}

TEST(Denoise, WhatFollowsATurnGetsTheLoopsScheduler) {
    AddingScheduler scheduler;
    NoiseSource noise(0);
    const auto after_turn = [](const at::Tensor& sample, size_t index, const Scheduler& of_loop) {
        return sample + 100 * static_cast<double>(index + of_loop.timesteps().size());
    };
    const auto result = denoise(
        at::zeros({1, 1, 1, 1}), scheduler, [](const at::Tensor& x, size_t) { return at::zeros_like(x); }, noise,
        [](size_t, size_t) {}, after_turn);
    EXPECT_EQ(result.sample.item<float>(), 500.0F);  // 0 + 2, then 1 + 2
}

}  // namespace
}  // namespace diffapple
