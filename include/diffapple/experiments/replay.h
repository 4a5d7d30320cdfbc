// Makes a finished picture again from its recipe and says how far the two are apart.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "diffapple/experiments/experiment.h"

namespace diffapple {

/// What a user may set otherwise than the recipe says. A recipe names no paths: files that it was made from must be
/// given again, and are checked against the recipe's digests.
struct ReplaySettings {
    std::filesystem::path picture;
    std::optional<std::string> model, device, dtype;
    OtherParts parts;
    std::filesystem::path image, mask, latents;
};

/// A recipe with something changed.
struct Variation {
    std::vector<std::string> changes;  ///< "guidance=4"; of a list of values, each
    std::filesystem::path out = "out";
    bool force = false;
};

/// Two 8-bit pictures of one size.
struct PictureDifference {
    int largest = 0;         ///< levels
    double equal_share = 1;  ///< of all values
    double psnr_db = 0;      ///< infinite for equal pictures
};
PictureDifference compare_pictures(const Image& one, const Image& other);

/// What must hold for a replay to be the same picture.
enum class ReplayBar {
    equal_bytes,  ///< cpu, fp32, same processor, threads and versions
    fidelity,     ///< cpu, fp32: within 1 level, 99.9% of the values equal
    psnr,         ///< any other device or dtype: at least 30 dB
};
bool meets(const PictureDifference& difference, ReplayBar bar);
std::string describe_bar(ReplayBar bar);

struct Replay {
    Image image;
    Recipe recipe;  ///< of the new picture
    PictureDifference difference;
    ReplayBar bar = ReplayBar::psnr;
    bool same() const { return meets(difference, bar); }
};

/// Throws Error when the picture has no recipe, when its model is not here or has other weights, when a file that it
/// was made from is missing or another, or when the recipe asks for something absurd: it is a stranger's text. No path
/// in it is followed, and nothing is loaded before all that is checked.
Replay replay_picture(const ReplaySettings& settings, Reporter& reporter);

/// Makes the recipe's whole batch with the changes, as a run of its own (run_experiment): its pictures go to their
/// usual places, where they are skipped or refused as a run's are. Throws as replay_picture.
void make_variation(const ReplaySettings& settings, const Variation& variation, Reporter& reporter);

}  // namespace diffapple
