// Where a picture goes: the study's folders and file names.
#pragma once

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "diffapple/recipes/settings.h"

namespace diffapple {

/// A folder or file name part that every file system takes: spaces become '_', characters that some file system refuses
/// become '-', and over 100 bytes of UTF-8 it is cut between characters and ends in '-' and 8 hex digits of its sha256.
std::string safe_name(const std::string& text);

/// The prompts of a run whose folders would be one, or would be for a file system that ignores case or how accents are
/// composed (APFS, exFAT).
std::set<std::string> find_meeting_prompts(const std::vector<std::string>& prompts);

enum class Naming {
    usual,
    study,  ///< of an inpainting experiment the study's, without the picture and the mask that it needs
    apart,  ///< with a hash of the prompt in its folder's name: where another prompt has the usual folder
    older,  ///< of the versions up to recipe schema 2: their pictures are found there
};

/// Where a picture of a settled batch goes: <out>/<experiment's folder>/<prompt's folder>/<name>.png. The name is the
/// study's (seed, place in the batch, steps, guidance) and what the settings off their defaults add to it, at most 200
/// bytes; a demo checkpoint's pictures go to <experiment's folder>_demo. The prompt's folder is its safe_name, with 8
/// hex digits of its sha256 where a character was replaced (but for spaces) or it meets another prompt of the run.
std::filesystem::path picture_path(const std::filesystem::path& out, const BatchSettings& batch, int64_t index,
                                   const Circumstances& circumstances, Naming naming = Naming::usual);

/// The picture so far (--preview): a file beside the prompts' folders. `picture` is any of the run's.
constexpr const char* preview_name = "preview.png";
std::filesystem::path preview_path(const std::filesystem::path& picture);

/// The file beside an inpainted picture that shows image, mask and result.
std::filesystem::path comparison_path(const std::filesystem::path& picture);

}  // namespace diffapple
