// The pictures that a run starts from (image to image, inpainting), and what becomes of its results.
#pragma once

#include <optional>

#include "diffapple/core/size.h"
#include "diffapple/pipelines/image_processor.h"

namespace diffapple {

/// What a run makes of its inputs; diffusers has a pipeline for each.
enum class Task { text_to_image, image_to_image, inpaint };

struct PictureInputs {
    Image image;
    std::optional<Image> mask;       ///< white is painted anew; blurred, where that was asked for
    std::optional<CropRegion> crop;  ///< the part that is painted at full size; with a mask
    bool keep_unmasked = false;      ///< put back the very pixels outside the mask

    Task task() const { return mask ? Task::inpaint : Task::image_to_image; }
    /// The result with what lies outside the crop or the mask put back.
    Image finish(const Image& result) const;
    /// image | mask | result; absent where nothing is inpainted.
    std::optional<Image> compare(const Image& result) const;
};

/// The strength of diffusers' pipeline for a task; absent for text to image.
std::optional<double> default_strength(Task task, bool is_xl);

}  // namespace diffapple
