// The first experiment of the study: unconditional pictures from google/ddpm-cat-256.
#pragma once

#include <memory>

#include "diffapple/experiments/experiment.h"

namespace diffapple {

/// Throws Error for whatever about the settings or the model does not fit.
std::unique_ptr<Experiment> open_ddpm_experiment(const StudyExperiment& kind, const RunSettings& settings);

}  // namespace diffapple
