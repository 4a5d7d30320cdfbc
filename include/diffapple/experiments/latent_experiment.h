// The experiments with prompts: sd15, sd2-inpaint and sdxl-turbo. They differ in their kind (data) and in what the
// checkpoint holds, not in code.
#pragma once

#include <memory>

#include "diffapple/experiments/experiment.h"

namespace diffapple {

/// Throws Error for whatever about the settings or the model does not fit.
std::unique_ptr<Experiment> open_latent_experiment(const StudyExperiment& kind, const RunSettings& settings);

}  // namespace diffapple
