// What DDPM, DDIM, PNDM and LCM share: x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps at whole timesteps.
#pragma once

#include "diffapple/schedulers/noise_schedule.h"
#include "diffapple/schedulers/prediction.h"

namespace diffapple {

class DiscreteScheduler : public Scheduler {
public:
    const std::vector<double>& timesteps() const override { return turns_.timesteps; }
    at::Tensor add_noise(const at::Tensor& original, const at::Tensor& noise, size_t index) const override;

protected:
    DiscreteScheduler(NoiseSchedule schedule, const std::vector<int64_t>& timesteps, const SchedulerRequest& request)
        : schedule_(std::move(schedule)), turns_(turns_at_strength({timesteps.begin(), timesteps.end()}, request)) {}

    int64_t num_train_timesteps() const { return schedule_.num_train_timesteps(); }
    int64_t timestep(size_t index) const { return static_cast<int64_t>(turns_.timesteps[index]); }
    float alpha_bar(int64_t timestep) const;
    size_t begin() const { return turns_.begin; }

private:
    NoiseSchedule schedule_;
    Turns turns_;
};

}  // namespace diffapple
