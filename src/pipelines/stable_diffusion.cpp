#include "diffapple/pipelines/stable_diffusion.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <set>
#include <utility>

#include "diffapple/core/device.h"
#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"
#include "diffapple/models/clip_image_processor.h"
#include "diffapple/models/component_descriptions.h"
#include "diffapple/models/safety_checker.h"
#include "diffapple/pipelines/inpaint.h"
#include "diffapple/pipelines/start_from_noise.h"
#include "latent_preview.h"

namespace diffapple {
namespace {

std::vector<ComponentDescription> describe_components(const Checkpoint& checkpoint, const StableDiffusionConfig& config,
                                                      bool with_safety_checker) {
    std::vector<ComponentDescription> components{describe_unet_2d_condition(checkpoint),
                                                 describe_autoencoder_kl(checkpoint)};
    for (const auto& name : config.text_encoders) {
        components.push_back(describe_clip_text(checkpoint, name));
        components.push_back(describe_tokenizer(checkpoint, tokenizer_of(name)));
    }
    if (with_safety_checker && config.has_safety_checker) {
        components.push_back(describe_safety_checker(checkpoint));
        components.push_back(describe_feature_extractor(checkpoint));
    }
    return components;
}

}  // namespace

StableDiffusion::StableDiffusion(std::vector<ComponentDescription> components, StableDiffusionConfig config,
                                 const Placement& placement)
    : components_(std::move(components)), config_(std::move(config)), placement_(placement), traits_(config_.traits()) {
    components_.check([this](const std::string& name) { return placement_of(name); });
    sizes_ = read_sizes();
}

std::unique_ptr<StableDiffusion> StableDiffusion::open(const Checkpoint& checkpoint, const Placement& placement,
                                                       bool with_safety_checker) {
    const auto config = StableDiffusionConfig::read(checkpoint);
    return std::make_unique<StableDiffusion>(describe_components(checkpoint, config, with_safety_checker), config,
                                             placement);
}

/// Where the component computes in the end; the VAE may encode in another dtype.
Placement StableDiffusion::placement_of(const std::string& component) const {
    if (component == "vae") return {placement_.device, config_.decoding_dtype(placement_.dtype)};
    if (component == "safety_checker") return {placement_.device, placement_.dtype};
    return placement_;
}

std::map<std::string, c10::ScalarType> StableDiffusion::dtypes() const {
    std::map<std::string, c10::ScalarType> dtypes;
    for (const std::string name : {"unet", "vae"}) dtypes[name] = placement_of(name).dtype;
    for (const auto& name : config_.text_encoders) dtypes[name] = placement_of(name).dtype;
    return dtypes;
}

std::vector<int64_t> StableDiffusion::latents_shape(int64_t pictures, Size size) const {
    const int64_t factor = config_.vae_scale_factor();
    return {pictures, config_.vae.latent_channels, size.height / factor, size.width / factor};
}

void StableDiffusion::prepare(const std::vector<Prompt>& prompts, const OnLostText& on_lost_text) {
    const std::set<Prompt> distinct(prompts.begin(), prompts.end());
    // A run of many prompts must not gather their keys and values.
    std::erase_if(contexts_, [&](const auto& item) { return !distinct.contains(item.first.first); });
    std::erase_if(embeddings_, [&](const auto& item) { return !distinct.contains(item.first); });
    std::vector<Prompt> fresh;
    for (const auto& prompt : distinct)
        if (!embeddings_.contains(prompt)) fresh.push_back(prompt);
    if (fresh.empty()) return;
    const auto embeddings = encode_prompts(components_, config_.text_encoders, placement_, fresh, on_lost_text);
    for (size_t i = 0; i < fresh.size(); ++i) embeddings_.emplace(fresh[i], embeddings[i]);
}

ImagePosterior StableDiffusion::encode_image(const at::Tensor& image) {
    const c10::ScalarType dtype = config_.encoding_dtype(placement_.dtype);
    const auto encoder = components_.get<AutoencoderKL>("vae", {placement_.device, dtype});
    const at::InferenceMode inference;
    const auto posterior = encoder->encode(image.to(placement_.device, dtype), tiling_);
    const auto mean = posterior.mean.to(at::kFloat), deviation = posterior.std.to(at::kFloat);
    require_finite(mean, "VAE encoding");
    require_finite(deviation, "VAE encoding");
    return config_.scaled({.mean = mean, .deviation = deviation}, /*for_inpainting=*/encoded_.mask.defined());
}

void StableDiffusion::choose_inputs(const BatchRequest& request) {
    if (encoded_.inputs == request.inputs && encoded_.size == request.size) return;
    if (config_.vae.in_channels != 3)
        fail("this model's VAE takes pictures of ", counted(config_.vae.in_channels, "channel"),
             " (in_channels), so that it cannot start from an RGB picture; leave out --image");
    encoded_ = {.inputs = request.inputs, .size = request.size};
    if (request.inputs->mask) encoded_.mask = mask_tensor(*request.inputs->mask, request.size, request.inputs->crop);
}

const ImagePosterior& StableDiffusion::encoded_image() {
    const PictureInputs& inputs = *encoded_.inputs;
    if (!encoded_.image) encoded_.image = encode_image(image_tensor(inputs.image, encoded_.size, inputs.crop));
    return *encoded_.image;
}

const ImagePosterior& StableDiffusion::encoded_masked_image() {
    const PictureInputs& inputs = *encoded_.inputs;
    if (!encoded_.masked_image)
        encoded_.masked_image =
            encode_image(masked_image(image_tensor(inputs.image, encoded_.size, inputs.crop), encoded_.mask));
    return *encoded_.masked_image;
}

Start StableDiffusion::start_from_inputs(const BatchRequest& request, const Scheduler& scheduler, NoiseSource& noise) {
    const auto shape = latents_shape(request.pictures, request.size);
    if (!request.inputs->mask) return start_from_image(encoded_image(), shape, request.start_noise, scheduler, noise);
    InpaintInputs inputs{.image = [this] { return encoded_image(); },
                         .mask = mask_to_latents(encoded_.mask, shape[2], shape[3]).to(placement_.device)};
    if (traits_.reads_mask) inputs.masked_image = encoded_masked_image();
    return start_inpainting(inputs, /*noise_alone=*/request.strength == 1.0, shape, request.start_noise, scheduler,
                            noise);
}

Start StableDiffusion::start(const BatchRequest& request, const Scheduler& scheduler, NoiseSource& noise) {
    if (!request.inputs)
        return start_from_noise(latents_shape(request.pictures, request.size), request.start_noise, scheduler,
                                placement_.device, noise);
    choose_inputs(request);
    Start start = start_from_inputs(request, scheduler, noise);
    // Decoding in another dtype would load it anew: it need not lie beside the UNet until then.
    if (config_.encoding_dtype(placement_.dtype) != config_.decoding_dtype(placement_.dtype)) components_.drop("vae");
    return start;
}

const nn::TextContext& StableDiffusion::context_of(const Prompt& prompt, int64_t length, UNet2DConditionModel& unet) {
    const auto key = std::pair(prompt, length);
    const auto found = contexts_.find(key);
    if (found != contexts_.end()) return found->second;
    return contexts_.emplace(key, unet.encode_text(embeddings_.at(prompt).hidden_of(length))).first->second;
}

/// SDXL's added embedding of the pooled texts and the sizes; undefined where there is none.
at::Tensor StableDiffusion::embed_sizes(const BatchRequest& request, const std::vector<Prompt>& prompts,
                                        UNet2DConditionModel& unet) const {
    if (!config_.unet.text_time) return {};
    const Size original = request.options.original_size.value_or(request.size);
    const Size target = request.options.target_size.value_or(request.size);
    const Point crop = request.options.crop.value_or(Point{});
    const std::vector<int64_t> values{original.height, original.width, crop.y, crop.x, target.height, target.width};
    std::vector<at::Tensor> pooled;
    for (const auto& prompt : prompts) pooled.push_back(embeddings_.at(prompt).pooled);
    const auto text_embeds = at::cat(pooled);
    const auto time_ids = at::tensor(values, at::kFloat).unsqueeze(0).expand({text_embeds.size(0), -1});
    return unet.embed_added(text_embeds, time_ids);
}

StableDiffusion::Conditioning StableDiffusion::condition(const BatchRequest& request, UNet2DConditionModel& unet) {
    std::vector<Prompt> prompts;
    if (request.guidance.active()) prompts.assign(request.prompts.size(), request.negative_prompt);
    prompts.insert(prompts.end(), request.prompts.begin(), request.prompts.end());
    int64_t longest = 0;
    for (const auto& prompt : prompts) longest = std::max(longest, embeddings_.at(prompt).hidden.size(1));
    std::vector<nn::TextContext> contexts;
    for (const auto& prompt : prompts) contexts.push_back(context_of(prompt, longest, unet));
    return {.text = nn::TextContext::join(contexts),
            .added = embed_sizes(request, prompts, unet),
            .guidance = traits_.embeds_guidance ? unet.embed_guidance(request.guidance.scale) : at::Tensor()};
}

Predict StableDiffusion::predict(const BatchRequest& request, const Start& start,
                                 const std::vector<double>& timesteps) {
    const auto unet = components_.get<UNet2DConditionModel>("unet", placement_);
    const at::InferenceMode inference;
    at::Tensor extra = start.extra_channels;
    if (extra.defined()) extra = extra.to(at::kFloat).expand({start.sample.size(0), -1, -1, -1});
    const Conditioning conditioning = condition(request, *unet);
    return [unet, extra, text = conditioning.text,
            times = unet->embed_times(timesteps, conditioning.added, conditioning.guidance),
            guidance = request.guidance, dtype = placement_.dtype](const at::Tensor& sample, size_t index) {
        at::Tensor input = extra.defined() ? at::cat({sample, extra}, 1) : sample;
        input = input.to(dtype);
        if (guidance.active()) input = at::cat({input, input});
        const auto output = unet->forward(input, times[index], text).to(at::kFloat).contiguous();
        return guidance.active() ? guidance.apply(output) : output;
    };
}

at::Tensor StableDiffusion::decode(const at::Tensor& latents) {
    if (components_.keep() == Keep::none) contexts_.clear();  // their memory goes with the UNet's
    const Placement placement = placement_of("vae");
    const auto decoder = components_.get<AutoencoderKL>("vae", placement);
    const at::InferenceMode inference;
    std::vector<at::Tensor> pictures;  // one at a time: the memory of a batch's full-size activations is not needed
    for (const auto& latent : latents.split(1)) {
        const auto unscaled = config_.unscaled(latent.to(placement.dtype));
        pictures.push_back(decoder->decode(unscaled, tiling_).to(at::kFloat));
        require_finite(pictures.back(), "VAE decoding");
    }
    auto joined = at::cat(pictures);
    end_stage(placement.device);
    return joined;
}

at::Tensor StableDiffusion::preview(const at::Tensor& latents) const {
    return latents_to_rgb(latents.cpu(), config_.is_xl());
}

std::vector<bool> StableDiffusion::find_unsafe(const std::vector<Image>& pictures) {
    if (pictures.empty() || !components_.has("safety_checker")) return {};
    const Placement placement = placement_of("safety_checker");
    const auto processor = components_.get<ClipImageProcessorConfig>("feature_extractor", placement);
    const auto checker = components_.get<SafetyCheckerModel>("safety_checker", placement);
    const at::InferenceMode inference;
    return checker->forward(preprocess(pictures, *processor).to(placement.device, placement.dtype));
}

}  // namespace diffapple
