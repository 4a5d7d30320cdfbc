// What diffusers' Stable Diffusion pipelines change in a scheduler's config when they are loaded.
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

}  // namespace diffapple
