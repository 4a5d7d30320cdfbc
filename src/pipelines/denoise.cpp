#include "diffapple/pipelines/denoise.h"

#include <ATen/ATen.h>

#include <chrono>

#include "diffapple/core/device.h"
#include "diffapple/core/error.h"
#include "diffapple/core/stop.h"

namespace diffapple {

Denoised denoise(at::Tensor sample, Scheduler& scheduler, const Predict& predict, NoiseSource& noise,
                 const OnTurn& on_turn, const AfterTurn& after_turn) {
    using Clock = std::chrono::steady_clock;
    const at::InferenceMode inference;
    const auto& timesteps = scheduler.timesteps();
    synchronize(sample.device());
    const auto start = Clock::now();
    for (size_t index = 0; index < timesteps.size(); ++index) {
        check_stop();
        const auto output = predict(scheduler.scale_model_input(sample, index), timesteps[index]);
        sample = scheduler.step(output, index, sample, noise);
        if (after_turn) sample = after_turn(sample, index, scheduler);
        on_turn(index + 1, timesteps.size());
    }
    synchronize(sample.device());
    const std::chrono::duration<double> elapsed = Clock::now() - start;
    require_finite(sample, "denoising");
    return {.sample = sample, .seconds = elapsed.count(), .turns = timesteps.size()};
}

void require_finite(const at::Tensor& tensor, const std::string& stage) {
    if (!at::isfinite(tensor).all().item<bool>())
        fail(stage,
             " produced values that are not finite, so there is no picture; try --dtype fp32, and check that the "
             "weights and the scheduler config belong together");
}

}  // namespace diffapple
