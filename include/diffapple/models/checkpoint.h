// A model, as a folder in diffusers layout or as a single file: finding it by name, and the files of its components.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "diffapple/io/weights.h"
#include "diffapple/models/single_file.h"
#include "diffapple/study/study.h"
#include "diffapple/text/clip_tokenizer.h"

namespace diffapple {

/// One model component that has weights: its config and its weight files.
struct Component {
    std::string name;  ///< "unet", "vae", "text_encoder", ...
    std::filesystem::path config_file;
    std::filesystem::path folder;
    nlohmann::json config;
    std::shared_ptr<const SingleFile> file = nullptr;  ///< that holds its weights; null: they are in `folder`

    /// "unet/config.json": how messages call the config.
    std::string where() const;
    /// The weight files; half-precision variants first when they are what will be computed with.
    WeightFiles weights(bool prefer_half = false) const;
    /// The tensors in them, by the names that diffusers and transformers give them.
    StoredTensors open(bool prefer_half = false) const;
};

/// A tokenizer's files: a folder, or, of a single file, texts in memory.
struct TokenizerSource {
    std::filesystem::path folder;
    std::map<std::string, std::string> texts;  ///< by name; empty: those of the folder are meant

    ClipTokenizer open() const;
};

/// What its user has a checkpoint take from elsewhere; "": nothing.
struct OtherParts {
    std::string config;  ///< --config: a folder in diffusers layout, of configs and of what a single file lacks, or
                         ///< the name of one
    std::string vae;     ///< --vae: a folder or a file
};

/// A model's folder: either one folder per component beside model_index.json, or (google/ddpm-*) the files of the one
/// component in the root. Or a single file, whose configs and tokenizers are those that such a file takes for granted,
/// or those of a folder (--config).
struct Checkpoint {
    std::string name;              ///< Hub id, folder name, or a file's name without extension: no path of this machine
    std::filesystem::path folder;  ///< beside a single file: where its configs are; empty: in the program
    std::shared_ptr<const SingleFile> file = nullptr;
    std::map<std::string, Component> swapped = {};  ///< components of other models

    /// The folder or the file.
    std::filesystem::path place() const;
    /// The same checkpoint with parts of others. Throws Error for what is not there.
    Checkpoint with(const OtherParts& parts) const;
    /// A JSON file in its place in the folder ("unet/config.json"); absent where there is none.
    std::optional<nlohmann::json> read(const std::string& relative_path) const;
    /// Throws Error naming what is missing.
    Component component(const std::string& component_name) const;
    /// "tokenizer", "tokenizer_2"; what is missing is said when it is opened.
    TokenizerSource tokenizer(const std::string& tokenizer_name) const;
    /// Names of all components that have a config.json (of a single file: that have weights), "unet" for a root layout.
    std::vector<std::string> component_names() const;
    /// scheduler_config.json, from scheduler/ or the root, its `_class_name` that of the class that diffusers takes:
    /// what model_index.json says of it, whatever the file says. Throws Error when it is missing or not a JSON object.
    nlohmann::json scheduler_config() const;
    /// model_index.json, which says what belongs to the checkpoint's pipeline; absent where there is none.
    std::optional<nlohmann::json> index() const;
    /// The class of its pipeline ("StableDiffusionPipeline"), "" where nothing says it.
    std::string pipeline_class() const;
    /// The class of a component as model_index.json has it; absent where that does not name it, or [null, null].
    std::optional<std::string> class_in_index(const std::string& component_name) const;
    /// Whether diffusers would use the component: always, where there is no model_index.json.
    bool uses(const std::string& component_name) const;
    /// True for the study's demo models, which come with the program.
    bool is_demo() const;
};

/// What a folder or a single file of weights is called: its name, without the extension. "" of "".
std::string name_of_place(const std::filesystem::path& place);

/// Folders searched for models by name: models/ here, beside the program's build folder, and of an installed tree.
std::vector<std::filesystem::path> model_search_folders();

/// The checkpoint meant by --model: a folder, a single file, a name under models/, or, in the local Hub cache, a Hub id
/// or a file of one ("org/name/file.safetensors").
/// Absent when there is none of that name; throws Error for something that is there but is no model.
std::optional<Checkpoint> find_checkpoint(const std::string& model);

/// The same for a name that a stranger wrote: under models/ or in the Hub cache, never a place elsewhere.
std::optional<Checkpoint> find_named_checkpoint(const std::string& name);

/// " (looked in ...)": where models are searched by name, for messages about missing ones.
std::string describe_search();

/// As find_checkpoint; a missing one is an Error that says where it was looked for and how to get it.
Checkpoint require_checkpoint(const std::string& model);

/// The model of an experiment whose user names none: the first of its Hub ids that is here, else its demo (is_demo()),
/// which is small and not the study's model. Absent when none of them is here; Errors as of find_checkpoint.
std::optional<Checkpoint> find_study_checkpoint(const StudyExperiment& experiment);

/// The same; a missing one is an Error that says how to get the study's model.
Checkpoint require_study_checkpoint(const StudyExperiment& experiment);

/// How a user gets a model of the Hub and where to put it: "download it with ...".
std::string how_to_get(const std::string& hub_id);

/// Every model under models/ and in the Hub cache.
std::vector<Checkpoint> list_checkpoints();

}  // namespace diffapple
