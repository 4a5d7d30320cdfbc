// The experiments with prompts for bench: those of Stable Diffusion.
#include "diffapple/pipelines/stable_diffusion.h"

#include <nlohmann/json.hpp>

#include "diffapple/core/error.h"
#include "diffapple/io/json_fields.h"
#include "diffapple/models/clip_text.h"
#include "diffapple/models/component_descriptions.h"
#include "diffapple/models/flop_count.h"
#include "diffapple/tools/bench/model.h"
#include "random_model.h"

namespace diffapple {
namespace {

template <typename Config>
Config config_of(const StudyExperiment& study, const std::string& component) {
    const std::string where = concat("built-in config of ", study.model(), "'s ", component);
    const auto json = parse_json(study.config(component), where);
    return Config::from_json(JsonFields(json, where));
}

/// The configs of a study's model as a checkpoint would have them.
StableDiffusionConfig config_of(const StudyExperiment& study) {
    StableDiffusionConfig config{.unet = config_of<UNet2DConditionConfig>(study, "unet"),
                                 .vae = config_of<AutoencoderKLConfig>(study, "vae")};
    for (const char* const name : {"text_encoder", "text_encoder_2"})
        if (study.configs.contains(name)) config.text_encoders.emplace_back(name);
    return config;
}

/// Without weights, which takes no memory.
std::vector<std::shared_ptr<ClipTextModel>> make_text_encoders(const StudyExperiment& study) {
    std::vector<std::shared_ptr<ClipTextModel>> models;
    for (const auto& name : config_of(study).text_encoders)
        models.push_back(std::make_shared<ClipTextModel>(config_of<ClipTextConfig>(study, name)));
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
std::vector<ComponentDescription> random_components(const StudyExperiment& study, const StableDiffusionConfig& config) {
    const auto load_unet = [unet = config.unet](const Placement& placement) {
        return packed(make_random<UNet2DConditionModel>(unet, /*seed=*/0, placement));
    };
    const auto load_vae = [vae = config.vae](const Placement& placement) {
        return packed(make_random<AutoencoderKL>(vae, /*seed=*/1, placement));
    };
    std::vector<ComponentDescription> components{{.name = "unet", .load = load_unet},
                                                 {.name = "vae", .load = load_vae}};
    const auto encoders = make_text_encoders(study);
    for (size_t i = 0; i < encoders.size(); ++i) {
        const std::string& name = config.text_encoders[i];
        const auto load = [text = encoders[i]->config()](const Placement& placement) {
            return make_random<ClipTextModel>(text, /*seed=*/2, placement);
        };
        const auto tokenize =
            std::make_shared<Tokenize>(Tokenize{.padded = any_ids(encoders[i]->config()), .weighted = {}});
        components.push_back({.name = name, .load = load});
        components.push_back({.name = tokenizer_of(name), .load = [=](const Placement&) { return tokenize; }});
    }
    return components;
}

std::unique_ptr<Pipeline> random_latent_pipeline(const StudyExperiment& study, const Placement& placement) {
    const auto config = config_of(study);
    return std::make_unique<StableDiffusion>(random_components(study, config), config, placement);
}

std::unique_ptr<BenchModel> load(const StudyExperiment& study, const Placement& placement, bool random) {
    return load_pipeline(random ? random_latent_pipeline(study, placement)
                                : open_pipeline(require_study_checkpoint(study), placement, false),
                         study.guidance);
}

}  // namespace

BenchExperiment stable_diffusion_bench(const StudyExperiment& study) {
    const auto config = config_of(study);
    const auto unet = std::make_shared<UNet2DConditionModel>(config.unet);
    const auto vae = std::make_shared<AutoencoderKL>(config.vae);
    int64_t text_parameters = 0, text_length = 0;
    for (const auto& encoder : make_text_encoders(study)) {
        text_parameters += parameter_count(*encoder);
        text_length = encoder->config().max_position_embeddings;
    }
    const bool guided = Guidance{.scale = study.guidance}.active();
    const int64_t factor = config.vae_scale_factor();
    return {.name = study.name,
            .model = study.model(),
            .study_shape = study_shape(study),
            .size_factor = config.traits().size_factor,
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
                           (config.reads_mask() ? count_encode_flop(*vae, s.size.height, s.size.width) : 0);
                },
            .flop_to_decode =
                [=](const BenchShape& s) {
                    return static_cast<double>(s.batch_size) * count_decode_flop(*vae, s.size.height, s.size.width);
                },
            .load = [study](const Placement& placement, bool random) { return load(study, placement, random); }};
}

}  // namespace diffapple
