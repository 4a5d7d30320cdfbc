#include "diffapple/pipelines/pipeline.h"

#include <algorithm>

#include "diffapple/core/error.h"
#include "diffapple/core/text.h"
#include "diffapple/io/json_fields.h"
#include "diffapple/pipelines/pixel_pipeline.h"
#include "diffapple/pipelines/stable_diffusion.h"

namespace diffapple {

Size picture_size(const ModelTraits& traits, const std::optional<Size>& usual, std::optional<int64_t> width,
                  std::optional<int64_t> height) {
    if (!usual && !(width && height))
        fail_usage("--width and --height: the UNet's config has no sample_size, so both must be given");
    const Size size{.width = width ? *width : usual->width, .height = height ? *height : usual->height};
    const int64_t factor = traits.size_factor;
    for (const auto& [option, side] : {std::pair{"--width", size.width}, std::pair{"--height", size.height}})
        if (side < factor || side % factor != 0)
            fail_usage(option, ' ', side, ": this model makes sizes that are multiples of ", factor);
    return size;
}

Denoised Pipeline::sample(const BatchRequest& request, Scheduler& scheduler, NoiseSource& noise,
                          const OnTurn& on_turn) {
    const Start begin = start(request, scheduler, noise);
    return denoise(begin.sample, scheduler, predict(request, begin), noise, on_turn, begin.after_turn);
}

namespace {

/// The UNets of both kinds of pipeline.
constexpr const char* pixel_unet = "UNet2DModel";
constexpr const char* prompted_unet = "UNet2DConditionModel";

}  // namespace

/// Where the config names no class, a VAE tells the two apart.
bool has_prompts(const Checkpoint& checkpoint) {
    const Component unet = checkpoint.component("unet");
    const auto names = checkpoint.component_names();
    const bool has_vae = std::find(names.begin(), names.end(), "vae") != names.end();
    return JsonFields(unet.config, unet.where())
               .choice("_class_name", {pixel_unet, prompted_unet}, has_vae ? prompted_unet : pixel_unet) ==
           prompted_unet;
}

std::unique_ptr<Pipeline> open_pipeline(const Checkpoint& checkpoint, const Placement& placement,
                                        bool with_safety_checker) {
    if (has_prompts(checkpoint)) return StableDiffusion::open(checkpoint, placement, with_safety_checker);
    return PixelPipeline::open(checkpoint, placement);
}

}  // namespace diffapple
