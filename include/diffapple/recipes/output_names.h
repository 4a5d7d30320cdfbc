// Where a picture goes: the study's folders and file names.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "diffapple/recipes/settings.h"

namespace diffapple {

/// A folder or file name part that every file system takes: spaces become '_', characters that some file system refuses
/// become '-', and over 100 bytes of UTF-8 it is cut between characters and ends in '-' and 8 hex digits of its sha256.
std::string safe_name(const std::string& text);

/// A number as Python prints a float: 0.0, 7.5, 1e-05, 1e+16.
std::string python_float(double value);

/// Where a picture of a settled batch goes: <out>/<experiment's folder>/<prompt's folder>/<name>.png. The name is the
/// study's (seed, place in the batch, steps, guidance) and what the settings off their defaults add to it; a demo
/// checkpoint's pictures go to <experiment's folder>_demo.
std::filesystem::path picture_path(const std::filesystem::path& out, const BatchSettings& batch, int64_t index,
                                   const Circumstances& circumstances);

/// The file beside an inpainted picture that shows image, mask and result.
std::filesystem::path comparison_path(const std::filesystem::path& picture);

}  // namespace diffapple
