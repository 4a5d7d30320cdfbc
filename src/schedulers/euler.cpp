// Euler's method for the probability flow ODE (Karras et al. 2022, algorithm 1 without churn and correction).
#include <ATen/ATen.h>

#include <cmath>

#include "sigma_scheduler.h"

namespace diffapple {
namespace {

/// Equal to diffusers' EulerDiscreteScheduler.
class EulerScheduler final : public SigmaScheduler {
public:
    using SigmaScheduler::SigmaScheduler;

    at::Tensor step(const at::Tensor& model_output, size_t index, const at::Tensor& sample,
                    NoiseSource& /*noise*/) override {
        const float from = sigma(position(index)), to = sigma(position(index) + 1);
        const auto derivative = sample.sub(original_sample(model_output, sample, from)).div_(from);
        return sample.add(derivative.mul(to - from));
    }
};

PredictionType read_prediction(const JsonFields& config) {
    return read_prediction_type(config, {"epsilon", "sample", "original_sample", "v_prediction"});
}

/// interpolation_type log_linear: evenly in log(sigma) over all of training, one sigma more than there are timesteps.
std::vector<float> log_linear_sigmas(const TrainingSigmas& training, int64_t steps) {
    const auto sigmas =
        at::linspace(std::log(training.largest()), std::log(training.smallest()), steps + 1, at::kFloat).exp();
    const float* const begin = sigmas.const_data_ptr<float>();
    return {begin, begin + sigmas.numel()};
}

SigmaSteps euler_steps(const JsonFields& config, const SchedulerRequest& request) {
    const TrainingSigmas training(config, NoiseSchedule::from_json(config, ZeroTerminalSnr::finite));
    SigmaSteps steps = steps_by_timesteps(config, request, training);
    if (config.choice("interpolation_type", {"linear", "log_linear"}, "linear") == "log_linear")
        steps.sigmas = log_linear_sigmas(training, request.steps);
    steps = respaced(config, request, training, std::move(steps));
    const bool continuous = config.choice("timestep_type", {"discrete", "continuous"}, "discrete") == "continuous";
    if (continuous && read_prediction(config) == PredictionType::v_prediction)
        for (size_t i = 0; i < steps.timesteps.size(); ++i) steps.timesteps[i] = 0.25F * std::log(steps.sigmas[i]);
    steps.sigmas.push_back(final_sigma(config, training.smallest()));
    return steps;
}

}  // namespace

std::unique_ptr<Scheduler> make_euler(const JsonFields& config, const SchedulerRequest& request) {
    return std::make_unique<EulerScheduler>(config, request, read_prediction(config), euler_steps(config, request));
}

}  // namespace diffapple
