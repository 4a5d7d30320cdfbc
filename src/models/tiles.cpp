#include "diffapple/models/tiles.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

#include "diffapple/core/error.h"
#include "diffapple/core/stop.h"

namespace diffapple {
namespace {

constexpr double overlap = 0.25;

int64_t part_of(int64_t size, double share) {
    return static_cast<int64_t>(static_cast<double>(size) * share);
}

/// Replaces the first `extent` lines of `tile` along `dim` by a linear fade from the last lines of `before`.
void blend(const at::Tensor& before, const at::Tensor& tile, int64_t dim, int64_t extent) {
    extent = std::min({before.size(dim), tile.size(dim), extent});
    if (extent == 0) return;
    std::vector<int64_t> along(tile.dim(), 1);
    along[dim] = extent;
    const auto share = at::arange(extent, at::kDouble).div(extent).to(at::kFloat).to(tile.device()).view(along);
    const auto old_lines = before.narrow(dim, before.size(dim) - extent, extent);
    const auto new_lines = tile.narrow(dim, 0, extent);
    new_lines.copy_(old_lines.mul(1 - share).add_(new_lines.mul(share)));
}

at::Tensor cut(const at::Tensor& image, int64_t top, int64_t left, int64_t size) {
    return image.narrow(2, top, std::min(size, image.size(2) - top))
        .narrow(3, left, std::min(size, image.size(3) - left));
}

}  // namespace

at::Tensor map_tiles(const at::Tensor& image, const TileSizes& sizes,
                     const std::function<at::Tensor(const at::Tensor&)>& model) {
    const int64_t step = part_of(sizes.input, 1 - overlap), extent = part_of(sizes.output, overlap);
    const int64_t kept = sizes.output - extent;
    if (step == 0 || kept == 0) fail("tiles of ", sizes.input, " are too small; check sample_size in the VAE's config");
    std::vector<at::Tensor> above, result_rows;
    for (int64_t top = 0; top < image.size(2); top += step) {
        std::vector<at::Tensor> row, kept_parts;
        for (int64_t left = 0; left < image.size(3); left += step) {
            check_stop();
            const at::Tensor tile = model(cut(image, top, left, sizes.input));
            if (!above.empty()) blend(above[row.size()], tile, 2, extent);
            if (!row.empty()) blend(row.back(), tile, 3, extent);
            row.push_back(tile);
            kept_parts.push_back(cut(tile, 0, 0, kept));
        }
        result_rows.push_back(at::cat(kept_parts, 3));
        above = std::move(row);
    }
    return at::cat(result_rows, 2);
}

}  // namespace diffapple
