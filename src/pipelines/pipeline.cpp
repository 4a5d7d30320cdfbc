#include "diffapple/pipelines/pipeline.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>

#include "diffapple/core/error.h"
#include "diffapple/core/text.h"
#include "diffapple/core/utf8.h"
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

Denoised Pipeline::sample(const BatchRequest& request, Scheduler& scheduler, NoiseSource& noise, const OnTurn& on_turn,
                          const Preview& preview) {
    const Start begin = start(request, scheduler, noise);
    return denoise(begin.sample, scheduler, predict(request, begin, scheduler.timesteps()), noise, on_turn,
                   begin.after_turn, preview);
}

namespace {

/// The UNets of both kinds of pipeline.
constexpr const char* pixel_unet = "UNet2DModel";
constexpr const char* prompted_unet = "UNet2DConditionModel";

/// The pipelines of diffusers whose checkpoints this program runs. Others may have the same components, so only what
/// fails of them is refused.
const std::vector<std::string> supported_pipelines{"DDPMPipeline",
                                                   "DDIMPipeline",
                                                   "PNDMPipeline",
                                                   "StableDiffusionPipeline",
                                                   "StableDiffusionImg2ImgPipeline",
                                                   "StableDiffusionInpaintPipeline",
                                                   "StableDiffusionXLPipeline",
                                                   "StableDiffusionXLImg2ImgPipeline",
                                                   "StableDiffusionXLInpaintPipeline"};

/// Does `work`; where that fails for a checkpoint of another pipeline, the error begins with that.
template <typename Work>
auto naming_the_pipeline(const Checkpoint& checkpoint, Work work) {
    try {
        return work();
    } catch (const Error& error) {
        const std::string name = valid_utf8(checkpoint.pipeline_class());
        const auto& known = supported_pipelines;
        if (name.empty() || std::find(known.begin(), known.end(), name) != known.end()) throw;
        const std::string beginning = concat("model ", checkpoint.name, ": ");
        const std::string_view problem = error.what();
        throw Error(concat(beginning, "is of the pipeline ", name, ", which is not supported (",
                           problem.substr(problem.starts_with(beginning) ? beginning.size() : 0), ")"),
                    error.code());
    }
}

/// The class of the UNet: the index's, else its config's. Where neither names one, a VAE tells the two apart.
std::string unet_class(const Checkpoint& checkpoint) {
    const Component unet = checkpoint.component("unet");
    const JsonFields fields(unet.config, unet.where());
    // A list names a class outside diffusers.
    const bool named = fields.has("_class_name") && !fields.value("_class_name").is_array();
    const auto in_index = checkpoint.class_in_index("unet");
    if (!named && in_index) return *in_index;
    const auto names = checkpoint.component_names();
    const bool has_vae = std::find(names.begin(), names.end(), "vae") != names.end();
    return named ? fields.choice("_class_name", {pixel_unet, prompted_unet}) : has_vae ? prompted_unet : pixel_unet;
}

}  // namespace

bool has_prompts(const Checkpoint& checkpoint) {
    return naming_the_pipeline(checkpoint, [&] { return unet_class(checkpoint) == prompted_unet; });
}

std::unique_ptr<Pipeline> open_pipeline(const Checkpoint& checkpoint, const Placement& placement,
                                        bool with_safety_checker) {
    return naming_the_pipeline(checkpoint, [&]() -> std::unique_ptr<Pipeline> {
        if (unet_class(checkpoint) == prompted_unet)
            return StableDiffusion::open(checkpoint, placement, with_safety_checker);
        return PixelPipeline::open(checkpoint, placement);
    });
}

}  // namespace diffapple
