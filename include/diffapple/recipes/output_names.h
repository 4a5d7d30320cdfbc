// Where a picture goes: the study's folders and file names.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace diffapple {

/// A folder or file name part that every file system takes: spaces become '_', characters that some file system refuses
/// become '-', and over 100 bytes of UTF-8 it is cut between characters and ends in '-' and 8 hex digits of its sha256.
std::string safe_name(const std::string& text);

/// What a picture's place is made from.
struct PictureName {
    std::string experiment_folder;  ///< "ddpm_cat", "sdv1_5_dpmsolver", ...
    bool demo = false;              ///< a demo checkpoint's pictures go to <experiment_folder>_demo
    std::string prompt_folder;      ///< "uncond", or the prompt (made safe here)
    std::string stem;               ///< "seed0_i0_n100"
    /// Settings off their defaults, appended as _key-value.
    std::vector<std::pair<std::string, std::string>> suffixes;
};

/// <out>/<experiment folder>/<prompt folder>/<stem><suffixes>.png
std::filesystem::path picture_path(const std::filesystem::path& out, const PictureName& name);

}  // namespace diffapple
