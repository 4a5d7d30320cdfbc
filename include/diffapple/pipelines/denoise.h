// The one denoising loop of all pipelines.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

#include "diffapple/core/random.h"
#include "diffapple/schedulers/scheduler.h"

namespace diffapple {

/// The model's prediction for a sample [N, C, H, W] (already scaled by the scheduler) at turn `index`, whose timestep
/// it knows. Takes fp32 on the pipeline's device and returns fp32. Copies nothing between host and device, and waits
/// for nothing: either would stop the device until the next turn is encoded.
using Predict = std::function<at::Tensor(const at::Tensor& sample, size_t index)>;

/// Called when the loop begins, and after each turn, with the number of turns done and in all: done by the device,
/// which works behind the caller.
using OnTurn = std::function<void(size_t done, size_t total)>;

/// Replaces the sample after turn `index` of the loop's scheduler (inpainting); its result has the same shape.
using AfterTurn = std::function<at::Tensor(const at::Tensor& sample, size_t index, const Scheduler& scheduler)>;

/// A look at what is being made: `show` gets the model's output for a sample at every `every`-th turn but the last. It
/// may wait for the device and copy; where `every` is 0, the loop is as without it.
struct Preview {
    size_t every = 0;
    std::function<void(const at::Tensor& model_output, const at::Tensor& sample, size_t index)> show;
};

/// What the loop made.
struct Denoised {
    at::Tensor sample;  ///< fp32, on the device
    double seconds;     ///< of the loop, with the device synchronised at both ends
    size_t turns;
};

/// Runs the scheduler's turns from the start sample (fp32, already multiplied by init_noise_sigma). The sample stays in
/// fp32 whatever the model computes in. No gradients are kept. At most two turns are queued on the device at a time, so
/// that a stop request is obeyed within them; the noise of all turns is drawn before the first. Throws Error when the
/// result is not finite.
Denoised denoise(at::Tensor sample, Scheduler& scheduler, const Predict& predict, NoiseSource& noise,
                 const OnTurn& on_turn, const AfterTurn& after_turn = {}, const Preview& preview = {});

/// Throws Error naming the stage and a way out when a tensor holds a NaN or an infinity.
void require_finite(const at::Tensor& tensor, const std::string& stage);

}  // namespace diffapple
