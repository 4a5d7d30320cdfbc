// Text to image: the loop starts from noise alone; diffusers' StableDiffusionPipeline and StableDiffusionXLPipeline.
#pragma once

#include <optional>
#include <vector>

#include "diffapple/pipelines/stable_diffusion.h"

namespace diffapple {

/// Noise [N, C, h, w] at the scheduler's first level: drawn from `noise`, or `start_noise` (unit noise of that shape).
Start start_from_noise(const std::vector<int64_t>& shape, const std::optional<at::Tensor>& start_noise,
                       const Scheduler& scheduler, c10::Device device, NoiseSource& noise);

}  // namespace diffapple
