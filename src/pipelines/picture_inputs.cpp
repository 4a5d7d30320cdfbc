#include "diffapple/pipelines/picture_inputs.h"

namespace diffapple {

Image PictureInputs::finish(const Image& result) const {
    if (!mask) return result;
    const Image whole = crop ? apply_overlay(*mask, image, result, *crop) : result;
    return keep_unmasked ? diffapple::keep_unmasked(whole, image, *mask) : whole;
}

std::optional<Image> PictureInputs::compare(const Image& result) const {
    if (!mask) return std::nullopt;
    return comparison(image, *mask, result);
}

std::optional<double> default_strength(Task task, bool is_xl) {
    switch (task) {
        case Task::text_to_image:
            return std::nullopt;
        case Task::image_to_image:
            return is_xl ? 0.3 : 0.8;
        case Task::inpaint:
            return is_xl ? 0.9999 : 1.0;
    }
    return std::nullopt;
}

}  // namespace diffapple
