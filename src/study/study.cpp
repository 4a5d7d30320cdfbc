// The table of the study's experiments.
#include "diffapple/study/study.h"

#include <algorithm>

#include "diffapple/core/error.h"
#include "diffapple/core/text.h"
#include "embedded_configs.h"

namespace diffapple {
namespace {

constexpr const char* low_quality = "low quality, bad quality";

std::vector<std::string> cat_prompts() {
    return {"a cat, fat, with brown fur, with short legs", "a cat, fat, with white fur, with short legs"};
}

DemoModel demo(const std::string& name, uint64_t bytes) {
    return {.name = name, .download = {.bytes = bytes, .licence = "mit", .variant = ""}};
}

std::map<std::string, std::string> configs_of(const std::string& model) {
    std::map<std::string, std::string> configs;
    for (size_t i = 0; i < embedded_config_count; ++i)
        if (embedded_configs[i].model == model) configs[embedded_configs[i].component] = embedded_configs[i].json;
    return configs;
}

StudyExperiment ddpm() {
    return {.name = "ddpm",
            .description = "Make unconditional pictures of cats (DDPM)",
            .examples = {"ddpm --seed 0..3", "ddpm --steps 10,30,100 --seed 0..7", "ddpm --batch-size 4 --device cpu"},
            .hub_ids = {{"google/ddpm-cat-256"}},
            .download = {.bytes = 455'000'000, .licence = "apache-2.0", .variant = ""},
            .demo = demo("ddpm-cat-demo", 11'000'000),
            .configs = configs_of("ddpm-cat-256"),
            .output_folder = "ddpm_cat",
            .stem = StemStyle::index_steps,
            .steps = 100,
            .figures = {.memory_bytes = 0.8e9, .m2_it_per_s = 3, .rtx_a5000_it_per_s = 42},
            .bench = {.size = 1, .picture = {256, 256}}};
}

StudyExperiment sd15() {
    return {.name = "sd15",
            .description = "Make pictures of prompts (Stable Diffusion v1.5, v2)",
            .examples = {"sd15 --guidance 0,2,4,8",
                         "sd15 --prompt 'a fat cat' --negative-prompt 'low quality' --seed random:4",
                         "sd15 --prompt 'a fat cat' --image photo.jpg --strength 0.5,0.8"},
            .hub_ids = {{"stable-diffusion-v1-5/stable-diffusion-v1-5"},
                        {.id = "runwayml/stable-diffusion-v1-5", .on_hub = false}},
            .download = {.bytes = 2'740'000'000, .licence = "creativeml-openrail-m", .variant = "fp16"},
            .demo = demo("sd15-demo", 5'000'000),
            .configs = configs_of("sd-v1-5"),
            .output_folder = "sdv1_5_dpmsolver",
            .stem = StemStyle::steps_guidance,
            .scheduler = "dpmsolver++",
            .steps = 25,
            .guidance = 7.5,
            .prompts = cat_prompts(),
            .negative_prompt = low_quality,
            .figures = {.memory_bytes = 5e9, .m2_it_per_s = 1, .rtx_a5000_it_per_s = 12},
            .bench = {.size = 2, .picture = {512, 512}}};
}

StudyExperiment sdxl_turbo() {
    return {.name = "sdxl-turbo",
            .description = "Make pictures of prompts in few steps (SDXL Turbo, SDXL)",
            .examples = {"sdxl-turbo --steps 1,2,4,8,16", "sdxl-turbo --interactive",
                         "sdxl-turbo --prompt 'a fat cat' --dtype bf16 --weights int8"},
            .hub_ids = {{"stabilityai/sdxl-turbo"}},
            .download = {.bytes = 6'940'000'000, .licence = "sai-nc-community", .variant = "fp16"},
            .demo = demo("sdxl-turbo-demo", 6'000'000),
            .configs = configs_of("sdxl-turbo"),
            .output_folder = "sdxl_turbo",
            .stem = StemStyle::index_steps_guidance,
            .steps = 1,
            .guidance = 0,
            .prompts = cat_prompts(),
            .negative_prompt = low_quality,
            .figures = {.memory_bytes = 10e9, .m2_it_per_s = 0.5, .rtx_a5000_it_per_s = 15},
            .bench = {.size = 2, .picture = {512, 512}}};
}

StudyExperiment sd2_inpaint() {
    return {.name = "sd2-inpaint",
            .description = "Paint a part of a picture anew (Stable Diffusion v2 inpainting)",
            .examples = {"sd2-inpaint --image photo.jpg --mask mask.png --guidance 3",
                         "sd2-inpaint --image photo.jpg --mask mask.png --prompt 'a bench' --seed 0..3",
                         "sd2-inpaint --image photo.jpg --mask mask.png --mask-blur 8 --keep-unmasked"},
            .hub_ids = {{.id = "stabilityai/stable-diffusion-2-inpainting", .on_hub = false},
                        {"sd2-community/stable-diffusion-2-inpainting"}},
            .download = {.bytes = 2'580'000'000, .licence = "openrail++", .variant = "fp16"},
            .demo = demo("sd2-inpaint-demo", 5'000'000),
            .configs = configs_of("sd-v2-inpainting"),
            .output_folder = "sdv2_inpaint",
            .stem = StemStyle::steps_guidance,
            .steps = 50,
            .guidance = 7.5,
            .prompts = {"a bench", "a cat, sitting on a bench"},
            .negative_prompt = low_quality,
            .inpaints = true,
            .figures = {.memory_bytes = 3e9, .m2_it_per_s = 1, .rtx_a5000_it_per_s = 20},
            .bench = {.size = 2, .picture = {512, 512}}};
}

}  // namespace

bool StudyExperiment::has_hub_id(const std::string& id) const {
    return std::any_of(hub_ids.begin(), hub_ids.end(), [&](const HubId& known) { return known.id == id; });
}

std::string StudyExperiment::model_folder() const {
    return model().substr(model().find('/') + 1);
}

std::string StudyExperiment::download_command() const {
    const std::string dtype = download.variant.empty() ? "" : " --dtype " + download.variant;
    return concat("diffapple fetch ", name == "ddpm" ? "ddpm-cat" : name, dtype);
}

const std::string& StudyExperiment::config(const std::string& component) const {
    const auto found = configs.find(component);
    if (found == configs.end()) fail("experiment '", name, "' has no config of a component '", component, "'");
    return found->second;
}

const std::vector<StudyExperiment>& study_experiments() {
    static const std::vector<StudyExperiment> experiments{ddpm(), sd15(), sdxl_turbo(), sd2_inpaint()};
    return experiments;
}

std::vector<std::string> study_experiment_names() {
    std::vector<std::string> names;
    for (const auto& experiment : study_experiments()) names.push_back(experiment.name);
    return names;
}

const StudyExperiment& find_study_experiment(const std::string& name) {
    for (const auto& experiment : study_experiments())
        if (experiment.name == name) return experiment;
    fail("experiment '", name, "' is unknown; this program has ", join(study_experiment_names(), ", "));
}

}  // namespace diffapple
