// What the DPM-Solvers and UniPC share (Lu et al. 2022, "DPM-Solver"): x = alpha x_0 + sigma eps, alpha^2 + sigma^2 =
// 1, and steps in lambda = log(alpha / sigma). Their sigmas are listed as sigma / alpha.
#pragma once

#include "diffapple/schedulers/prediction.h"
#include "diffapple/schedulers/sigma_schedule.h"

namespace diffapple {

/// The turns of a whole schedule. Floats, as in diffusers.
struct SolverSteps {
    std::vector<double> timesteps;
    std::vector<float> sigmas;  ///< [i]: sigma / alpha before turn i; [i + 1]: after it
};

class SolverScheduler : public Scheduler {
public:
    SolverScheduler(const SchedulerRequest& request, SolverSteps steps);

    const std::vector<double>& timesteps() const override { return turns_.timesteps; }
    at::Tensor add_noise(const at::Tensor& original, const at::Tensor& noise, size_t index) const override;

protected:
    /// Place of a turn in the whole schedule.
    size_t position(size_t index) const { return turns_.begin + index; }
    size_t turns() const { return sigmas_.size() - 1; }  ///< of the whole schedule
    float sigma(size_t position) const { return sigmas_.at(position); }
    Level level(size_t position) const { return Level::of_sigma(sigma(position)); }
    float lambda(size_t position) const { return lambdas_.at(position); }

private:
    std::vector<float> sigmas_, lambdas_;
    Turns turns_;
};

/// Sigmas other than by timesteps, and the whole timesteps that belong to them: rounded, or cut.
SolverSteps respaced_solver_steps(SigmaSpacing spacing, const SigmaLimits& limits, int64_t steps,
                                  const TrainingSigmas& training, bool round);

/// The sigmas of the given timesteps.
SolverSteps solver_steps_at(const std::vector<int64_t>& timesteps, const TrainingSigmas& training);

}  // namespace diffapple
