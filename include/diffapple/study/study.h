// The study as data: everything that is particular to one of its experiments. A new experiment is one more entry.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "diffapple/core/size.h"

namespace diffapple {

/// How the files of an experiment are named (design of the study: `i` is the picture's place in its batch).
enum class StemStyle {
    index_steps,           ///< seed{S}_i{i}_n{steps}
    steps_guidance,        ///< seed{S}_n{steps}_s{g}; _i{i} after the seed where a prompt has several pictures
    index_steps_guidance,  ///< seed{S}_i{i}_n{steps}_s{g}
};

/// A name of the model on the Hugging Face Hub.
struct HubId {
    std::string id;      ///< organisation/name
    bool on_hub = true;  ///< false: it can no longer be downloaded, but may be in a Hub cache or under models/
};

/// What getting a model means.
struct ModelDownload {
    uint64_t bytes = 0;
    std::string licence;  ///< as model cards spell it
    std::string variant;  ///< of the weights that `bytes` counts: "fp16"; "": there is but one
};

/// A small checkpoint that comes with the program, in models/<name>/, and stands in for the study's model.
struct DemoModel {
    std::string name;
    ModelDownload download;
};

/// The study's own figures: they were measured by others, with another program.
struct StudyFigures {
    double memory_bytes;
    double m2_it_per_s;  ///< MacBook with an M2 and 16 GB
    double rtx_a5000_it_per_s;
};

/// The batch that `bench` measures where its user names none. Its guidance is the experiment's default.
struct StudyBatch {
    int64_t size = 1;
    Size picture;  ///< pixels
};

struct StudyExperiment {
    std::string name;         ///< of the command
    std::string description;  ///< one line for --help

    std::vector<std::string> examples;  ///< calls for --help, without the program's name

    std::vector<HubId> hub_ids;  ///< by preference, at least one: the first is the study's, the others are its copies
    ModelDownload download;
    std::optional<DemoModel> demo;               ///< used where the study's model is absent
    std::map<std::string, std::string> configs;  ///< JSON text of each component's config ("unet", ..., "scheduler")

    std::string output_folder;  ///< under --out
    StemStyle stem;
    std::string scheduler;  ///< "": the checkpoint's own
    int64_t steps;
    double guidance = 0;  ///< of experiments with prompts
    /// What a run without --prompt makes; empty: an experiment without prompts.
    std::vector<std::string> prompts;
    std::string negative_prompt;  ///< that belongs to these prompts
    bool inpaints = false;        ///< needs --image and --mask

    StudyFigures figures;
    StudyBatch bench;

    bool has_prompts() const { return !prompts.empty(); }
    /// Whether its model is an SDXL: one of two text encoders, conditioned on sizes.
    bool is_xl() const { return configs.contains("text_encoder_2"); }
    /// The Hub id of the study's model.
    const std::string& model() const { return hub_ids.front().id; }
    /// Whether a model of this name is the study's or a copy of it.
    bool has_hub_id(const std::string& id) const;
    /// The folder under models/ in which the model is found without its organisation, whichever Hub id it came from.
    std::string model_folder() const;
    /// The shell command that downloads the model: from the first Hub id from which that is possible.
    std::string download_command() const;
    /// The config of a component as embedded here. Throws Error for a component that the model does not have.
    const std::string& config(const std::string& component) const;
};

/// All experiments, in the order in which they are listed everywhere.
const std::vector<StudyExperiment>& study_experiments();

/// The names of their commands.
std::vector<std::string> study_experiment_names();

/// By the name of the command. Throws Error for an unknown one.
const StudyExperiment& find_study_experiment(const std::string& name);

}  // namespace diffapple
