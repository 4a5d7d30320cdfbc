// What all batches of a run have in common: the model and its identity, the device, the scheduler's config, the start
// noise; and the parts of recipes and file names that every experiment has.
#pragma once

#include <ATen/core/Tensor.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "diffapple/recipes/output_names.h"
#include "diffapple/recipes/recipe.h"
#include "diffapple/experiments/reporter.h"
#include "diffapple/recipes/run_settings.h"
#include "diffapple/models/checkpoint.h"
#include "diffapple/models/state_loading.h"
#include "diffapple/schedulers/scheduler.h"

namespace diffapple {

struct RunContext {
    const StudyExperiment& kind;
    RunSettings settings;
    Placement placement;
    Checkpoint checkpoint;
    nlohmann::json scheduler_config;
    std::optional<std::string> own_scheduler;                  ///< the checkpoint's; absent when this program lacks it
    nlohmann::json weights_sha256 = nlohmann::json::object();  ///< by component
    nlohmann::json configs_sha256 = nlohmann::json::object();
    int64_t width = 0, height = 0;
    bool default_size = true;           ///< the model's own size
    std::optional<at::Tensor> latents;  ///< --latents: unit noise [N, C, H, W], fp32 on the CPU
    std::string latents_sha256;         ///< of its file

    /// The scheduler of batches that name none. Throws Error when the checkpoint's own is needed and unknown here.
    std::string default_scheduler() const;
    /// A new scheduler for a batch.
    std::unique_ptr<Scheduler> new_scheduler(const BatchSettings& batch) const;
};

/// Finds device, dtype, checkpoint and scheduler config. Throws Error for what is wrong or absent.
RunContext open_run(const StudyExperiment& kind, const RunSettings& settings);

/// Says on stderr when the demo stands in for the study's model.
void explain_demo(const RunContext& context, Reporter& reporter);

/// Adds a component's digests to the context: they are part of every recipe.
void identify(RunContext& context, const Component& component, bool prefer_half);

/// Reads --latents, where given, and checks that it is what this run needs.
void read_start_latents(RunContext& context, const std::vector<int64_t>& shape);

/// The determining part of a recipe. `settings` holds the experiment's own settings beside seed, index, steps,
/// batch_size, width, height and latents; `dtypes` those of the components.
Recipe base_recipe(const RunContext& context, const BatchSettings& batch, int64_t index, nlohmann::json settings,
                   const nlohmann::json& dtypes);

/// Name without the prompt's folder; its suffixes are the settings off their defaults that every experiment has.
PictureName base_name(const RunContext& context, const BatchSettings& batch, int64_t index);

}  // namespace diffapple
