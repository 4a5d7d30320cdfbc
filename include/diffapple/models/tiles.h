// A model run over an image in overlapping tiles that are blended, as diffusers' AutoencoderKL does.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>

namespace diffapple {

struct TileSizes {
    int64_t input;   ///< side of a tile of the input
    int64_t output;  ///< side of what the model makes of one
};

/// Cuts image [N, C, H, W] into tiles that start every 3/4 of a tile (those at the right and the bottom are smaller),
/// gives each to `model`, and fades each result into its upper and left neighbours over a quarter of a tile.
/// Throws Error when tiles are too small to be cut so.
at::Tensor map_tiles(const at::Tensor& image, const TileSizes& sizes,
                     const std::function<at::Tensor(const at::Tensor&)>& model);

}  // namespace diffapple
