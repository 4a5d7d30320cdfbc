// What reads model_index.json and the configs of components. Nothing is built of them but samplers.
#include <nlohmann/json.hpp>

#include "diffapple/io/json_fields.h"
#include "diffapple/models/autoencoder_kl.h"
#include "diffapple/models/checkpoint.h"
#include "diffapple/models/clip_image_processor.h"
#include "diffapple/models/clip_text.h"
#include "diffapple/models/safety_checker.h"
#include "diffapple/models/unet_2d.h"
#include "diffapple/models/unet_2d_condition.h"
#include "diffapple/schedulers/scheduler.h"
#include "fuzz/fuzz.h"

namespace diffapple::fuzz {
namespace {

/// The study's configs of a component.
std::vector<std::string> study_configs(const std::string& component) {
    std::vector<std::string> texts;
    for (const StudyExperiment& experiment : study_experiments())
        if (const auto found = experiment.configs.find(component); found != experiment.configs.end())
            texts.push_back(found->second);
    return texts;
}

template <typename Config>
Target config_target(std::vector<std::string> seeds) {
    return {std::move(seeds), [](const std::string& text) {
                const nlohmann::json json = parse_json(text, "config.json");
                Config::from_json(JsonFields(json, "config.json"));
            }};
}

void read_scheduler(const std::string& text) {
    const nlohmann::json config = parse_json(text, "scheduler_config.json");
    accepts([&] { find_scheduler_name(config, "x"); });
    for (const std::string& name : scheduler_names()) {
        accepts([&] { a1111_sampler_name(name, config); });
        accepts([&] { make_scheduler(name, config, "x", {.steps = 3})->timesteps(); });
    }
}

void read_index(const std::string& text) {
    folder().write("model_index.json", text);
    folder().write("scheduler_config.json", R"({"_class_name":"DDPMScheduler"})");
    folder().write("config.json", R"({"_class_name":"UNet2DModel"})");
    const Checkpoint checkpoint{.name = "x", .folder = folder().path()};
    accepts([&] { checkpoint.pipeline_class(); });
    accepts([&] { checkpoint.component_names(); });
    accepts([&] { checkpoint.scheduler_config(); });
    for (const char* const name : {"unet", "vae", "safety_checker", "scheduler"}) {
        accepts([&] { checkpoint.class_in_index(name); });
        accepts([&] { checkpoint.uses(name); });
        accepts([&] { checkpoint.component(name); });
    }
}

}  // namespace

const std::map<std::string, Target>& targets() {
    static const std::string index =
        R"({"_class_name":"StableDiffusionPipeline","_diffusers_version":"0.6.0","scheduler":["diffusers",)"
        R"("PNDMScheduler"],"unet":["diffusers","UNet2DConditionModel"],"vae":["diffusers","AutoencoderKL"],)"
        R"("safety_checker":[null,null],"requires_safety_checker":true})";
    static const std::string safety =
        R"({"projection_dim":8,"vision_config":{"hidden_size":16,"intermediate_size":8,"num_hidden_layers":1,)"
        R"("num_attention_heads":2,"image_size":8,"patch_size":4,"hidden_act":"quick_gelu","layer_norm_eps":1e-5}})";
    static const std::string processor =
        R"({"crop_size":{"height":8,"width":8},"do_resize":true,"do_center_crop":true,"do_normalize":true,)"
        R"("image_mean":[0.5,0.5,0.5],"image_std":[0.5,0.5,0.5],"resample":3,"size":{"shortest_edge":8}})";
    static const std::map<std::string, Target> all = {
        {"model_index", {{index}, read_index}},
        {"scheduler", {study_configs("scheduler"), read_scheduler}},
        {"unet_2d", config_target<UNet2DConfig>(study_configs("unet"))},
        {"unet_2d_condition", config_target<UNet2DConditionConfig>(study_configs("unet"))},
        {"autoencoder", config_target<AutoencoderKLConfig>(study_configs("vae"))},
        {"text_encoder", config_target<ClipTextConfig>(study_configs("text_encoder"))},
        {"safety_checker", config_target<SafetyCheckerConfig>({safety})},
        {"image_processor", config_target<ClipImageProcessorConfig>({processor})},
    };
    return all;
}

}  // namespace diffapple::fuzz
