// An experiment as its runner sees it, and the runner: plan, skip what is there, make, save, report.
#pragma once

#include <memory>
#include <vector>

#include "diffapple/experiments/reporter.h"
#include "diffapple/experiments/run_context.h"
#include "diffapple/io/png.h"
#include "diffapple/pipelines/denoise.h"

namespace diffapple {

/// What one batch gave.
struct MadeBatch {
    Denoised denoised;
    std::vector<Image> images;       ///< one for each picture of the batch, in its order
    std::vector<Image> comparisons;  ///< saved beside the pictures as "..._comp.png"; may be empty
};

class Experiment {
public:
    virtual ~Experiment() = default;

    virtual const RunContext& context() const = 0;
    virtual int64_t pictures_per_batch() const = 0;
    /// Prompts of the batches to come, in place of those before; what is loaded stays. Throws Error in experiments
    /// without prompts.
    virtual void set_prompts(std::vector<std::string> prompts) = 0;
    /// Throws Error for whatever is wrong with a batch and can be known before anything is loaded.
    virtual void check(const BatchSettings& batch) const = 0;
    virtual Recipe recipe(const BatchSettings& batch, int64_t index) const = 0;
    virtual PictureName name(const BatchSettings& batch, int64_t index) const = 0;
    /// Makes a batch; loads what it needs and has not loaded yet. After the `last` one, nothing needs to stay loaded.
    /// Tells the reporter of every turn of the loop.
    virtual MadeBatch make(const BatchSettings& batch, bool last, Reporter& reporter) = 0;
};

/// The experiment of a kind with a run's settings. Throws Error for all that is wrong with them or with the model and
/// can be known before its weights are loaded.
std::unique_ptr<Experiment> open_experiment(const StudyExperiment& kind, const RunSettings& settings);

/// Runs every batch that is not made already: plans first (all errors that can be known are raised before anything is
/// loaded), saves each batch's pictures as soon as they are done. A single batch is made again when its files exist
/// with the same id; in a sweep such batches are skipped. A whole sweep ends in a contact sheet of all its pictures.
/// Throws Error; after a stop request with exit code 130, saying what is made and what is left.
void run_experiment(Experiment& experiment, Reporter& reporter);

/// Tells the reporter that a batch begins, and that it is over, also when it ends by an exception.
class BatchProgress {
public:
    BatchProgress(Reporter& reporter, const BatchSettings& batch);
    ~BatchProgress() { reporter_.end_batch(); }
    BatchProgress(const BatchProgress&) = delete;
    BatchProgress& operator=(const BatchProgress&) = delete;

private:
    Reporter& reporter_;
};

/// Adds to a recipe what is known of a batch that was just made: seconds, it/s, memory, versions, date.
void record_what_is_known(const RunContext& context, const Denoised& denoised, Recipe& recipe);

}  // namespace diffapple
