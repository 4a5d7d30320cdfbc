#include "diffapple/pipelines/image_to_image.h"

#include <ATen/ATen.h>

namespace diffapple {

at::Tensor ImagePosterior::draw(NoiseSource& noise) const {
    return noise.normal(mean.sizes(), mean.device(), at::kFloat).mul_(deviation).add_(mean);
}

Start start_from_image(const ImagePosterior& image, const std::vector<int64_t>& shape,
                       const std::optional<at::Tensor>& start_noise, const Scheduler& scheduler, NoiseSource& noise) {
    const at::InferenceMode inference;
    const auto clean = image.draw(noise).expand(shape);
    const auto unit =
        start_noise ? start_noise->to(clean.device(), at::kFloat) : noise.normal(shape, clean.device(), at::kFloat);
    return {.sample = scheduler.add_noise(clean, unit, 0)};
}

}  // namespace diffapple
