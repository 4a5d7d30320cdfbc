// What Euler, Euler ancestral, Heun and LMS share (Karras et al. 2022): x = x_0 + sigma eps, which the model sees
// scaled by 1 / sqrt(sigma^2 + 1), and the ODE dx / dsigma = (x - x_0) / sigma (eq. 4).
#pragma once

#include "diffapple/schedulers/prediction.h"
#include "diffapple/schedulers/sigma_schedule.h"

namespace diffapple {

/// The turns of a whole schedule. Floats, as in diffusers.
struct SigmaSteps {
    std::vector<double> timesteps;
    std::vector<float> sigmas;  ///< [i]: noise level before turn i; [i + 1]: after it
};

/// Inference timesteps by timestep_spacing and steps_offset of the config, and their sigmas; a last one is to be added.
SigmaSteps sigmas_of_timesteps(const JsonFields& config, const SchedulerRequest& request,
                               const TrainingSigmas& training);

/// Other sigmas between the limits instead, with the timesteps that belong to them; `spacing` is not `timesteps`.
SigmaSteps respaced_sigmas(SigmaSpacing spacing, const SigmaLimits& limits, int64_t steps,
                           const TrainingSigmas& training);

class SigmaScheduler : public Scheduler {
public:
    SigmaScheduler(const JsonFields& config, const SchedulerRequest& request, PredictionType prediction_type,
                   SigmaSteps steps, int64_t turns_per_step = 1);

    const std::vector<double>& timesteps() const override { return turns_.timesteps; }
    double init_noise_sigma() const override { return init_noise_sigma_; }
    at::Tensor scale_model_input(const at::Tensor& sample, size_t index) const override;
    at::Tensor add_noise(const at::Tensor& original, const at::Tensor& noise, size_t index) const override;

protected:
    /// Place of a turn in the whole schedule.
    size_t position(size_t index) const { return turns_.begin + index; }
    float sigma(size_t position) const { return sigmas_.at(position); }
    /// x_0 from the model's output for a sample with noise of that sigma.
    at::Tensor original_sample(const at::Tensor& model_output, const at::Tensor& sample, float sigma) const;

private:
    PredictionType prediction_type_;
    std::vector<float> sigmas_;
    Turns turns_;
    float init_noise_sigma_;
};

}  // namespace diffapple
