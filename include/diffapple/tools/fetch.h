// Downloads models from the Hugging Face Hub into its local cache, as its own client lays it out: blobs, refs and
// snapshots of links. The only part of the program that uses the network.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace diffapple {

struct FetchSettings {
    std::string revision = "main";  ///< branch, tag or commit
    bool prefer_half = true;        ///< take the fp16 variant of weights where there is one
    bool dry_run = false;           ///< only look what would be downloaded
};

/// What one model means, before anything is downloaded.
struct FetchPlan {
    std::string id, commit, licence;
    std::string folder;  ///< of the cache
    size_t files = 0, missing_files = 0;
    uint64_t bytes = 0, missing_bytes = 0;  ///< of all files; of those not in the cache yet
    uint64_t free_bytes = 0;                ///< of the disk
};

struct FetchReport {
    std::function<void(const FetchPlan&)> plan;
    /// Called some times a second, from the thread that called fetch_model.
    std::function<void(uint64_t done, uint64_t total)> progress;
    std::function<void(const std::string&)> note;
};

/// Downloads the files of a model that a run needs: a Hub id, or a command of the study (of its model's ids, the first
/// that there is); or one file of a Hub id ("org/name/file.safetensors"). Returns the snapshot's folder, or the file.
/// What was downloaded before is kept and completed; a file gets its name once its size and its digest are right.
/// Throws Error, in one line, for whatever is in the way.
std::string fetch_model(const std::string& name, const FetchSettings& settings, const FetchReport& report);

}  // namespace diffapple
