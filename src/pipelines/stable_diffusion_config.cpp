// What the configs of a Stable Diffusion checkpoint say.
#include <ATen/ATen.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "diffapple/core/error.h"
#include "diffapple/io/json_fields.h"
#include "diffapple/models/clip_text.h"
#include "diffapple/pipelines/stable_diffusion.h"
#include "latent_preview.h"

namespace diffapple {
namespace {

template <typename Config>
Config read_config(const Checkpoint& checkpoint, const std::string& component_name) {
    const Component component = checkpoint.component(component_name);
    return Config::from_json(JsonFields(component.config, component.where()));
}

/// Text encoders and UNet, VAE and UNet must belong together: a component from another model would otherwise fail late
/// and obscurely.
void require_match(const Checkpoint& checkpoint, const StableDiffusionConfig& config,
                   const std::vector<ClipTextConfig>& texts) {
    int64_t text_width = 0;
    for (const auto& text : texts) text_width += text.encoder.hidden_size;
    if (text_width != config.unet.text_width())
        fail("model ", checkpoint.name, ": its UNet takes text embeddings of width ", config.unet.text_width(),
             ", but its text encoder", texts.size() > 1 ? "s make " : " makes ", text_width,
             "; a component is of another model, or the model is of a kind that is not supported");
    const int64_t latent = config.vae.latent_channels, in = config.unet.in_channels;
    if (config.unet.out_channels != latent || (in != latent && in != 2 * latent + 1))
        fail("model ", checkpoint.name, ": its UNet has ", in, " input and ", config.unet.out_channels,
             " output channels, but its VAE has ", latent,
             " latent channels; a component is of another model, or the model is of a kind that is not supported");
}

/// Pictures are RGB; the VAE's config would otherwise fail when all steps are done.
void require_rgb(const Checkpoint& checkpoint, const StableDiffusionConfig& config) {
    const Component component = checkpoint.component("vae");
    const auto require = [&](const std::string& key, int64_t channels) {
        if (channels != 3)
            JsonFields(component.config, component.where())
                .reject(key, concat("is ", channels, ", but pictures have 3 channels; give another --model"));
    };
    require("out_channels", config.vae.out_channels);
    if (config.reads_mask()) require("in_channels", config.vae.in_channels);
}

constexpr int64_t usual_latents = 64;

/// The pipelines of SD v1 and v2 take 64 for a smaller number in a config that a version before 0.9 of diffusers wrote:
/// it is the default that was left in place.
bool says_too_small_by_mistake(const nlohmann::json& unet) {
    const auto version = unet.find("_diffusers_version"), size = unet.find("sample_size");
    if (version == unet.end() || !version->is_string() || size == unet.end() || !size->is_number_integer() ||
        size->get<int64_t>() >= usual_latents)
        return false;
    constexpr int first_right_minor = 9;
    std::istringstream text(version->get<std::string>());
    int major = 0, minor = 0;
    char point = 0;
    return text >> major >> point >> minor && major == 0 && minor < first_right_minor;
}

/// SDXL's pipelines have none.
bool uses_safety_checker(const Checkpoint& checkpoint, bool is_xl) {
    const auto names = checkpoint.component_names();
    return !is_xl && checkpoint.uses("safety_checker") &&
           std::find(names.begin(), names.end(), "safety_checker") != names.end();
}

/// A component that these pipelines have no use for would change their result in the one that it belongs to.
void refuse_other_components(const nlohmann::json& index, bool is_xl) {
    const std::vector<std::string> known{
        "unet",         "vae", "text_encoder", "tokenizer", "scheduler", "safety_checker", "feature_extractor",
        "image_encoder"};
    for (const auto& [key, entry] : index.items()) {
        const bool is_component =
            !key.starts_with("_") && entry.is_array() && entry.size() == 2 && entry[1].is_string();
        const bool of_xl = is_xl && (key == "text_encoder_2" || key == "tokenizer_2");
        if (is_component && !of_xl && std::find(known.begin(), known.end(), key) == known.end())
            JsonFields(index, "model_index.json")
                .reject(key, concat("names a component (", entry[1].get<std::string>(),
                                    ") that this model's UNet has no use for; it belongs to another pipeline"));
    }
}

}  // namespace

StableDiffusionConfig StableDiffusionConfig::read(const Checkpoint& checkpoint) {
    StableDiffusionConfig config{.unet = read_config<UNet2DConditionConfig>(checkpoint, "unet"),
                                 .vae = read_config<AutoencoderKLConfig>(checkpoint, "vae")};
    config.text_encoders = {"text_encoder"};
    if (config.unet.text_time) config.text_encoders.emplace_back("text_encoder_2");
    std::vector<ClipTextConfig> texts;
    for (const auto& name : config.text_encoders) texts.push_back(read_config<ClipTextConfig>(checkpoint, name));
    require_match(checkpoint, config, texts);
    require_rgb(checkpoint, config);
    config.text_layers = texts.front().encoder.layers;
    for (const auto& text : texts) config.text_layers = std::min(config.text_layers, text.encoder.layers);
    if (const auto index = checkpoint.index()) {
        refuse_other_components(*index, config.is_xl());
        config.force_zeros_for_empty_prompt =
            JsonFields(*index, "model_index.json").boolean("force_zeros_for_empty_prompt", true);
    }
    if (!config.is_xl() && says_too_small_by_mistake(checkpoint.component("unet").config))
        config.unet.sample_size = Size{usual_latents, usual_latents};
    config.has_safety_checker = uses_safety_checker(checkpoint, config.is_xl());
    return config;
}

c10::ScalarType StableDiffusionConfig::encoding_dtype(c10::ScalarType dtype) const {
    return upcasts_vae() ? c10::kFloat : dtype;
}

c10::ScalarType StableDiffusionConfig::decoding_dtype(c10::ScalarType dtype) const {
    return dtype == c10::kHalf && upcasts_vae() ? c10::kFloat : dtype;
}

namespace {

/// Values of channels [1, C, 1, 1] in the dtype and on the device of latents.
at::Tensor by_channel(const std::vector<double>& values, const at::Tensor& like) {
    return at::tensor(values, at::kFloat).view({1, -1, 1, 1}).to(like.device(), like.scalar_type());
}

}  // namespace

ImagePosterior StableDiffusionConfig::scaled(const ImagePosterior& encoded, bool for_inpainting) const {
    const auto& [mean, deviation] = encoded;
    const double factor = vae.scaling_factor;
    if (!is_xl() || !vae.latent_statistics || for_inpainting) return {mean.mul(factor), deviation.mul(factor)};
    const auto usual = by_channel(vae.latent_statistics->mean, mean);
    const auto spread = by_channel(vae.latent_statistics->deviation, mean);
    return {mean.sub(usual).mul_(factor).div_(spread), deviation.mul(factor).div_(spread)};
}

at::Tensor StableDiffusionConfig::unscaled(const at::Tensor& latents) const {
    if (!is_xl() || !vae.latent_statistics) return latents.div(vae.scaling_factor);
    return latents.mul(by_channel(vae.latent_statistics->deviation, latents))
        .div_(vae.scaling_factor)
        .add_(by_channel(vae.latent_statistics->mean, latents));
}

ModelTraits StableDiffusionConfig::traits() const {
    const Size latents = unet.sample_size.value_or(Size{usual_latents, usual_latents});
    // SDXL takes the last layer but one, so that one more is left out.
    const int64_t skippable = text_layers - (is_xl() ? 1 : 0);
    return {.default_size = Size{latents.width * vae_scale_factor(), latents.height * vae_scale_factor()},
            .size_factor = vae_scale_factor(),
            .has_prompts = true,
            .is_xl = is_xl(),
            .embeds_guidance = unet.guidance_embed_dim.has_value(),
            .zeros_for_no_prompt = is_xl() && force_zeros_for_empty_prompt,
            .skippable_text_layers = std::max<int64_t>(0, skippable),
            .has_safety_checker = has_safety_checker,
            .has_preview = vae.latent_channels == previewed_channels,
            .reads_mask = reads_mask(),
            .tile = vae.sample_size};
}

}  // namespace diffapple
