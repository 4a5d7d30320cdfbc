// What diffusers changes in a scheduler's config when a pipeline is loaded: its class, and Stable Diffusion's
// pipelines.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

namespace diffapple {

/// Which sampler a batch takes, and in which pipeline.
struct SchedulerUse {
    std::optional<std::string> own;  ///< the checkpoint's, by its command-line name; absent: one this program lacks
    std::string chosen;              ///< the batch's
    bool swapped = false;            ///< the chosen one is made by from_config, as another class always is
    bool inpaints = false;           ///< has a mask
};

/// The config that the chosen sampler is made from: `config`, which is the checkpoint's file, as it is after the
/// __init__ of StableDiffusionPipeline, ...Img2ImgPipeline or ...InpaintPipeline (SDXL's change nothing). A key that
/// is absent from the file but has a default in the checkpoint's own class is repaired, too; a swap (from_config)
/// drops such a key again.
nlohmann::json repair_scheduler_config(nlohmann::json config, const SchedulerUse& use);

/// The config that another class than the checkpoint's own is made from, in any pipeline: DPM-Solver's and UniPC's
/// __init__ replace each other's kinds of solver by their own default, so that from_config never sees them.
nlohmann::json config_for_other_class(nlohmann::json config, const SchedulerUse& use);

}  // namespace diffapple
