#include "turn_scheduler.h"

#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"

namespace diffapple {

TurnScheduler::TurnScheduler(std::vector<double> timesteps, const SchedulerRequest& request, int64_t turns_per_step)
    : timesteps_(std::move(timesteps)) {
    const double strength = request.strength;
    if (!(strength > 0 && strength <= 1)) fail_usage("--strength ", strength, ": must be above 0 and at most 1");
    const auto left = static_cast<int64_t>(static_cast<double>(request.steps) * strength);
    begin_ = static_cast<size_t>((request.steps - left) * turns_per_step);
    if (left < 1 || begin_ >= timesteps_.size())
        fail_usage("--strength ", strength, ": leaves none of ", counted(request.steps, "step"),
                   "; give more of either");
    timesteps_.erase(timesteps_.begin(), timesteps_.begin() + static_cast<int64_t>(begin_));
}

}  // namespace diffapple
