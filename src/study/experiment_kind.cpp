#include "diffapple/study/experiment_kind.h"

#include "diffapple/core/error.h"

namespace diffapple {
namespace {

const std::vector<std::string> cat_prompts{"a cat, fat, with brown fur, with short legs",
                                           "a cat, fat, with white fur, with short legs"};
constexpr const char* low_quality = "low quality, bad quality";

}  // namespace

const ExperimentKind& ddpm_kind() {
    static const ExperimentKind kind{.name = "ddpm",
                                     .study_model = "google/ddpm-cat-256",
                                     .demo_model = "ddpm-cat-demo",
                                     .folder = "ddpm_cat",
                                     .stem = StemStyle::index_steps,
                                     .steps = 100};
    return kind;
}

const ExperimentKind& sd15_kind() {
    static const ExperimentKind kind{.name = "sd15",
                                     .study_model = "stable-diffusion-v1-5/stable-diffusion-v1-5",
                                     .folder = "sdv1_5_dpmsolver",
                                     .stem = StemStyle::steps_guidance,
                                     .scheduler = "dpmsolver++",
                                     .steps = 25,
                                     .guidance = 7.5,
                                     .prompts = cat_prompts,
                                     .negative_prompt = low_quality};
    return kind;
}

const ExperimentKind& sdxl_turbo_kind() {
    static const ExperimentKind kind{.name = "sdxl-turbo",
                                     .study_model = "stabilityai/sdxl-turbo",
                                     .folder = "sdxl_turbo",
                                     .stem = StemStyle::index_steps_guidance,
                                     .steps = 1,
                                     .guidance = 0,
                                     .prompts = cat_prompts,
                                     .negative_prompt = low_quality};
    return kind;
}

const ExperimentKind& sd2_inpaint_kind() {
    static const ExperimentKind kind{.name = "sd2-inpaint",
                                     .study_model = "stabilityai/stable-diffusion-2-inpainting",
                                     .folder = "sdv2_inpaint",
                                     .stem = StemStyle::steps_guidance,
                                     .steps = 50,
                                     .guidance = 7.5,
                                     .prompts = {"a bench", "a cat, sitting on a bench"},
                                     .negative_prompt = low_quality,
                                     .inpaints = true};
    return kind;
}

const ExperimentKind& find_experiment_kind(const std::string& name) {
    for (const auto* kind : {&ddpm_kind(), &sd15_kind(), &sdxl_turbo_kind(), &sd2_inpaint_kind()})
        if (kind->name == name) return *kind;
    fail("experiment '", name, "' is unknown; this program has ddpm, sd15, sdxl-turbo and sd2-inpaint");
}

}  // namespace diffapple
