// DDPM: ancestral sampling of Ho et al. 2020.
#pragma once

#include "diffapple/io/json_fields.h"
#include "diffapple/schedulers/noise_schedule.h"
#include "diffapple/schedulers/scheduler.h"

namespace diffapple {

/// Equal to diffusers' DDPMScheduler for every option it reads, with one exception: variance_type "fixed_large_log" is
/// NaN there (it takes the square root of a logarithm); here it is what its name and Ho et al. (section 3.2) say,
/// sigma_t^2 = beta_t.
class DDPMScheduler final : public Scheduler {
public:
    DDPMScheduler(const JsonFields& config, int64_t steps);

    const std::vector<double>& timesteps() const override { return timesteps_; }
    at::Tensor step(const at::Tensor& model_output, size_t index, const at::Tensor& sample,
                    NoiseSource& noise) override;

private:
    enum class Variance { fixed_small, fixed_small_log, fixed_large, learned, learned_range };
    struct Coefficients;

    static Variance read_variance_type(const JsonFields& config);
    Coefficients coefficients(size_t index) const;
    at::Tensor clip(at::Tensor original_sample) const;
    at::Tensor standard_deviation(const Coefficients& c, const at::Tensor& predicted_variance) const;

    NoiseSchedule schedule_;
    std::vector<double> timesteps_;
    PredictionType prediction_type_;
    Variance variance_;
    bool clip_sample_, thresholding_;
    double clip_sample_range_, dynamic_thresholding_ratio_, sample_max_value_;
};

}  // namespace diffapple
