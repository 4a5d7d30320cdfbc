// Writes any readable checkpoint anew: as one clean folder in diffusers layout, or as a single file in the original
// one.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "diffapple/models/checkpoint.h"

namespace diffapple {

struct ConvertSettings {
    std::filesystem::path destination;
    std::optional<c10::ScalarType> dtype;  ///< of all weights; absent: each tensor's own
    bool single_file = false;              ///< the destination is a .safetensors file in the original layout
};

/// Gets the name of a component that is about to be written, and its size.
using OnComponent = std::function<void(const std::string& component, uint64_t bytes)>;

/// Holds one tensor at a time in memory. The destination appears whole or not at all, and what a killed process left
/// beside it is written anew. Throws Error where the source cannot be run, the destination exists, a value overflows in
/// the wanted type, or the checkpoint has no single-file form.
void convert_checkpoint(const Checkpoint& source, const ConvertSettings& settings, const OnComponent& on_component);

}  // namespace diffapple
