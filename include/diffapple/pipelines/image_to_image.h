// Image to image (Meng et al. 2022, SDEdit): the loop starts from a noised picture; diffusers'
// StableDiffusionImg2ImgPipeline and StableDiffusionXLImg2ImgPipeline.
#pragma once

#include <optional>
#include <vector>

#include "diffapple/pipelines/pipeline.h"

namespace diffapple {

/// A picture as the VAE sees it: a distribution over latents, scaled for the UNet. fp32, [1, C, h, w] each.
struct ImagePosterior {
    at::Tensor mean, deviation;
    /// One draw, [1, C, h, w].
    at::Tensor draw(NoiseSource& noise) const;
};

/// Draws the picture's latents from its posterior, then noise [N, C, h, w] (unless `start_noise` is given), and noises
/// the one with the other to the level of the scheduler's first turn.
Start start_from_image(const ImagePosterior& image, const std::vector<int64_t>& shape,
                       const std::optional<at::Tensor>& start_noise, const Scheduler& scheduler, NoiseSource& noise);

}  // namespace diffapple
