// What all samplers share: the turns that a batch makes of a whole schedule.
#pragma once

#include "diffapple/schedulers/scheduler.h"

namespace diffapple {

class TurnScheduler : public Scheduler {
public:
    const std::vector<double>& timesteps() const override { return timesteps_; }

protected:
    /// Takes a whole schedule's timesteps and leaves out the turns before the strength's first; a step has
    /// `turns_per_step` of them (diffusers' `order`). Throws Error (exit code 2) for a strength that leaves none.
    TurnScheduler(std::vector<double> timesteps, const SchedulerRequest& request, int64_t turns_per_step = 1);

    /// Place of a turn in the whole schedule.
    size_t position(size_t index) const { return begin_ + index; }

private:
    std::vector<double> timesteps_;
    size_t begin_;
};

}  // namespace diffapple
