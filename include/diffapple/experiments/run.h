// Running an experiment: plan, skip what is there, make, save, report.
#pragma once

#include "diffapple/experiments/experiment.h"

namespace diffapple {

/// Runs every batch that is not made already, of all lines of a file of prompts: plans first (all errors that can be
/// known are raised before anything is loaded), saves each batch's pictures as soon as they are done. A single batch is
/// made again when its files exist with the same recipe; in a sweep such batches are skipped. A whole sweep ends in a
/// contact sheet of all its pictures. Where pictures cannot be finished after the loop, the batch's final latents are
/// kept beside their place. Throws Error; after a stop request with exit code 130, saying what is made and what is
/// left.
void run_experiment(Experiment& experiment, Reporter& reporter);

/// Tells the reporter that a batch begins, and that it is over, also when it ends by an exception.
class BatchProgress {
public:
    /// `prompt` begins its label, where there are many.
    BatchProgress(Reporter& reporter, const BatchSettings& batch, const std::string& prompt = "");
    ~BatchProgress() { reporter_.end_batch(); }
    BatchProgress(const BatchProgress&) = delete;
    BatchProgress& operator=(const BatchProgress&) = delete;

private:
    Reporter& reporter_;
};

}  // namespace diffapple
