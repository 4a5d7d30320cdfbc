// The files in which Linux tells of itself.
#pragma once

#include <string>

namespace diffapple {

/// Of /proc and /sys; empty where it cannot be read. (std::ifstream reads for ever where each read is interrupted.)
std::string read_system_file(const char* path);

}  // namespace diffapple
