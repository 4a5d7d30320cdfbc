// The experiments of the study as data: what one command assumes where its user says nothing.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace diffapple {

/// How the files of an experiment are named (design of the study: `i` is the picture's place in its batch).
enum class StemStyle {
    index_steps,           ///< seed{S}_i{i}_n{steps}
    steps_guidance,        ///< seed{S}_n{steps}_s{g}; _i{i} after the seed where a prompt has several pictures
    index_steps_guidance,  ///< seed{S}_i{i}_n{steps}_s{g}
};

struct ExperimentKind {
    std::string name;         ///< of the command
    std::string study_model;  ///< Hub id
    std::string demo_model;   ///< used where the study's model is absent; "" where there is none
    std::string folder;       ///< under --out
    StemStyle stem;
    std::string scheduler;  ///< "": the checkpoint's own
    int64_t steps;
    double guidance;  ///< of experiments with prompts
    /// What a run without --prompt makes; empty: an experiment without prompts.
    std::vector<std::string> prompts;
    std::string negative_prompt;  ///< that belongs to these prompts
    bool inpaints = false;        ///< needs --image and --mask

    bool has_prompts() const { return !prompts.empty(); }
};

const ExperimentKind& ddpm_kind();
const ExperimentKind& sd15_kind();
const ExperimentKind& sdxl_turbo_kind();
const ExperimentKind& sd2_inpaint_kind();

/// By the name of the command. Throws Error for an unknown one.
const ExperimentKind& find_experiment_kind(const std::string& name);

}  // namespace diffapple
