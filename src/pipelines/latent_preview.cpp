#include "latent_preview.h"

#include <ATen/ATen.h>

#include <array>

namespace diffapple {
namespace {

/// A row for each of red, green, blue: the factors of the latents, and what is added.
struct LinearMap {
    std::array<std::array<double, previewed_channels>, 3> factors;
    std::array<double, 3> added;
    double divisor, shift;  ///< from the map's own range to [-1, 1]
};

constexpr LinearMap of_sd = {
    .factors = {{{0.298, 0.187, -0.158, -0.184}, {0.207, 0.286, 0.189, -0.271}, {0.208, 0.173, 0.264, -0.473}}},
    .added = {0, 0, 0},
    .divisor = 1,
    .shift = 0};
constexpr LinearMap of_sdxl = {.factors = {{{60, -60, 25, -70}, {60, -5, 15, -50}, {60, 10, -5, -35}}},
                               .added = {150, 140, 130},
                               .divisor = 127.5,
                               .shift = -1};

}  // namespace

at::Tensor latents_to_rgb(const at::Tensor& latents, bool is_xl) {
    const LinearMap& map = is_xl ? of_sdxl : of_sd;
    std::vector<at::Tensor> colours;
    for (size_t colour = 0; colour < 3; ++colour) {
        at::Tensor sum = at::full_like(latents.select(1, 0), map.added[colour]);
        for (int64_t channel = 0; channel < previewed_channels; ++channel)
            sum.add_(latents.select(1, channel), map.factors[colour][static_cast<size_t>(channel)]);
        colours.push_back(sum.div_(map.divisor).add_(map.shift));
    }
    return at::stack(colours, 1);
}

}  // namespace diffapple
