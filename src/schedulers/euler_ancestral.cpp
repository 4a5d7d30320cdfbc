// Euler's method with fresh noise at every step (k-diffusion's sample_euler_ancestral).
#include <ATen/ATen.h>

#include <cmath>

#include "sigma_scheduler.h"

namespace diffapple {
namespace {

/// Equal to diffusers' EulerAncestralDiscreteScheduler.
class EulerAncestralScheduler final : public SigmaScheduler {
public:
    using SigmaScheduler::SigmaScheduler;

    size_t draws() const override { return timesteps().size(); }

    at::Tensor step(const at::Tensor& model_output, size_t index, const at::Tensor& sample,
                    NoiseSource& noise) override {
        const float from = sigma(position(index)), to = sigma(position(index) + 1);
        // down to less noise than wanted, and up again to sigma_to^2 = sigma_down^2 + sigma_up^2
        const float up = std::sqrt(to * to * (from * from - to * to) / (from * from));
        const float down = std::sqrt(to * to - up * up);
        const auto derivative = sample.sub(original_sample(model_output, sample, from)).div_(from);
        return sample.add(derivative.mul(down - from))
            .add_(noise.normal(sample.sizes(), sample.device(), at::kFloat).mul_(up));
    }
};

}  // namespace

std::unique_ptr<Scheduler> make_euler_ancestral(const JsonFields& config, const SchedulerRequest& request) {
    const TrainingSigmas training(config, NoiseSchedule::from_json(config, ZeroTerminalSnr::finite));
    SigmaSteps steps = steps_by_timesteps(config, request, training);
    steps.sigmas.push_back(0);
    return std::make_unique<EulerAncestralScheduler>(
        config, request, read_prediction_type(config, {"epsilon", "v_prediction"}), std::move(steps));
}

}  // namespace diffapple
