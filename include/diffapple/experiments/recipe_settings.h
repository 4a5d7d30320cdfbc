// From a recipe back to the settings of the run that made it.
#pragma once

#include "diffapple/experiments/recipe.h"
#include "diffapple/experiments/run_settings.h"

namespace diffapple {

/// The run of one batch that a recipe describes, and the picture's place in it.
struct RecipeRun {
    const ExperimentKind& kind;
    RunSettings settings;
    BatchSettings batch;
    int64_t index;
};

/// Reads a recipe as a stranger's text: every value is checked, sizes, steps, numbers of pictures and lengths of texts
/// are capped. `where` starts the errors. Device, dtype and files are left to the caller.
RecipeRun read_recipe_run(const Recipe& recipe, const std::string& where);

}  // namespace diffapple
