#include "diffapple/pipelines/pixel_pipeline.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "diffapple/core/error.h"
#include "diffapple/models/component_descriptions.h"
#include "diffapple/models/flop_count.h"
#include "diffapple/pipelines/start_from_noise.h"

namespace diffapple {

PixelPipeline::PixelPipeline(std::vector<ComponentDescription> components, UNet2DConfig config,
                             const Placement& placement)
    : components_(std::move(components)),
      config_(std::move(config)),
      placement_(placement),
      traits_{.default_size = config_.sample_size, .size_factor = config_.size_factor()} {
    components_.check([&](const std::string&) { return placement; });
    unet_size_ = components_.size("unet", placement);
}

std::unique_ptr<PixelPipeline> PixelPipeline::open(const Checkpoint& checkpoint, const Placement& placement) {
    for (const std::string decoder : {"vqvae", "vae"})
        if (const auto class_name = checkpoint.class_in_index(decoder))
            fail("model ", checkpoint.name, ": its UNet makes latents for its ", decoder, " (", *class_name,
                 "), not pictures; unconditional latent models are not supported");
    const Component unet = checkpoint.component("unet");
    const auto config = UNet2DConfig::from_json(JsonFields(unet.config, unet.where()));
    if (config.in_channels == 2 || config.in_channels > 4)
        fail("model ", checkpoint.name, ": makes pictures of ", config.in_channels,
             " channels, but a PNG has 1, 3 or 4; `diffapple ddpm` runs pixel-space models");
    return std::make_unique<PixelPipeline>(std::vector{describe_unet_2d(checkpoint)}, config, placement);
}

std::vector<int64_t> PixelPipeline::latents_shape(int64_t pictures, Size size) const {
    return {pictures, config_.in_channels, size.height, size.width};
}

std::vector<MemoryStage> PixelPipeline::memory_stages(const MemoryRequest& request) const {
    // Measured on the CPU in fp32 and bf16, from one picture of 64x64 to a batch of 32 and to 512x512: beside a share
    // of the weights (packing, scratch memory), what the highest level holds, which is the skips of its down block and
    // several copies of what its up block joins them with.
    constexpr double weights_share = 0.16, copies = 3.4;
    const auto& channels = config_.block_out_channels;
    const int64_t highest = channels.front(), next = channels[std::min<size_t>(1, channels.size() - 1)];
    const double values_of_pixel =
        static_cast<double>((config_.layers_per_block + 1) * highest) + copies * static_cast<double>(highest + next);
    const auto pixels = static_cast<double>(request.pictures * request.size.width * request.size.height);
    const auto element = static_cast<double>(c10::elementSize(request.placement.dtype));
    const uint64_t weights = unet_size_.bytes(request.placement);
    const double activations = values_of_pixel * pixels * element + weights_share * static_cast<double>(weights);
    return {{"denoising", weights, static_cast<uint64_t>(activations), unet_size_.largest_bytes(request.placement)}};
}

double PixelPipeline::flop_per_turn(int64_t pictures, Size size, bool /*guided*/) const {
    return count_flop(UNet2DModel(config_), pictures, size.height, size.width);
}

Start PixelPipeline::start(const BatchRequest& request, const Scheduler& scheduler, NoiseSource& noise) {
    return start_from_noise(latents_shape(request.pictures, request.size), request.start_noise, scheduler,
                            placement_.device, noise);
}

Predict PixelPipeline::predict(const BatchRequest& /*request*/, const Start& /*start*/,
                               const std::vector<double>& timesteps) {
    const auto unet = components_.get<UNet2DModel>("unet", placement_);
    const at::InferenceMode inference;
    return
        [unet, times = unet->embed_times(timesteps), dtype = placement_.dtype](const at::Tensor& sample, size_t index) {
            return unet->forward(sample.to(dtype), times[index]).to(at::kFloat);
        };
}

}  // namespace diffapple
