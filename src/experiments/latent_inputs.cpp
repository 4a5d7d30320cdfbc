#include "diffapple/experiments/latent_inputs.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "diffapple/core/error.h"
#include "diffapple/io/resample.h"
#include "diffapple/io/sha256.h"
#include "diffapple/pipelines/image_to_image.h"
#include "diffapple/pipelines/text_to_image.h"

namespace diffapple {

LatentInputs::LatentInputs(const StudyExperiment& kind, const RunSettings& settings,
                           const StableDiffusionConfig& config)
    : settings_(settings),
      is_xl_(config.is_xl()),
      reads_mask_(config.unet.in_channels > config.vae.latent_channels),
      study_inputs_(kind.inpaints) {
    check(kind);
    const auto [height, width] = config.default_size();
    default_size_ = {width, height};
    if (settings.image.empty()) return;
    image_ = read_image(settings.image);
    image_sha256_ = sha256_of_file(settings.image);
    task_ = settings.mask.empty() ? LatentTask::image_to_image : LatentTask::inpaint;
    if (task_ == LatentTask::image_to_image) {
        default_size_ = size_of_image(image_, config.size_factor());
    } else {
        read_mask();
    }
    if (settings_.strengths.empty()) settings_.strengths = {*default_strength()};
}

void LatentInputs::read_mask() {
    mask_ = read_image(settings_.mask);
    mask_sha256_ = sha256_of_file(settings_.mask);
    if (settings_.mask_blur > 0) mask_ = gaussian_blur(mask_, settings_.mask_blur);
    if (!settings_.padding_mask_crop) return;
    const PictureSize size{settings_.width.value_or(default_size_.width),
                           settings_.height.value_or(default_size_.height)};
    crop_ = crop_region(mask_, size, *settings_.padding_mask_crop);
}

void LatentInputs::check(const StudyExperiment& kind) const {
    const bool image = !settings_.image.empty(), mask = !settings_.mask.empty();
    if (mask && !image) fail_usage("--mask: belongs to a picture; give it with --image");
    if (kind.inpaints && !mask)
        fail_usage(kind.name,
                   ": needs --image FILE and --mask FILE (white is painted anew); "
                   "scripts/experiments/sd2_inpaint.sh has an example");
    if (reads_mask_ && !mask)
        fail_usage("this model was trained for inpainting: give --image FILE and --mask FILE, or another --model");
    if (!image && !settings_.strengths.empty()) fail_usage("--strength: says how far to leave a picture; give --image");
    if (!mask)
        for (const auto& [option, given] : {std::pair{"--mask-blur", settings_.mask_blur > 0},
                                            {"--padding-mask-crop", settings_.padding_mask_crop.has_value()},
                                            {"--keep-unmasked", settings_.keep_unmasked}})
            if (given) fail_usage(option, ": belongs to a mask; give --image and --mask");
}

std::optional<double> LatentInputs::default_strength() const {
    switch (task_) {
        case LatentTask::text_to_image:
            return std::nullopt;
        case LatentTask::image_to_image:
            return is_xl_ ? 0.3 : 0.8;
        case LatentTask::inpaint:
            return is_xl_ ? 0.9999 : 1.0;
    }
    return std::nullopt;
}

nlohmann::json LatentInputs::settings() const {
    nlohmann::json settings = nlohmann::json::object();
    if (task_ != LatentTask::text_to_image) settings["image"] = image_sha256_;
    if (task_ != LatentTask::inpaint) return settings;
    settings["mask"] = mask_sha256_;
    if (settings_.mask_blur > 0) settings["mask_blur"] = settings_.mask_blur;
    if (settings_.padding_mask_crop) settings["padding_mask_crop"] = *settings_.padding_mask_crop;
    if (settings_.keep_unmasked) settings["keep_unmasked"] = true;
    return settings;
}

std::vector<std::pair<std::string, std::string>> LatentInputs::suffixes() const {
    std::vector<std::pair<std::string, std::string>> suffixes;
    if (task_ == LatentTask::text_to_image) return suffixes;
    if (!study_inputs_) {  // the study's names are for one picture and one mask
        suffixes.emplace_back("image", image_sha256_.substr(0, 6));
        if (task_ == LatentTask::inpaint) suffixes.emplace_back("mask", mask_sha256_.substr(0, 6));
    }
    if (settings_.mask_blur > 0) suffixes.emplace_back("mask-blur", python_float(settings_.mask_blur));
    if (settings_.padding_mask_crop) suffixes.emplace_back("crop", std::to_string(*settings_.padding_mask_crop));
    if (settings_.keep_unmasked) suffixes.emplace_back("keep", "unmasked");
    return suffixes;
}

void LatentInputs::encode(StableDiffusion& model, const std::vector<int64_t>& latents_shape, PictureSize size) {
    if (encoded_) return;
    const c10::Device device = model.placement().device;
    const at::Tensor image = image_tensor(image_, size, crop_);
    // A UNet that reads the mask starts from noise alone at strength 1.
    const bool needs_image = !reads_mask_ || std::any_of(settings_.strengths.begin(), settings_.strengths.end(),
                                                         [](double s) { return s < 1; });
    InpaintInputs inputs;
    if (needs_image) inputs.image = model.encode_image(image);
    if (task_ == LatentTask::inpaint) {
        const at::Tensor mask = mask_tensor(mask_, size, crop_);
        inputs.mask = mask_to_latents(mask, latents_shape[2], latents_shape[3]).to(device);
        if (reads_mask_) inputs.masked_image = model.encode_image(masked_image(image, mask));
    }
    encoded_ = inputs;
}

Start LatentInputs::start(StableDiffusion& model, const std::vector<int64_t>& latents_shape, PictureSize size,
                          double strength, const std::optional<at::Tensor>& start_noise, const Scheduler& scheduler,
                          NoiseSource& noise) {
    if (task_ == LatentTask::text_to_image)
        return start_from_noise(latents_shape, start_noise, scheduler, model.placement().device, noise);
    encode(model, latents_shape, size);
    if (task_ == LatentTask::image_to_image)
        return start_from_image(*encoded_->image, latents_shape, start_noise, scheduler, noise);
    return start_inpainting(*encoded_, /*noise_alone=*/strength == 1.0, latents_shape, start_noise, scheduler, noise);
}

Image LatentInputs::finish(const Image& result) const {
    if (task_ != LatentTask::inpaint) return result;
    const Image whole = crop_ ? apply_overlay(mask_, image_, result, *crop_) : result;
    return settings_.keep_unmasked ? keep_unmasked(whole, image_, mask_) : whole;
}

std::optional<Image> LatentInputs::compare(const Image& result) const {
    if (task_ != LatentTask::inpaint) return std::nullopt;
    return comparison(image_, mask_, result);
}

}  // namespace diffapple
