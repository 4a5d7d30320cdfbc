// Whether a picture file has transparency, which reading it drops.
#pragma once

#include <filesystem>

namespace diffapple {

/// Whether a PNG or WebP file has an alpha channel, by its header; false for other files. Throws Error where it cannot
/// be read.
bool has_alpha(const std::filesystem::path& path);

}  // namespace diffapple
