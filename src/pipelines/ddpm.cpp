#include "diffapple/pipelines/ddpm.h"

#include <ATen/ATen.h>

#include "diffapple/core/error.h"
#include "diffapple/models/component_loading.h"

namespace diffapple {

DDPMPipeline::DDPMPipeline(const Checkpoint& checkpoint, const Placement& placement)
    : DDPMPipeline(load_model<UNet2DModel, UNet2DConfig>(checkpoint.component("unet"), placement), placement) {}

DDPMPipeline::DDPMPipeline(std::shared_ptr<UNet2DModel> unet, const Placement& placement)
    : unet_(std::move(unet)), placement_(placement) {
    nn::pack_weights(*unet_);
}

Denoised DDPMPipeline::sample(const Request& request, Scheduler& scheduler, NoiseSource& noise, const OnTurn& on_turn) {
    const at::InferenceMode inference;
    const std::vector<int64_t> shape{request.batch_size, unet_config().in_channels, request.height, request.width};
    if (request.start_noise && request.start_noise->sizes() != at::IntArrayRef(shape))
        fail("--latents: the tensor has shape ", request.start_noise->sizes(), ", but this run needs ",
             at::IntArrayRef(shape));
    const auto start = request.start_noise ? request.start_noise->to(placement_.device, at::kFloat)
                                           : noise.normal(shape, placement_.device, at::kFloat);
    const Predict predict = [this](const at::Tensor& sample, double timestep) {
        return unet_->forward(sample.to(placement_.dtype), timestep).to(at::kFloat);
    };
    return denoise(start.mul(scheduler.init_noise_sigma()), scheduler, predict, noise, on_turn);
}

std::pair<int64_t, int64_t> DDPMPipeline::picture_size(const UNet2DConfig& config, std::optional<int64_t> width,
                                                       std::optional<int64_t> height) {
    if (!width) width = config.sample_width;
    if (!height) height = config.sample_height;
    if (!width || !height)
        fail_usage("--width and --height: the UNet's config has no sample_size, so both must be given");
    const int64_t factor = config.size_factor();
    for (const auto& [option, size] : {std::pair{"--width", *width}, std::pair{"--height", *height}})
        if (size < factor || size % factor != 0)
            fail_usage(option, ' ', size, ": this UNet makes sizes that are multiples of ", factor);
    return {*width, *height};
}

}  // namespace diffapple
