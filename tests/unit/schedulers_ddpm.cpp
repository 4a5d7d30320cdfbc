// Noise schedules, timesteps and DDPM steps against reference numbers of diffusers 0.42.1.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "../../src/schedulers/noise_schedule.h"
#include "diffapple/core/error.h"
#include "diffapple/schedulers/scheduler.h"

namespace diffapple {
namespace {

using nlohmann::json;
using Steps = std::vector<int64_t>;

TEST(Timesteps, FollowTheSpacing) {
    EXPECT_EQ(inference_timesteps(TimestepSpacing::leading, 4, 1000, 0), (Steps{750, 500, 250, 0}));
    EXPECT_EQ(inference_timesteps(TimestepSpacing::leading, 3, 1000, 1), (Steps{667, 334, 1}));
    EXPECT_EQ(inference_timesteps(TimestepSpacing::linspace, 5, 1000, 0), (Steps{999, 749, 500, 250, 0}));
    EXPECT_EQ(inference_timesteps(TimestepSpacing::linspace, 1, 1000, 0), (Steps{0}));
    // 937.5, 812.5, 687.5, ... round half to even before 1 is taken off
    EXPECT_EQ(inference_timesteps(TimestepSpacing::trailing, 16, 1000, 0),
              (Steps{999, 937, 874, 811, 749, 687, 624, 561, 499, 437, 374, 311, 249, 187, 124, 61}));
    // numpy's arange has 62 values here, the last of them -1
    EXPECT_EQ(inference_timesteps(TimestepSpacing::trailing, 61, 1000, 0).size(), 61U);
}

TEST(Timesteps, OutOfRangeIsAUsageError) {
    for (const int64_t steps : {int64_t{0}, int64_t{-1}, int64_t{1001}})
        EXPECT_THROW(inference_timesteps(TimestepSpacing::leading, steps, 1000, 0), Error) << steps;
    EXPECT_THROW(inference_timesteps(TimestepSpacing::leading, 1000, 1000, 1), Error);
}

NoiseSchedule schedule(const json& config) {
    return NoiseSchedule::from_json(JsonFields(config, "test"), ZeroTerminalSnr::exact);
}

TEST(NoiseSchedule, AlphasCumprodOfDiffusers) {
    const auto linear = schedule(json::object()).alphas_cumprod;
    ASSERT_EQ(linear.size(), 1000U);
    EXPECT_FLOAT_EQ(static_cast<float>(linear.front()), 0.9999F);
    EXPECT_NEAR(linear.back(), 4.0358e-05, 1e-8);
    const auto scaled = schedule({{"beta_schedule", "scaled_linear"}, {"beta_start", 0.00085}, {"beta_end", 0.012}});
    EXPECT_FLOAT_EQ(static_cast<float>(scaled.alphas_cumprod.front()), 0.99915F);
    EXPECT_NEAR(scaled.alphas_cumprod.back(), 0.0046600, 1e-6);
    EXPECT_EQ(schedule({{"rescale_betas_zero_snr", true}}).alphas_cumprod.back(), 0.0);
}

TEST(NoiseSchedule, BadConfigsAreRefused) {
    for (const json& config : {json{{"num_train_timesteps", 0}}, json{{"beta_start", "x"}}, json{{"beta_end", 2}},
                               json{{"beta_schedule", "quadratic"}}, json{{"trained_betas", {0.1}}}})
        EXPECT_THROW(schedule(config), Error) << config;
}

/// The last step of a sampler is deterministic: from t = 0 it returns the (clipped) predicted picture.
TEST(DDPM, LastStepReturnsThePredictedPicture) {
    const json config = {{"clip_sample", true}, {"prediction_type", "sample"}};
    const auto scheduler = make_scheduler("ddpm", config, "test", {.steps = 2});
    NoiseSource noise(0);
    const auto sample = noise.normal({1, 3, 4, 4}, at::kCPU, at::kFloat);
    const auto predicted = noise.normal({1, 3, 4, 4}, at::kCPU, at::kFloat);
    EXPECT_TRUE(at::allclose(scheduler->step(predicted, 1, sample, noise), predicted.clamp(-1, 1), 1e-5, 1e-6));
}

TEST(DDPM, ModelChannelsMustFitTheVarianceType) {
    NoiseSource noise(0);
    const auto sample = at::zeros({1, 3, 4, 4}), doubled = at::zeros({1, 6, 4, 4});
    const json fixed = json::object(), learned = {{"variance_type", "learned_range"}};
    const auto with_fixed = make_scheduler("ddpm", fixed, "test", {.steps = 2});
    const auto with_learned = make_scheduler("ddpm", learned, "test", {.steps = 2});
    EXPECT_THROW(with_fixed->step(doubled, 0, sample, noise), Error);
    EXPECT_THROW(with_learned->step(sample, 0, sample, noise), Error);
    EXPECT_EQ(with_learned->step(doubled, 0, sample, noise).sizes(), sample.sizes());
}

TEST(Factory, KnowsSchedulersByNameAndClass) {
    const json config = {{"_class_name", "DDPMScheduler"}};
    EXPECT_EQ(scheduler_name(config, "test"), "ddpm");
    EXPECT_EQ(make_scheduler("ddpm", config, "test", {.steps = 10})->timesteps().size(), 10U);
    EXPECT_THROW(make_scheduler("nonsense", config, "test", {.steps = 10}), Error);
    EXPECT_THROW(scheduler_name({{"_class_name", "NonsenseScheduler"}}, "test"), Error);
}

}  // namespace
}  // namespace diffapple
