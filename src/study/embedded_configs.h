// The config files of the study's models inside the program: cmake/EmbedConfigs.cmake writes their source at build time
// from the files that the tests read.
#pragma once

#include <cstddef>

namespace diffapple {

struct EmbeddedConfig {
    const char* model;      ///< the folder's name in tests/data
    const char* component;  ///< "unet", "vae", ..., "scheduler"
    const char* json;       ///< the file's text
};

extern const EmbeddedConfig embedded_configs[];
extern const size_t embedded_config_count;

}  // namespace diffapple
