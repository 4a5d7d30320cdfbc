// What the DPM-Solvers and UniPC share (Lu et al. 2022, "DPM-Solver"): x = alpha x_0 + sigma eps, alpha^2 + sigma^2 =
// 1, and steps in lambda = log(alpha / sigma). Their sigmas are listed as sigma / alpha.
#pragma once

#include "prediction.h"
#include "sigma_schedule.h"
#include "turn_scheduler.h"

namespace diffapple {

/// The whole schedule of a solver: by the given timesteps, or respaced between the limits of training, as `how` says;
/// with its last sigma, by final_sigmas_type 0 or the smallest of training.
SigmaSteps solver_steps(const JsonFields& config, const SchedulerRequest& request, const TrainingSigmas& training,
                        const std::vector<double>& timesteps, Respacing how);

class SolverScheduler : public TurnScheduler {
public:
    SolverScheduler(const SchedulerRequest& request, SigmaSteps steps);

    at::Tensor add_noise(const at::Tensor& original, const at::Tensor& noise, size_t index) const override;

protected:
    size_t turns() const { return sigmas_.size() - 1; }  ///< of the whole schedule
    float sigma(size_t position) const { return sigmas_.at(position); }
    Level level(size_t position) const { return Level::of_sigma(sigma(position)); }
    float lambda(size_t position) const { return lambdas_.at(position); }

private:
    std::vector<float> sigmas_, lambdas_;
};

}  // namespace diffapple
