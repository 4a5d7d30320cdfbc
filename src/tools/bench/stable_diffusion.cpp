// Stable Diffusion's experiments for bench: SD v1.5, SD v2 inpainting and SDXL Turbo.
#include <ATen/ATen.h>

#include <map>
#include <nlohmann/json.hpp>

#include "diffapple/core/device.h"
#include "diffapple/io/png.h"
#include "diffapple/pipelines/image_processor.h"
#include "diffapple/pipelines/inpaint.h"
#include "diffapple/pipelines/text_to_image.h"
#include "diffapple/tools/bench/flop_count.h"
#include "diffapple/tools/bench/model.h"

namespace diffapple {
namespace {

template <typename Config>
Config read(const std::string& text, const std::string& where) {
    const auto json = parse_json(text, where);
    return Config::from_json(JsonFields(json, where));
}

/// The configs of a study's model as a checkpoint would have them.
StableDiffusionConfig config_of(const StableDiffusionStudy& study) {
    StableDiffusionConfig config{
        .unet = read<UNet2DConditionConfig>(study.configs.unet, "built-in config of " + study.model + "'s UNet"),
        .vae = read<AutoencoderKLConfig>(study.configs.vae, "built-in config of " + study.model + "'s VAE")};
    config.text_encoders = {"text_encoder"};
    if (study.configs.text_encoders.size() > 1) config.text_encoders.emplace_back("text_encoder_2");
    return config;
}

/// Without weights, which takes no memory.
std::vector<std::shared_ptr<ClipTextModel>> make_text_encoders(const StableDiffusionStudy& study) {
    std::vector<std::shared_ptr<ClipTextModel>> models;
    for (const auto& text : study.configs.text_encoders)
        models.push_back(std::make_shared<ClipTextModel>(
            read<ClipTextConfig>(text, "built-in config of " + study.model + "'s text encoder")));
    return models;
}

/// Ids as a tokenizer makes them: start, text, end. Which ones they are makes no difference to the speed.
auto any_ids(const ClipTextConfig& config) {
    return [config](const std::string&) {
        constexpr int64_t stride = 97;
        const int64_t start = config.vocab_size - 2, end = config.vocab_size - 1;
        ClipTokenizer::Padded padded{.ids = {start}};
        for (int64_t i = 1; i + 1 < config.max_position_embeddings; ++i) padded.ids.push_back(i * stride % start);
        padded.ids.push_back(end);
        return padded;
    };
}

/// The full-size components with random weights.
StableDiffusionComponents random_components(const StableDiffusionStudy& study, const StableDiffusionConfig& config) {
    const auto with_weights = [](auto model, uint64_t seed, const Placement& placement) {
        load_random_state(*model, seed, placement);
        return model;
    };
    return {
        .unet =
            [=](const Placement& placement, const OnLoaded&) {
                return with_weights(std::make_shared<UNet2DConditionModel>(config.unet), 0, placement);
            },
        .vae = [=](const Placement& placement,
                   const OnLoaded&) { return with_weights(std::make_shared<AutoencoderKL>(config.vae), 1, placement); },
        .text_encoders =
            [=] {
                std::vector<PromptEncoder::Source> sources;
                for (const auto& model : make_text_encoders(study))
                    sources.push_back({any_ids(model->config()), [=](const Placement& placement, const OnLoaded&) {
                                           return with_weights(model, 2, placement);
                                       }});
                return sources;
            }};
}

/// Components that are loaded now and kept: their loading is timed, and bench encodes more than once. A VAE that
/// encodes in another dtype than it decodes in is kept in both.
StableDiffusionComponents keep(const StableDiffusionComponents& source, const Placement& placement,
                               c10::ScalarType vae_dtype) {
    using Vaes = std::map<c10::ScalarType, std::shared_ptr<AutoencoderKL>>;
    const OnLoaded nobody = [](const std::string&, double) {};
    const auto vaes = std::make_shared<Vaes>(Vaes{{vae_dtype, source.vae({placement.device, vae_dtype}, nobody)}});
    auto encoders = source.text_encoders();
    for (auto& encoder : encoders)
        encoder.load = [model = encoder.load(placement, nobody)](const Placement&, const OnLoaded&) { return model; };
    return {.unet = [unet = source.unet(placement, nobody)](const Placement&, const OnLoaded&) { return unet; },
            .vae =
                [vaes, load = source.vae](const Placement& wanted, const OnLoaded& on_loaded) {
                    auto& vae = (*vaes)[wanted.dtype];
                    if (!vae) vae = load(wanted, on_loaded);
                    return vae;
                },
            .text_encoders = [encoders] { return encoders; }};
}

class StableDiffusionBench final : public BenchModel {
public:
    StableDiffusionBench(StableDiffusion model, double guidance_scale)
        : model_(std::move(model)), guidance_{.scale = guidance_scale} {
        model_.set_residency(Keep::all, [](const std::string&, double) {});
    }

    bool encode(const BenchShape& shape) override {
        model_.encode({}, [](const std::string&) {});  // forgets those of the last time
        std::vector<Prompt> prompts = prompts_of(shape);
        if (guidance_.active()) prompts.push_back(negative_prompt());
        model_.encode(prompts, [](const std::string&) {});
        if (inpaints()) encode_pictures(shape);
        synchronize(model_.placement().device);
        return true;
    }

