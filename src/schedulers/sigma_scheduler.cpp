#include "sigma_scheduler.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

namespace diffapple {

SigmaSteps steps_by_timesteps(const JsonFields& config, const SchedulerRequest& request,
                              const TrainingSigmas& training) {
    return steps_at(fractional_timesteps(read_timestep_spacing(config, "linspace"), request.steps, training.count(),
                                         read_steps_offset(config)),
                    training);
}

SigmaScheduler::SigmaScheduler(const JsonFields& config, const SchedulerRequest& request,
                               PredictionType prediction_type, SigmaSteps steps, int64_t turns_per_step)
    : TurnScheduler(std::move(steps.timesteps), request, turns_per_step),
      prediction_type_(prediction_type),
      sigmas_(std::move(steps.sigmas)),
      init_noise_sigma_(*std::max_element(sigmas_.begin(), sigmas_.end())) {
    // leading timesteps begin below the last one, where a sample is a scaled picture too
    if (read_timestep_spacing(config, "linspace") == TimestepSpacing::leading)
        init_noise_sigma_ = std::sqrt(init_noise_sigma_ * init_noise_sigma_ + 1);
}

at::Tensor SigmaScheduler::scale_model_input(const at::Tensor& sample, size_t index) const {
    const float s = sigma(position(index));
    return sample.div(std::sqrt(s * s + 1));
}

at::Tensor SigmaScheduler::add_noise(const at::Tensor& original, const at::Tensor& noise, size_t index) const {
    return original.add(noise.mul(sigma(position(index))));
}

at::Tensor SigmaScheduler::original_sample(const at::Tensor& model_output, const at::Tensor& sample,
                                           float sigma) const {
    require_channels(model_output, sample);
    const float variance = sigma * sigma + 1;
    switch (prediction_type_) {
        case PredictionType::epsilon:
            return sample.sub(model_output.mul(sigma));
        case PredictionType::sample:
            return model_output;
        case PredictionType::v_prediction:
            return model_output.mul(-sigma / std::sqrt(variance)).add_(sample.div(variance));
    }
    return {};
}

}  // namespace diffapple
