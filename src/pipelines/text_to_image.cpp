#include "diffapple/pipelines/text_to_image.h"

#include <ATen/ATen.h>

namespace diffapple {

Start start_from_noise(const std::vector<int64_t>& shape, const std::optional<at::Tensor>& start_noise,
                       const Scheduler& scheduler, c10::Device device, NoiseSource& noise) {
    const at::InferenceMode inference;
    const auto unit = start_noise ? start_noise->to(device, at::kFloat) : noise.normal(shape, device, at::kFloat);
    return {.sample = unit.mul(scheduler.init_noise_sigma())};
}

}  // namespace diffapple
