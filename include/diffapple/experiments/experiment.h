// One experiment of the study with a model: what its batches are, their recipes and names, and making them. It works on
// any pipeline; what differs between experiments is data (study/study.h) and what the checkpoint holds.
#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "diffapple/experiments/reporter.h"
#include "diffapple/io/image.h"
#include "diffapple/models/checkpoint.h"
#include "diffapple/pipelines/pipeline.h"
#include "diffapple/recipes/output_names.h"
#include "diffapple/recipes/recipe.h"
#include "diffapple/recipes/settings.h"
#include "diffapple/study/study.h"

namespace diffapple {

/// The pictures of one batch.
struct FinishedPictures {
    std::vector<Image> images;       ///< one for each picture of the batch, in its order
    std::vector<Image> comparisons;  ///< saved beside the pictures as "..._comp.png"; may be empty
};

class PreviewFile;

class Experiment {
public:
    /// Finds device and model, reads what pictures start from. Throws Error for all that is wrong with the settings or
    /// the model and can be known before weights are loaded, which is all but what is particular to one batch (batch).
    Experiment(const StudyExperiment& study, RunSettings run);
    ~Experiment();

    const RunSettings& run() const { return run_; }
    const Placement& placement() const { return pipeline_->placement(); }

    size_t batch_count() const { return run_.batch_count(); }
    /// A batch of the run, its settings settled. Throws Error for what is wrong with it.
    BatchSettings batch(size_t number) const;
    /// The line of a file of prompts that a batch comes from; "" without one.
    const std::string& place(size_t number) const { return run_.job_of(number).place; }
    /// Prompts of the batches to come, in place of those before; what is loaded stays. Throws Error in experiments
    /// without prompts.
    void set_prompts(std::vector<std::string> prompts);
    /// A setting of the batches to come, by its option without the dashes, in place of what it was. Throws Error (exit
    /// code 2), and changes nothing, for what is no setting, or one that the open model and inputs depend on.
    void change(const std::string& option, const std::string& text);
    /// The settings of the first batch, "seed 42, steps 1, ...", without its prompts.
    std::string describe() const;

    /// Tiles change pixels and names. Where nothing was said of them, a sweep that is resumed keeps the choice with
    /// which it began, whatever memory is free by now; where memory is too short for that, the reporter is told.
    void keep_tiling_of_made(Reporter& reporter);

    /// To replay a picture of a version that did not repair schedulers' configs as diffusers' pipelines do
    /// (pipelines/scheduler_repairs.h): where `recorded` is what the checkpoint's file says, that stays as it is.
    void keep_recorded_scheduler(const nlohmann::json& recorded);

    /// Of a settled batch:
    std::unique_ptr<Scheduler> new_scheduler(const BatchSettings& batch) const;
    Recipe recipe(const BatchSettings& batch, int64_t index) const;
    /// Below the folder of results of the batch's job.
    std::filesystem::path path(const std::filesystem::path& out, const BatchSettings& batch, int64_t index,
                               Naming naming) const;

    /// Runs the loop of a batch; loads what it needs and has not loaded yet. Tells the reporter of every turn.
    Denoised denoise(const BatchSettings& batch, Reporter& reporter);
    /// Makes pictures of what the loop left, and checks them where the model has a safety checker.
    FinishedPictures finish(const BatchSettings& batch, const Denoised& denoised, Reporter& reporter);

    /// Says that a demo stands in for the study's model, where it does.
    void explain_demo(Reporter& reporter) const;
    /// Says that another command has this model's defaults, where it is another experiment's.
    void explain_model(Reporter& reporter) const;
    /// Says which options were given for nothing: settings that no batch of the run uses.
    void explain_unused(const std::vector<GivenOption>& given, Reporter& reporter) const;
    /// Says what of the pictures to start from will surprise: squeezed, too large, masks that are empty.
    void explain_inputs(Reporter& reporter) const;
    /// Says that what looks like a weight in a prompt is none.
    void explain_prompts(Reporter& reporter) const;
    /// Says that the noise is that of one GPU, where a CUDA generator's would differ between them.
    void explain_noise(Reporter& reporter) const;
    /// Adds to a recipe what is known of a batch that was just made: seconds, it/s, memory, versions, date.
    void record_what_is_known(const Denoised& denoised, Recipe& recipe) const;

private:
    void check_inputs();
    void read_inputs(const BatchSettings& batch);
    void note_inputs(const BatchSettings& batch);
    void find_meeting_prompts();
    Circumstances circumstances(const BatchSettings& batch) const;
    BatchSettings with_scheduler(BatchSettings settings) const;
    void read_start_latents();
    void make_memory_plan();
    void adopt(MemoryPlan plan);
    bool is_any_made() const;
    MemoryRequest memory_request() const;
    void require_memory(Reporter& reporter);
    bool any_guided() const;
    nlohmann::json scheduler_config(const BatchSettings& batch) const;
    BatchRequest request(const BatchSettings& batch) const;
    Prompt prompt(const BatchSettings& batch, int64_t index) const;
    Prompt negative_prompt(const BatchSettings& batch) const;
    void prepare_prompts(const BatchSettings& batch, Reporter& reporter);
    void warn_of_long_steps(const BatchSettings& batch, size_t turns, Reporter& reporter);
    Preview preview(const BatchSettings& batch, const Scheduler& scheduler, Reporter& reporter);
    void censor(std::vector<Image>& pictures, Reporter& reporter);

    RunSettings run_;
    Checkpoint checkpoint_;
    nlohmann::json scheduler_config_;  ///< the checkpoint's file
    bool repairs_scheduler_ = true;
    std::unique_ptr<Pipeline> pipeline_;
    Circumstances circumstances_;
    std::map<std::string, ComponentIdentity> identities_;
    std::map<std::string, Size> image_sizes_;  ///< of what pictures start from, by sha256
    std::shared_ptr<const PictureInputs> inputs_;
    std::vector<std::string> input_notes_;
    std::optional<BatchSettings> inputs_of_;   ///< the batch that inputs_ was read for
    std::unique_ptr<PreviewFile> preview_;     ///< --preview: gone with the run
    std::optional<at::Tensor> start_latents_;  ///< --latents: unit noise [N, C, h, w], fp32 on the CPU
    MemoryPlan plan_;
    bool plan_checked_ = false, long_steps_told_ = false;
};

}  // namespace diffapple
