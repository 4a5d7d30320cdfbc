// 8-bit pictures to the input of CLIP's image encoder.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <vector>

#include "diffapple/core/size.h"
#include "diffapple/io/json_fields.h"
#include "diffapple/io/resample.h"

namespace diffapple {

/// preprocessor_config.json of transformers' CLIPImageProcessor (also under its old name CLIPFeatureExtractor), with
/// its defaults.
struct ClipImageProcessorConfig {
    bool do_resize, do_center_crop, do_rescale, do_normalize;
    int64_t shortest_edge;  ///< what the shorter side becomes; 0: `size` is given whole
    Size size;
    Filter resample;
    Size crop_size;
    double rescale_factor;
    std::array<double, 3> image_mean, image_std;  ///< red, green, blue

    /// Throws Error naming file and key for a value that is wrong, absurd or not supported.
    static ClipImageProcessorConfig from_json(const JsonFields& fields);
};

/// Resizes (8-bit, as Pillow does), crops the centre, rescales and normalises each picture, made RGB first. Returns
/// fp32 [N, 3, H, W] on the CPU. Throws Error when the pictures come out in different sizes.
at::Tensor preprocess(const std::vector<Image>& pictures, const ClipImageProcessorConfig& config);

}  // namespace diffapple
