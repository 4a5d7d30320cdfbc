// What DDPM, DDIM, PNDM and LCM share: x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps at whole timesteps.
#pragma once

#include "noise_schedule.h"
#include "prediction.h"
#include "turn_scheduler.h"

namespace diffapple {

/// Timesteps by timestep_spacing (leading by default) and steps_offset of the config. Errors as of inference_timesteps.
std::vector<int64_t> read_timesteps(const JsonFields& config, const SchedulerRequest& request,
                                    const NoiseSchedule& schedule);

class DiscreteScheduler : public TurnScheduler {
public:
    at::Tensor add_noise(const at::Tensor& original, const at::Tensor& noise, size_t index) const override;

protected:
    DiscreteScheduler(NoiseSchedule schedule, const std::vector<int64_t>& timesteps, const SchedulerRequest& request)
        : TurnScheduler({timesteps.begin(), timesteps.end()}, request), schedule_(std::move(schedule)) {}

    int64_t timestep(size_t index) const { return static_cast<int64_t>(timesteps()[index]); }
    float alpha_bar(int64_t timestep) const;

private:
    NoiseSchedule schedule_;
};

}  // namespace diffapple
