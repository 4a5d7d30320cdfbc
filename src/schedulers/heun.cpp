// Heun's method for the probability flow ODE (Karras et al. 2022, algorithm 1): each step is Euler's, then a second
// call of the model at its end corrects it. The step to sigma = 0 is Euler's alone.
#include <ATen/ATen.h>

#include "sigma_scheduler.h"

namespace diffapple {
namespace {

constexpr int64_t turns_per_step = 2;

/// Equal to diffusers' HeunDiscreteScheduler.
class HeunScheduler final : public SigmaScheduler {
public:
    HeunScheduler(const JsonFields& config, const SchedulerRequest& request, SigmaSteps steps)
        : SigmaScheduler(config, request, read_prediction_type(config), std::move(steps), turns_per_step),
          range_(SampleRange::clipping(config, /*clip_by_default=*/false)) {}

    at::Tensor step(const at::Tensor& model_output, size_t index, const at::Tensor& sample,
                    NoiseSource& /*noise*/) override {
        const float here = sigma(position(index));
        const auto original = range_.apply(original_sample(model_output, sample, here));
        const auto derivative = sample.sub(original).div_(here);
        if (index % turns_per_step == 0) {
            start_ = sample;
            first_derivative_ = derivative;
            distance_ = sigma(position(index) + 1) - here;
            return sample.add(derivative.mul(distance_));
        }
        return start_.add(first_derivative_.add(derivative).div_(2).mul_(distance_));
    }

private:
    SampleRange range_;
    at::Tensor start_, first_derivative_;  ///< of the step that is half made
    float distance_ = 0;                   ///< its way in sigma
};

/// s_0, s_1, s_1, s_2, s_2, ..., 0 and the timesteps of all but the last.
SigmaSteps with_correctors(const SigmaSteps& steps) {
    SigmaSteps doubled;
    for (size_t i = 0; i < steps.sigmas.size(); ++i) {
        for (int copies = i == 0 ? 1 : 2; copies > 0; --copies) {
            doubled.timesteps.push_back(steps.timesteps[i]);
            doubled.sigmas.push_back(steps.sigmas[i]);
        }
    }
    doubled.sigmas.push_back(0);
    return doubled;
}

}  // namespace

std::unique_ptr<Scheduler> make_heun(const JsonFields& config, const SchedulerRequest& request) {
    const BetaDefaults betas{.start = 0.00085, .end = 0.012};
    const TrainingSigmas training(config, NoiseSchedule::from_json(config, ZeroTerminalSnr::ignored, betas));
    const SigmaSteps steps = respaced(config, request, training, steps_by_timesteps(config, request, training));
    return std::make_unique<HeunScheduler>(config, request, with_correctors(steps));
}

}  // namespace diffapple
