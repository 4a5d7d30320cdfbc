#include "diffapple/pipelines/stable_diffusion.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "diffapple/core/error.h"
#include "diffapple/models/component_loading.h"

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
    if (text_width != config.unet.cross_attention_dim)
        fail("model ", checkpoint.name, ": its UNet takes text embeddings of width ", config.unet.cross_attention_dim,
             ", but its text encoder", texts.size() > 1 ? "s make " : " makes ", text_width,
             "; a component is of another model: download it again");
    const int64_t latent = config.vae.latent_channels, in = config.unet.in_channels;
    if (config.unet.out_channels != latent || (in != latent && in != 2 * latent + 1))
        fail("model ", checkpoint.name, ": its UNet has ", in, " input and ", config.unet.out_channels,
             " output channels, but its VAE has ", latent,
             " latent channels; a component is of another model: download it again");
}

/// A component that these pipelines have no use for would change their result in the one that it belongs to.
void refuse_other_components(const nlohmann::json& index, bool is_xl) {
    const std::vector<std::string> known{
        "unet",         "vae", "text_encoder", "tokenizer", "scheduler", "safety_checker", "feature_extractor",
        "image_encoder"};
    for (const auto& [key, entry] : index.items()) {
        const bool is_component = entry.is_array() && entry.size() == 2 && entry[1].is_string();
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
    config.text_layers = texts.front().encoder.layers;
    for (const auto& text : texts) config.text_layers = std::min(config.text_layers, text.encoder.layers);
    const auto index_file = checkpoint.folder / "model_index.json";
    if (std::filesystem::exists(index_file)) {
        const auto index = read_json_file(index_file);
        refuse_other_components(index, config.is_xl());
        config.force_zeros_for_empty_prompt =
            JsonFields(index, "model_index.json").boolean("force_zeros_for_empty_prompt", true);
    }
    for (const auto& name : checkpoint.component_names())
        if (name == "safety_checker") config.safety_checker = name;
    return config;
}

std::pair<int64_t, int64_t> StableDiffusionConfig::default_size() const {
    constexpr int64_t usual_latents = 64;
    return {unet.sample_height.value_or(usual_latents) * vae_scale_factor(),
            unet.sample_width.value_or(usual_latents) * vae_scale_factor()};
}

StableDiffusionComponents StableDiffusionComponents::of(const Checkpoint& checkpoint,
                                                        const StableDiffusionConfig& config) {
    return {.unet =
                [checkpoint](const Placement& placement, const OnLoaded& on_loaded) {
                    const Component component = checkpoint.component("unet");
                    return timed_load(component, on_loaded, [&] {
                        return load_model<UNet2DConditionModel, UNet2DConditionConfig>(component, placement);
                    });
                },
            .vae =
                [checkpoint](const Placement& placement, const OnLoaded& on_loaded) {
                    const Component component = checkpoint.component("vae");
                    return timed_load(component, on_loaded, [&] {
                        return load_model<AutoencoderKL, AutoencoderKLConfig>(component, placement);
                    });
                },
            .text_encoders = [checkpoint,
                              names = config.text_encoders] { return PromptEncoder::sources_of(checkpoint, names); }};
}

StableDiffusion::StableDiffusion(StableDiffusionComponents components, StableDiffusionConfig config,
                                 const Placement& placement)
    : components_(std::move(components)), config_(std::move(config)), placement_(placement) {}

StableDiffusion::StableDiffusion(const Checkpoint& checkpoint, const StableDiffusionConfig& config,
                                 const Placement& placement)
    : StableDiffusion(StableDiffusionComponents::of(checkpoint, config), config, placement) {
    // What is loaded late is checked early: not after minutes of work.
    check_model<UNet2DConditionModel>(checkpoint.component("unet"), config_.unet, placement_);
    check_model<AutoencoderKL>(checkpoint.component("vae"), config_.vae, placement_);
}

void StableDiffusion::set_residency(Keep keep, OnLoaded on_loaded) {
    keep_ = keep;
    on_loaded_ = std::move(on_loaded);
}

void StableDiffusion::encode(const std::vector<Prompt>& prompts, const OnLostText& on_lost_text) {
    const std::set<Prompt> distinct(prompts.begin(), prompts.end());
    // A run of many prompts must not gather their keys and values.
    std::erase_if(contexts_, [&](const auto& item) { return !distinct.contains(item.first); });
    std::erase_if(embeddings_, [&](const auto& item) { return !distinct.contains(item.first); });
    std::vector<Prompt> fresh;
    for (const auto& prompt : distinct)
        if (!embeddings_.contains(prompt)) fresh.push_back(prompt);
    if (fresh.empty()) return;
    if (!prompt_encoder_) prompt_encoder_.emplace(components_.text_encoders(), placement_);
    const auto embeddings = prompt_encoder_->encode(fresh, keep_ == Keep::all, on_loaded_, on_lost_text);
    for (size_t i = 0; i < fresh.size(); ++i) embeddings_.emplace(fresh[i], embeddings[i]);
}

UNet2DConditionModel& StableDiffusion::unet() {
    if (unet_) return *unet_;
    if (keep_ != Keep::all) drop(vae_, placement_.device);  // it may have encoded a picture
    unet_ = components_.unet(placement_, on_loaded_);
    nn::pack_weights(*unet_);
    return *unet_;
}

void StableDiffusion::drop_unet() {
    contexts_.clear();  // they belong to its layers
    drop(unet_, placement_.device);
}

c10::ScalarType StableDiffusion::vae_dtype() const {
    return placement_.dtype == at::kHalf && config_.upcasts_vae() ? at::kFloat : placement_.dtype;
}

AutoencoderKL& StableDiffusion::vae(c10::ScalarType dtype) {
    if (!vae_ || loaded_vae_dtype_ != dtype) {
        drop(vae_, placement_.device);
        vae_ = components_.vae({placement_.device, dtype}, on_loaded_);
        nn::pack_weights(*vae_);
        loaded_vae_dtype_ = dtype;
    }
    return *vae_;
}

const nn::TextContext& StableDiffusion::context_of(const Prompt& prompt) {
    const auto found = contexts_.find(prompt);
    if (found != contexts_.end()) return found->second;
    return contexts_.emplace(prompt, unet().encode_text(embeddings_.at(prompt).hidden)).first->second;
}

at::Tensor StableDiffusion::embed_sizes(const Request& request, const std::vector<Prompt>& prompts) {
    if (!request.sizes) return {};
    const auto& [original, crop, target] = *request.sizes;
    std::vector<double> values;
    for (const auto& [first, second] : {original, crop, target}) {
        values.push_back(static_cast<double>(first));
        values.push_back(static_cast<double>(second));
    }
    std::vector<at::Tensor> pooled;
    for (const auto& prompt : prompts) pooled.push_back(embeddings_.at(prompt).pooled);
    const auto text_embeds = at::cat(pooled);
    const auto time_ids = at::tensor(values, at::kFloat).unsqueeze(0).expand({text_embeds.size(0), -1});
    return unet().embed_added(text_embeds, time_ids);
}

StableDiffusion::Conditioning StableDiffusion::condition(const Request& request) {
    std::vector<Prompt> prompts;
    if (request.guidance.active()) prompts.assign(request.prompts.size(), request.negative_prompt);
    prompts.insert(prompts.end(), request.prompts.begin(), request.prompts.end());
    std::vector<nn::TextContext> contexts;
    for (const auto& prompt : prompts) contexts.push_back(context_of(prompt));
    return {.text = nn::TextContext::join(contexts), .added = embed_sizes(request, prompts)};
}

Denoised StableDiffusion::denoise(const Request& request, const Start& start, Scheduler& scheduler, NoiseSource& noise,
                                  const OnTurn& on_turn) {
    unet();  // weights are loaded outside of inference mode
    const at::InferenceMode inference;
    const Conditioning conditioning = condition(request);
    const bool guided = request.guidance.active();
    at::Tensor extra = start.extra_channels;
    if (extra.defined()) extra = extra.to(at::kFloat).expand({start.sample.size(0), -1, -1, -1});
    const Predict predict = [&](const at::Tensor& sample, double timestep) {
        at::Tensor input = extra.defined() ? at::cat({sample, extra}, 1) : sample;
        input = input.to(placement_.dtype);
        if (guided) input = at::cat({input, input});
        const auto output =
            unet().forward(input, timestep, conditioning.text, conditioning.added).to(at::kFloat).contiguous();
        return guided ? request.guidance.apply(output) : output;
    };
    return diffapple::denoise(start.sample, scheduler, predict, noise, on_turn, start.after_turn);
}

at::Tensor StableDiffusion::decode(const at::Tensor& latents) {
    if (keep_ == Keep::none) drop_unet();
    AutoencoderKL& decoder = vae(vae_dtype());
    const at::InferenceMode inference;
    std::vector<at::Tensor> pictures;  // one at a time: the memory of a batch's full-size activations is not needed
    for (const auto& latent : latents.split(1)) {
        auto unscaled = latent.to(vae_dtype()).div(config_.vae.scaling_factor);
        if (config_.vae.shift_factor) unscaled.add_(*config_.vae.shift_factor);
        pictures.push_back(decoder.decode(unscaled, tiling_).to(at::kFloat));
        require_finite(pictures.back(), "VAE decoding");
    }
    if (keep_ == Keep::none) drop(vae_, placement_.device);
    return at::cat(pictures);
}

ImagePosterior StableDiffusion::encode_image(const at::Tensor& image) {
    const c10::ScalarType dtype = config_.upcasts_vae() ? at::kFloat : placement_.dtype;
    AutoencoderKL& encoder = vae(dtype);
    const at::InferenceMode inference;
    const auto posterior = encoder.encode(image.to(placement_.device, dtype), tiling_);
    const auto mean = posterior.mean.to(at::kFloat), deviation = posterior.std.to(at::kFloat);
    require_finite(mean, "VAE encoding");
    require_finite(deviation, "VAE encoding");
    const double scale = config_.vae.scaling_factor, shift = config_.vae.shift_factor.value_or(0.0);
    return {.mean = mean.sub(shift).mul_(scale), .deviation = deviation.mul(scale)};
}

at::Tensor ImagePosterior::draw(NoiseSource& noise) const {
    return noise.normal(mean.sizes(), mean.device(), at::kFloat).mul_(deviation).add_(mean);
}

}  // namespace diffapple
