#include "diffapple/pipelines/start_from_noise.h"

#include <ATen/ATen.h>

#include "diffapple/core/error.h"

namespace diffapple {

Start start_from_noise(const std::vector<int64_t>& shape, const std::optional<at::Tensor>& start_noise,
                       const Scheduler& scheduler, c10::Device device, NoiseSource& noise) {
    const at::InferenceMode inference;
    if (start_noise && start_noise->sizes() != at::IntArrayRef(shape))
        fail("--latents: the tensor has shape ", start_noise->sizes(), ", but this run needs ", at::IntArrayRef(shape));
    const auto unit = start_noise ? start_noise->to(device, at::kFloat) : noise.normal(shape, device, at::kFloat);
    return {.sample = unit.mul(scheduler.init_noise_sigma())};
}

}  // namespace diffapple
