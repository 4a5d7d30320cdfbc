#include "diffapple/pipelines/inpaint.h"

#include <ATen/ATen.h>

namespace diffapple {
namespace {

/// Outside the mask, the sample is the picture at the noise level of the next turn; after the last one, the picture
/// itself.
AfterTurn blend(const at::Tensor& clean, const at::Tensor& unit, const at::Tensor& mask) {
    return [clean, unit, mask](const at::Tensor& sample, size_t index, const Scheduler& scheduler) {
        const size_t next = index + 1;
        const auto kept = next < scheduler.timesteps().size() ? scheduler.add_noise(clean, unit, next) : clean;
        return kept.mul(1 - mask).add_(sample.mul(mask));
    };
}

}  // namespace

Start start_inpainting(const InpaintInputs& inputs, bool noise_alone, const std::vector<int64_t>& shape,
                       const std::optional<at::Tensor>& start_noise, const Scheduler& scheduler, NoiseSource& noise) {
    const at::InferenceMode inference;
    const bool blends = !inputs.masked_image;
    const bool from_noise = noise_alone || start_noise;
    const c10::Device device = inputs.mask.device();
    at::Tensor clean;
    if (blends || !from_noise) clean = inputs.image().draw(noise).expand(shape);
    const auto unit = start_noise ? start_noise->to(device, at::kFloat) : noise.normal(shape, device, at::kFloat);
    Start start{.sample = from_noise ? unit.mul(scheduler.init_noise_sigma()) : scheduler.add_noise(clean, unit, 0)};
    if (blends) {
        noise.normal({1, shape[1], shape[2], shape[3]}, at::kCPU, at::kFloat);
        start.after_turn = blend(clean, unit, inputs.mask);
    } else {
        start.extra_channels = at::cat({inputs.mask, inputs.masked_image->draw(noise)}, 1);
    }
    return start;
}

}  // namespace diffapple
