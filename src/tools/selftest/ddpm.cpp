// A short run of the DDPM pipeline, noise to picture, against the same run in double precision on the CPU.
#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#include "diffapple/pipelines/image_processor.h"
#include "diffapple/pipelines/pixel_pipeline.h"
#include "parts.h"

namespace diffapple::selftest {
namespace {

UNet2DConfig unet_config() {
    const nlohmann::json config{{"down_block_types", {"DownBlock2D", "AttnDownBlock2D"}},
                                {"up_block_types", {"AttnUpBlock2D", "UpBlock2D"}},
                                {"block_out_channels", {32, 64}},
                                {"layers_per_block", 1},
                                {"norm_num_groups", 8}};
    return UNet2DConfig::from_json(JsonFields(config, "selftest"));
}

at::Tensor sample(const std::shared_ptr<UNet2DModel>& unet, const Placement& placement) {
    constexpr uint64_t seed = 6;
    constexpr int64_t steps = 8;
    const nlohmann::json config{{"num_train_timesteps", 1000}};
    const auto scheduler = make_scheduler("ddpm", config, "selftest", {.steps = steps});
    NoiseSource noise(seed);
    PixelPipeline pipeline({{.name = "unet", .load = [unet](const Placement&) { return unet; }}}, unet->config(),
                           placement);
    const BatchRequest request{.pictures = 2, .size = {.width = 24, .height = 16}};
    return pipeline.sample(request, *scheduler, noise, [](size_t, size_t) {}).sample;
}

Comparison check_run(const Placement& placement) {
    constexpr int64_t roundings = 100;  // those of one turn: the sampler clips, and damps what earlier turns added
    const auto twins = make_twins<UNet2DModel>(unet_config(), placement);
    nn::pack_weights(*twins.tested);
    const auto exact = sample(twins.exact, {at::kCPU, at::kDouble});
    return compare(sample(twins.tested, placement), exact.to(at::kDouble), placement, roundings);
}

/// The same sample gives the same 8-bit picture, rounding of ties included.
Comparison check_rounding(const Placement& placement) {
    const at::Tensor levels = at::arange(-300, 301, at::kFloat).div_(255).reshape({1, 1, 1, -1});
    const auto tested = to_images(levels.to(placement.device)).front(), expected = to_images(levels).front();
    double differences = 0;
    for (size_t i = 0; i < expected.pixels.size(); ++i) differences += tested.pixels[i] != expected.pixels[i];
    return {differences, 0};
}

}  // namespace

std::vector<Check> ddpm_checks() {
    return {{"ddpm run of 8 steps", check_run}, {"8-bit pixels", check_rounding, /*every_dtype=*/false}};
}

}  // namespace diffapple::selftest
