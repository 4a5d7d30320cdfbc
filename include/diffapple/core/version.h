// This program's version.
#pragma once

namespace diffapple {

/// As in "0.1.0": the version of the CMake project.
extern const char* const version;

}  // namespace diffapple
