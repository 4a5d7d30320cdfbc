#include "solver_scheduler.h"

#include <ATen/ATen.h>

#include <cmath>

namespace diffapple {

SigmaSteps solver_steps(const JsonFields& config, const SchedulerRequest& request, const TrainingSigmas& training,
                        const std::vector<double>& timesteps, Respacing how) {
    how.limits = training.limits();
    SigmaSteps steps = respaced(config, request, training, steps_at(timesteps, training), how);
    steps.sigmas.push_back(final_sigma(config, training.smallest()));
    return steps;
}

SolverScheduler::SolverScheduler(const SchedulerRequest& request, SigmaSteps steps)
    : TurnScheduler(std::move(steps.timesteps), request), sigmas_(std::move(steps.sigmas)) {
    std::vector<float> signals, noises;
    for (const float sigma : sigmas_) {
        const auto [signal, noise] = Level::of_sigma(sigma);
        signals.push_back(signal);
        noises.push_back(noise);
    }
    const auto lambdas = at::log(at::tensor(signals, at::kFloat)) - at::log(at::tensor(noises, at::kFloat));
    const float* const begin = lambdas.const_data_ptr<float>();
    lambdas_.assign(begin, begin + lambdas.numel());
}

at::Tensor SolverScheduler::add_noise(const at::Tensor& original, const at::Tensor& noise, size_t index) const {
    const auto [signal, noise_level] = level(position(index));
    return original.mul(signal).add_(noise.mul(noise_level));
}

}  // namespace diffapple
