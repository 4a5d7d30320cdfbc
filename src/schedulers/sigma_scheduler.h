// What Euler, Euler ancestral, Heun and LMS share (Karras et al. 2022): x = x_0 + sigma eps, which the model sees
// scaled by 1 / sqrt(sigma^2 + 1), and the ODE dx / dsigma = (x - x_0) / sigma (eq. 4).
#pragma once

#include "prediction.h"
#include "sigma_schedule.h"
#include "turn_scheduler.h"

namespace diffapple {

/// Inference timesteps by timestep_spacing and steps_offset of the config, and their sigmas; a last one is to be added.
SigmaSteps steps_by_timesteps(const JsonFields& config, const SchedulerRequest& request,
                              const TrainingSigmas& training);

class SigmaScheduler : public TurnScheduler {
public:
    SigmaScheduler(const JsonFields& config, const SchedulerRequest& request, PredictionType prediction_type,
                   SigmaSteps steps, int64_t turns_per_step = 1);

    double init_noise_sigma() const override { return init_noise_sigma_; }
    at::Tensor scale_model_input(const at::Tensor& sample, size_t index) const override;
    at::Tensor add_noise(const at::Tensor& original, const at::Tensor& noise, size_t index) const override;

protected:
    float sigma(size_t position) const { return sigmas_.at(position); }
    /// x_0 from the model's output for a sample with noise of that sigma.
    at::Tensor original_sample(const at::Tensor& model_output, const at::Tensor& sample, float sigma) const;

private:
    PredictionType prediction_type_;
    std::vector<float> sigmas_;
    float init_noise_sigma_;
};

}  // namespace diffapple
