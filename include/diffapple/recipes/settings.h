// The settings of a run, as one table. A row says everything about its setting: what it is called, where it applies,
// how it is read from the command line, what it becomes once the model is known, what it puts into a recipe, how it
// comes back from one, and what it adds to a file's name. The command line, recipes, names, replay, sheets and reports
// go through the table; nothing else lists settings. docs/adding.md shows how to add one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "diffapple/core/random.h"
#include "diffapple/core/size.h"
#include "diffapple/io/json_fields.h"
#include "diffapple/models/placement.h"
#include "diffapple/pipelines/pipeline.h"
#include "diffapple/study/study.h"
#include "diffapple/text/weighted_prompt.h"

namespace diffapple {

/// A file that pictures are made from. Recipes know its contents, not its place.
struct InputFile {
    std::filesystem::path path;  ///< empty where a recipe names it
    std::string sha256;          ///< "": no file

    bool given() const { return !sha256.empty(); }
    bool operator==(const InputFile& other) const { return sha256 == other.sha256; }
};

/// All that its user chooses of one batch: the pictures that share one draw of noise. What is absent is decided when
/// the model is known (settle).
struct BatchSettings : PipelineOptions {
    std::string model;        ///< as typed; settled: its name. "": the experiment's
    std::string config, vae;  ///< folders or files of other models' parts, as typed; settled: their names. "": its own
    std::string device = "auto", dtype = "auto";
    WeightStorage weights = WeightStorage::as_is;  ///< of UNet and text encoders
    uint64_t seed = 42;
    GeneratorKind generator = GeneratorKind::cpu;
    int64_t steps = 0;
    std::string scheduler;  ///< "": the experiment's, else the checkpoint's own
    std::optional<double> guidance, strength;
    bool embeds_guidance = false;  ///< settled: of the model, which then takes the scale as a number

    std::vector<std::string> prompts;            ///< of the batch, in this order
    std::optional<std::string> negative_prompt;  ///< absent: none was given, or there is no guidance
    std::optional<std::string> prompt_2, negative_prompt_2;
    double guidance_rescale = 0, eta = 0;
    int64_t clip_skip = 0;
    PromptSyntax prompt_syntax = PromptSyntax::plain;

    int64_t batch_size = 1;  ///< pictures per prompt
    std::optional<int64_t> width, height;
    InputFile image, mask, latents;
    double mask_blur = 0;  ///< pixels
    std::optional<int64_t> padding_mask_crop;
    bool keep_unmasked = false;
    std::optional<bool> safety;      ///< absent: on where the checkpoint has a safety checker
    std::optional<bool> vae_tiling;  ///< absent: only where memory is short

    bool operator==(const BatchSettings&) const = default;

    int64_t pictures() const;
    /// Pictures of one prompt stand together, as with diffusers' num_images_per_prompt. "" without prompts.
    const std::string& prompt_of(int64_t index) const;
    bool is_guided() const;
    Size size() const { return {width.value_or(0), height.value_or(0)}; }
};

/// The part of a sweep that one of several runs makes: of its batches, every `count`-th from the `number`-th on.
struct Shard {
    int64_t number = 1;  ///< from 1 to count
    int64_t count = 1;

    bool is_part() const { return count > 1; }
    bool has(size_t batch) const { return static_cast<int64_t>(batch) % count == number - 1; }
};

/// What becomes of a picture whose name is taken by one of another recipe.
enum class IfExists {
    refuse,   ///< the run ends before it makes anything
    rename,   ///< the picture gets the next name that is free, or that holds it already: ..._2.png
    replace,  ///< it takes the name
};

struct Setting;

/// One change of a batch's settings.
using Change = std::function<void(BatchSettings&)>;

/// What the command line asks for: the settings of its batches, lists of values, and what changes no picture.
struct RunSettings {
    /// A list of more than one value. Lists combine into a grid of batches.
    struct Axis {
        const Setting* setting;
        std::vector<Change> values;
    };

    BatchSettings batch;                        ///< of a list, the first value
    std::vector<Axis> axes;                     ///< the slowest first
    std::vector<std::filesystem::path> images;  ///< several pictures to start from: an axis
    std::string drawn_seeds;  ///< where --seed asked for random ones: the list that makes this run again

    std::filesystem::path out = "out", save_latents;  ///< save_latents: empty: nowhere
    std::string format = "png";                       ///< of picture_formats()
    bool force = false;                               ///< make and replace what exists
    IfExists if_exists = IfExists::refuse;
    bool keep_loaded = false;  ///< components stay in memory after their use
    size_t preview = 0;        ///< every so many turns, the picture so far; 0: never
    bool sheet = true;         ///< a contact sheet at the end of a sweep
    Shard shard;
    std::optional<std::string> prompts_file;  ///< "-": stdin
    bool wildcards = false;                   ///< {a|b} and __name__ in prompts are lists
    std::filesystem::path wildcard_folder = "wildcards";
    bool interactive = false;

    /// The lines of a file of prompts (recipes/jobs.h), each with settings and lists of its own: the run is one after
    /// the other, in place of `batch` and `axes`.
    std::vector<RunSettings> jobs;
    std::string source;      ///< where jobs come from: "--prompts FILE"
    std::string place;       ///< of a job: "line 3"
    size_t first_batch = 0;  ///< of a job: its place among the batches of all