    double denoise(const BenchShape& shape, int64_t turns) override {
        // Of all samplers, since it takes as many turns as steps; its own work is nothing beside the UNet's.
        const auto scheduler = make_scheduler("ddim", nlohmann::json::object(), "bench", {.steps = turns});
        NoiseSource noise(/*seed=*/0);
        StableDiffusion::Request request{
            .prompts = prompts_of(shape), .negative_prompt = negative_prompt(), .guidance = guidance_};
        const std::pair<int64_t, int64_t> size{shape.size.height, shape.size.width};
        if (model_.config().is_xl()) request.sizes = {.original = size, .crop = {0, 0}, .target = size};
        const Start start =
            inpaints() ? start_inpainting(pictures_, /*noise_alone=*/true, latents_shape(shape), {}, *scheduler, noise)
                       : start_from_noise(latents_shape(shape), {}, *scheduler, model_.placement().device, noise);
        const Denoised denoised = model_.denoise(request, start, *scheduler, noise, [](size_t, size_t) {});
        latents_ = denoised.sample;
        return denoised.seconds;
    }

    void decode(const BenchShape&) override {
        for (const auto& image : to_images(model_.decode(latents_))) encode_png(image, {});
    }

private:
    static std::vector<Prompt> prompts_of(const BenchShape& shape) {
        std::vector<Prompt> prompts;
        for (int64_t i = 0; i < shape.batch_size; ++i) prompts.push_back({.text = "prompt " + std::to_string(i)});
        return prompts;
    }
    static Prompt negative_prompt() { return {.text = "negative prompt"}; }

    bool inpaints() const { return model_.config().unet.in_channels != model_.config().vae.latent_channels; }

    std::vector<int64_t> latents_shape(const BenchShape& shape) const {
        const int64_t factor = model_.config().vae_scale_factor();
        return {shape.batch_size, model_.config().vae.latent_channels, shape.size.height / factor,
                shape.size.width / factor};
    }

    /// A grey picture, all of which is painted anew.
    void encode_pictures(const BenchShape& shape) {
        const auto latents = latents_shape(shape);
        pictures_.mask = at::ones({1, 1, latents[2], latents[3]}, at::kFloat).to(model_.placement().device);
        pictures_.masked_image =
            model_.encode_image(at::zeros({1, 3, shape.size.height, shape.size.width}, at::kFloat));
    }

    StableDiffusion model_;
    Guidance guidance_;
    InpaintInputs pictures_;
    at::Tensor latents_;
};

std::unique_ptr<BenchModel> load(const StableDiffusionStudy& study, const Placement& placement, bool random) {
    const auto from = [&](const StableDiffusionComponents& source, const StableDiffusionConfig& config) {
        const StableDiffusion unloaded(source, config, placement);
        return std::make_unique<StableDiffusionBench>(
            StableDiffusion(keep(source, placement, unloaded.vae_dtype()), config, placement), study.guidance_scale);
    };
    if (random) return from(random_components(study, config_of(study)), config_of(study));
    const Checkpoint checkpoint = require_checkpoint(study.model);
    const auto config = StableDiffusionConfig::read(checkpoint);
    return from(StableDiffusionComponents::of(checkpoint, config), config);
}

}  // namespace

BenchExperiment stable_diffusion_bench(const StableDiffusionStudy& study) {
    const auto config = config_of(study);
    const auto unet = std::make_shared<UNet2DConditionModel>(config.unet);
    const auto vae = std::make_shared<AutoencoderKL>(config.vae);
    int64_t text_parameters = 0, text_length = 0;
    for (const auto& encoder : make_text_encoders(study)) {
        text_parameters += parameter_count(*encoder);
        text_length = encoder->config().max_position_embeddings;
    }
    const bool guided = Guidance{.scale = study.guidance_scale}.active();
    const bool inpaints = config.unet.in_channels != config.vae.latent_channels;
    const int64_t factor = config.vae_scale_factor();
    return {.name = study.name,
            .model = study.model,
            .study_shape = study.shape,
            .size_factor = config.size_factor(),
            .parameters = parameter_count(*unet) + parameter_count(*vae) + text_parameters,
            .flop_per_step =
                [=](const BenchShape& s) {
                    return count_flop(*unet, (guided ? 2 : 1) * s.batch_size, s.size.height / factor,
                                      s.size.width / factor, text_length);
                },
            .flop_to_encode =
                [=](const BenchShape& s) {
                    const auto tokens = static_cast<double>((s.batch_size + (guided ? 1 : 0)) * text_length);
                    return 2 * static_cast<double>(text_parameters) * tokens +
                           (inpaints ? count_encode_flop(*vae, s.size.height, s.size.width) : 0);
                },
            .flop_to_decode =
                [=](const BenchShape& s) {
                    return static_cast<double>(s.batch_size) * count_decode_flop(*vae, s.size.height, s.size.width);
                },
            .load = [study](const Placement& placement, bool random) { return load(study, placement, random); }};
}

std::vector<StableDiffusionStudy> stable_diffusion_studies() {
    const BenchShape two_prompts{.batch_size = 2, .size = {512, 512}};
    return {{"sd15", "stable-diffusion-v1-5/stable-diffusion-v1-5", sd15_configs(), 7.5, two_prompts},
            {"sdxl-turbo", "stabilityai/sdxl-turbo", sdxl_turbo_configs(), 0, two_prompts},
            {"sd2-inpaint", "stabilityai/stable-diffusion-2-inpainting", sd2_inpaint_configs(), 7.5, two_prompts}};
}

}  // namespace diffapple
