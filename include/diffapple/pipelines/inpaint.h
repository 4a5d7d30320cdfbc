// Inpainting: a part of a picture is painted anew; diffusers' StableDiffusionInpaintPipeline and
// StableDiffusionXLInpaintPipeline.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "diffapple/pipelines/image_to_image.h"

namespace diffapple {

/// A picture and what to paint of it. A UNet trained for it reads the mask and the masked picture as further channels;
/// any other one is led by blending the noised picture back in after every turn.
struct InpaintInputs {
    /// The picture; called only where it is needed: for blending, and where the start is not noise alone.
    std::function<ImagePosterior()> image;
    std::optional<ImagePosterior> masked_image;  ///< with the masked part grey; needed for further channels
    at::Tensor mask;                             ///< [1, 1, h, w], fp32: 1 where to paint
};

/// Draws in the order of diffusers: the picture's latents (where needed), noise (unless `start_noise` is given), the
/// masked picture's latents (drawn, and not used, also for blending). `noise_alone`: strength 1.
Start start_inpainting(const InpaintInputs& inputs, bool noise_alone, const std::vector<int64_t>& shape,
                       const std::optional<at::Tensor>& start_noise, const Scheduler& scheduler, NoiseSource& noise);

}  // namespace diffapple