    /// Whether prompts come from elsewhere than the command line: one by one, or from a file.
    bool reads_prompts() const { return interactive || prompts_file.has_value(); }
    /// The slowest first.
    void sort_axes();
    /// Batches of the grid, or of all jobs.
    size_t batch_count() const;
    /// One of them; the last list changes fastest.
    BatchSettings batch_at(size_t number) const;
    /// The job of a batch; without jobs, the run itself.
    const RunSettings& job_of(size_t number) const;
    /// The run itself, or every job.
    std::vector<const RunSettings*> parts() const;
    /// Batches of one part that stand for all of what its pictures start from: of every other list, the first value.
    std::vector<size_t> batches_of_inputs() const;
};

/// Digests of files, each computed once.
class FileDigests {
public:
    /// Throws Error where it cannot be read.
    const std::string& of(const std::filesystem::path& file);

private:
    std::map<std::filesystem::path, std::string> known_;
};

/// What a setting's effect depends on beside the run: the experiment, its model, this machine.
struct Circumstances {
    const StudyExperiment& experiment;
    ModelTraits traits;
    std::string model;                         ///< name of the checkpoint
    bool is_demo = false;                      ///< of the program's demo checkpoints
    std::optional<std::string> own_scheduler;  ///< the checkpoint's; absent when this program lacks it
    std::string format = "png";                ///< of the pictures' files
    std::string device;                        ///< its type: "cpu"
    std::string dtype, default_dtype;          ///< "fp32"; what --dtype auto would be
    std::optional<Size> default_size;          ///< of pictures; absent where only the user can say
    std::optional<Size> image_size;            ///< of the picture to start from
    std::shared_ptr<const std::set<std::string>> meeting_prompts;  ///< recipes/output_names.h; null: none
    bool tiles = false;  ///< the VAE is to work in tiles, if pictures are larger than one
};

/// Topics of the command line's help, in its order.
enum class Topic { prompts, pictures, sampling, model, results };
std::string topic_title(Topic topic);

/// One row. Functions may be empty where there is nothing to do.
struct Setting {
    std::string key;     ///< in recipes
    std::string option;  ///< "--guidance"
    std::string value;   ///< what help calls its value: "LIST", "FILE"; "": a flag
    std::string help;
    Topic topic = Topic::sampling;
    bool with_prompts = false;         ///< only of experiments with prompts
    bool only_xl = false;              ///< only of SDXL models
    bool repeatable = false;           ///< may be given several times
    bool once = false;                 ///< decides what is loaded: one value for a whole run
    int speed = 0;                     ///< order of labels and of lists in a sweep: below 0 slow, above 0 fast
    std::string label_name;            ///< in labels; "": the key with blanks for underscores
    std::vector<std::string> aliases;  ///< "-s", and what other programs call the option
    bool in_name = true;  ///< another value is another file name (docs/using.md says which settings are not)

    /// What help says of the default, without brackets; "" for nothing.
    std::function<std::string(const StudyExperiment&)> usual;
    /// Takes the texts given (one, unless repeatable; one "true" for a flag). Throws Error (exit code 2) for bad ones.
    std::function<void(const std::vector<std::string>&, RunSettings&)> read;
    /// Decides what is absent, and takes away what has no effect, so that equal pictures have equal settings. Throws
    /// Error (exit code 2) for what this model cannot do.
    std::function<void(BatchSettings&, const Circumstances&)> settle;
    /// Whether the setting changes nothing in a settled batch, and what it would need: "guidance over 1".
    std::function<bool(const BatchSettings&)> has_no_effect;
    std::string needs;
    /// Puts a settled value into the determining part of a recipe, where it is off what its absence means.
    std::function<void(const BatchSettings&, nlohmann::json&)> write;
    /// Takes it from there: the reverse of `write`. The text is a stranger's: every value is checked and bounded.
    std::function<void(const JsonFields&, BatchSettings&)> restore;
    /// What it adds to a file's name, as "steps-5"; "" at its default.
    std::function<std::string(const BatchSettings&, const Circumstances&)> suffix;
    /// What earlier versions added, where that was something else: their pictures are found by it.
    std::function<std::string(const BatchSettings&, const Circumstances&)> older_suffix;

    bool applies_to(const StudyExperiment& experiment) const { return !with_prompts || experiment.has_prompts(); }
    /// Whether help lists it: what only SDXL has is for an experiment with an SDXL model.
    bool is_for(const StudyExperiment& experiment) const {
        return applies_to(experiment) && (!only_xl || experiment.is_xl());
    }
    std::string label() const;
};

/// All rows. Their order is that of the parts of file names.
const std::vector<Setting>& settings();
/// By its key. There must be one.
const Setting& setting(const std::string& key);

/// An option of the command line as it was given.
struct GivenOption {
    const Setting* setting;
    std::vector<std::string> texts;
};

/// The run that these options ask for; what they leave open are the experiment's defaults (without a prompt, the
/// study's prompts). Throws Error (exit code 2) for bad values and for options that do not go together, and 1 for files
/// that cannot be read.
RunSettings read_run(const StudyExperiment& experiment, const std::vector<GivenOption>& given);
RunSettings read_run(const StudyExperiment& experiment, const std::vector<GivenOption>& given, FileDigests& digests);

/// Changes a run as options say. Throws as read_run. Files that they name are identified afterwards, once all that can
/// be known without reading them is.
void apply_options(RunSettings& run, const std::vector<GivenOption>& given, FileDigests& digests);
void identify_inputs(RunSettings& run, FileDigests& digests);

/// Pictures that one run may make.
constexpr size_t max_pictures_of_run = 100'000;

/// Decides and cleans every setting of a batch (Setting::settle, row by row).
BatchSettings settle(BatchSettings batch, const Circumstances& circumstances);

/// The determining part of a recipe, as far as the settings make it, and back.
nlohmann::json write_settings(const BatchSettings& batch);
BatchSettings restore_settings(const JsonFields& determining, const StudyExperiment& experiment);

}  // namespace diffapple
