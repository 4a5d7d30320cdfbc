// The first experiment of the study: unconditional pictures from google/ddpm-cat-256.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "diffapple/experiments/reporter.h"

namespace diffapple {

/// What the command line says; each combination of the lists is a batch.
struct DDPMSettings {
    std::optional<std::string> model;
    std::string device = "auto", dtype = "auto";
    std::vector<uint64_t> seeds{42};
    std::vector<int64_t> steps{100};
    std::vector<std::string> schedulers;  ///< empty: the checkpoint's own
    int64_t batch_size = 1;
    std::optional<int64_t> width, height;
    std::filesystem::path out = "out";
    bool force = false;
    std::filesystem::path latents, save_latents;  ///< empty: none
};

/// Runs every batch that is not made already: plans first (all errors that can be known are raised before anything is
/// loaded), loads the model once, saves each batch's pictures as soon as they are done. A single batch is made again
/// when its files exist with the same id; in a sweep they are skipped. Throws Error; Interrupted after a stop request.
void run_ddpm(const DDPMSettings& settings, Reporter& reporter);

}  // namespace diffapple
