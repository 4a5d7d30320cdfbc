// The start of text to image, and of unconditional pictures: noise alone.
#pragma once

#include <optional>
#include <vector>

#include "diffapple/pipelines/pipeline.h"

namespace diffapple {

/// Noise [N, C, h, w] at the scheduler's first level: drawn from `noise`, or `start_noise` (unit noise). Throws Error
/// when that has another shape.
Start start_from_noise(const std::vector<int64_t>& shape, const std::optional<at::Tensor>& start_noise,
                       const Scheduler& scheduler, c10::Device device, NoiseSource& noise);

}  // namespace diffapple
