// From a recipe back to the settings of the run that made it.
#pragma once

#include "diffapple/recipes/recipe.h"
#include "diffapple/recipes/run_settings.h"

namespace diffapple {

/// The run of one batch that a recipe describes, and the picture's place in it. A recipe names no files, only their
/// digests.
struct RecipeRun {
    const StudyExperiment& kind;
    RunSettings settings;
    BatchSettings batch;
    int64_t index;
    std::string device, dtype;                                             ///< a device's type, the UNet's dtype
    std::optional<std::string> image_sha256, mask_sha256, latents_sha256;  ///< of the files that it was made from
};

/// Reads a recipe as a stranger's text: every value is checked, sizes, steps, numbers of pictures and lengths of texts
/// are capped. `where` starts the errors. The settings' device, dtype and files are left to the caller.
RecipeRun read_recipe_run(const Recipe& recipe, const std::string& where);

}  // namespace diffapple
