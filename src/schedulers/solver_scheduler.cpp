#include "solver_scheduler.h"

#include <ATen/ATen.h>

#include <cmath>

namespace diffapple {

SolverScheduler::SolverScheduler(const SchedulerRequest& request, SolverSteps steps)
    : sigmas_(std::move(steps.sigmas)), turns_(turns_at_strength(std::move(steps.timesteps), request)) {
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

SolverSteps respaced_solver_steps(SigmaSpacing spacing, const SigmaLimits& limits, int64_t steps,
                                  const TrainingSigmas& training, bool round) {
    SolverSteps respaced;
    for (const double sigma : spaced_sigmas(spacing, limits, steps)) {
        const double t = training.timestep_of(sigma);
        respaced.timesteps.push_back(round ? std::nearbyint(t) : std::trunc(t));
        respaced.sigmas.push_back(static_cast<float>(sigma));
    }
    return respaced;
}

SolverSteps solver_steps_at(const std::vector<int64_t>& timesteps, const TrainingSigmas& training) {
    SolverSteps steps;
    for (const int64_t t : timesteps) {
        steps.timesteps.push_back(static_cast<double>(t));
        steps.sigmas.push_back(static_cast<float>(training.at(static_cast<double>(t))));
    }
    return steps;
}

}  // namespace diffapple
