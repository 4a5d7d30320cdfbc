// Multistep sampling of latent consistency models (Luo et al. 2023, algorithm 3): each step predicts the clean sample
// and noises it again to the next level.
#include <ATen/ATen.h>

#include <cmath>

#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"
#include "discrete_scheduler.h"

namespace diffapple {
namespace {

/// Timesteps: `steps` of the original_inference_steps with which the model was distilled, from the last one on.
std::vector<int64_t> lcm_timesteps(const JsonFields& config, int64_t steps, int64_t train) {
    const int64_t originals = config.integer("original_inference_steps", 1, train, 50);
    if (steps < 1 || steps > originals)
        fail_usage("--steps ", steps, ": the LCM scheduler of this model takes 1 to ", counted(originals, "step"),
                   " (its original_inference_steps)");
    const double distance = static_cast<double>(originals) / static_cast<double>(steps);
    std::vector<int64_t> timesteps;
    for (int64_t i = 0; i < steps; ++i) {
        const auto skipped = static_cast<int64_t>(std::floor(static_cast<double>(i) * distance));
        timesteps.push_back((originals - skipped) * (train / originals) - 1);
    }
    return timesteps;
}

/// Equal to diffusers' LCMScheduler.
class LCMScheduler final : public DiscreteScheduler {
public:
    LCMScheduler(const JsonFields& config, const SchedulerRequest& request, const NoiseSchedule& schedule)
        : DiscreteScheduler(schedule, lcm_timesteps(config, request.steps, schedule.num_train_timesteps()), request),
          prediction_type_(read_prediction_type(config)),
          range_(SampleRange::both(config, /*clip_by_default=*/false)),
          timestep_scaling_(static_cast<float>(config.number("timestep_scaling", 10.0))) {}

    size_t draws() const override { return timesteps().size() - 1; }

    at::Tensor step(const at::Tensor& model_output, size_t index, const at::Tensor& sample,
                    NoiseSource& noise) override {
        const auto level = Level::of_alpha_bar(alpha_bar(timestep(index)));
        const auto original = range_.apply(predict_original_sample(prediction_type_, model_output, sample, level));
        // boundary condition f(x, 0) = x (section 3.1; Karras et al. 2022, table 1), sigma_data = 1/2
        constexpr float data_variance = 0.25F;
        const float t = static_cast<float>(timestep(index)) * timestep_scaling_;
        const float c_skip = data_variance / (t * t + data_variance), c_out = t / std::sqrt(t * t + data_variance);
        auto denoised = original.mul(c_out).add_(sample.mul(c_skip));
        if (index + 1 == timesteps().size()) return denoised;
        const auto next = Level::of_alpha_bar(alpha_bar(timestep(index + 1)));
        const auto z = noise.normal(sample.sizes(), sample.device(), at::kFloat);
        return denoised.mul_(next.signal).add_(z.mul(next.noise));
    }

private:
    PredictionType prediction_type_;
    SampleRange range_;
    float timestep_scaling_;
};

}  // namespace

std::unique_ptr<Scheduler> make_lcm(const JsonFields& config, const SchedulerRequest& request) {
    const BetaDefaults betas{.start = 0.00085, .end = 0.012, .schedule = "scaled_linear"};
    return std::make_unique<LCMScheduler>(config, request,
                                          NoiseSchedule::from_json(config, ZeroTerminalSnr::exact, betas));
}

}  // namespace diffapple
