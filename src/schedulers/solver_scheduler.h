// What the DPM-Solvers and UniPC share (Lu et al. 2022, "DPM-Solver"): x = alpha x_0 + sigma eps, alpha^2 + sigma^2 =
// 1, and steps in lambda = log(alpha / sigma). Their sigmas are listed as sigma / alpha.
#pragma once

#include "prediction.h"
#include "sigma_schedule.h"
#include "turn_scheduler.h"

namespace diffapple {

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
