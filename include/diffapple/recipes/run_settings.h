// What the command line asks of an experiment, as data; one batch of it with every list reduced to one value.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "diffapple/models/placement.h"
#include "diffapple/study/study.h"

namespace diffapple {

/// [width, height] or [x, y].
using PixelPair = std::array<int64_t, 2>;

/// The part of a sweep that one of several runs makes: of its batches, every `count`-th from the `number`-th on.
struct Shard {
    int64_t number = 1;  ///< from 1 to count
    int64_t count = 1;

    bool is_part() const { return count > 1; }
    bool has(size_t batch) const { return static_cast<int64_t>(batch) % count == number - 1; }
};

/// The lists of `seeds`, `steps`, `schedulers`, `guidance` and `strength` are combined into a grid of batches.
struct RunSettings {
    std::optional<std::string> model;
    std::string device = "auto", dtype = "auto";
    WeightStorage weights = WeightStorage::as_is;  ///< of UNet and text encoders
    std::vector<uint64_t> seeds{42};
    std::vector<int64_t> steps;
    std::vector<std::string> schedulers;  ///< empty: the experiment's, else the checkpoint's own
    std::vector<double> guidance;         ///< empty in experiments without prompts
    std::vector<double> strengths;        ///< empty: the pipeline's default

    std::vector<std::string> prompts;            ///< of every batch, in this order
    std::optional<std::string> negative_prompt;  ///< absent: none was given
    std::optional<std::string> prompt_2, negative_prompt_2;
    double guidance_rescale = 0, eta = 0;
    int64_t clip_skip = 0;

    int64_t batch_size = 1;  ///< pictures per prompt
    std::optional<int64_t> width, height;
    std::optional<PixelPair> original_size, target_size, crop;  ///< SDXL's conditioning; the crop is [left, top]
    std::filesystem::path image, mask;                          ///< empty: none
    double mask_blur = 0;                                       ///< pixels; 0: none
    std::optional<int64_t> padding_mask_crop;
    bool keep_unmasked = false;
    std::optional<bool> safety;  ///< absent: on where the checkpoint has a safety checker

    std::filesystem::path out = "out";
    bool force = false;
    std::optional<bool> vae_tiling;  ///< absent: only where memory is short
    bool keep_loaded = false;        ///< components stay in memory after their use
    bool sheet = true;               ///< a contact sheet at the end of a sweep
    Shard shard;
    std::filesystem::path latents, save_latents;  ///< empty: none
};

/// One point of the grid: all pictures that share one draw of noise.
struct BatchSettings {
    uint64_t seed;
    int64_t steps;
    std::string scheduler;           ///< by its command-line name
    std::optional<double> guidance;  ///< absent in experiments without prompts
    std::optional<double> strength;  ///< absent where nothing is given to start from
};

/// The grid, in an order that changes the seed fastest. `scheduler` stands in for an empty list of schedulers.
/// Throws Error (exit code 2) for more than 100,000 pictures, and for --latents with more than one batch.
std::vector<BatchSettings> expand_batches(const RunSettings& settings, const std::string& scheduler);

}  // namespace diffapple
