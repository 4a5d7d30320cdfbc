// SHA-256 digests as lower-case hex.
#pragma once

#include <filesystem>
#include <string>

namespace diffapple {

std::string sha256(const std::string& bytes);
/// Throws Error when the file cannot be read. Obeys a stop request (core/stop.h).
std::string sha256_of_file(const std::filesystem::path& path);

/// Whether a text could be such a digest.
bool is_sha256(const std::string& text);

}  // namespace diffapple
