#include "discrete_scheduler.h"

#include <ATen/ATen.h>

namespace diffapple {

std::vector<int64_t> read_timesteps(const JsonFields& config, const SchedulerRequest& request,
                                    const NoiseSchedule& schedule) {
    return inference_timesteps(read_timestep_spacing(config, "leading"), request.steps, schedule.num_train_timesteps(),
                               read_steps_offset(config));
}

at::Tensor DiscreteScheduler::add_noise(const at::Tensor& original, const at::Tensor& noise, size_t index) const {
    const auto level = Level::of_alpha_bar(alpha_bar(timestep(index)));
    return original.mul(level.signal).add_(noise.mul(level.noise));
}

float DiscreteScheduler::alpha_bar(int64_t timestep) const {
    return static_cast<float>(schedule_.alphas_cumprod.at(static_cast<size_t>(timestep)));
}

}  // namespace diffapple
