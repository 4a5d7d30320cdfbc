// The texts inside a picture: how it was made.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "diffapple/io/png.h"
#include "diffapple/recipes/generation_text.h"
#include "diffapple/recipes/recipe.h"

namespace diffapple {

/// Everything that a PNG, JPEG or WebP file says beside its pixels.
struct PictureText {
    int64_t width = 0, height = 0;
    std::optional<std::string> parameters;     ///< A1111's text
    std::optional<GenerationText> generation;  ///< what texts of this or another program say
    std::optional<Recipe> recipe;              ///< its id belongs to it
    std::string recipe_problem;                ///< why a recipe that is there cannot be trusted, else ""
    std::vector<TextChunk> chunks;             ///< all of them, in the file's order
};

/// Throws Error naming the file when it is no such picture, is damaged, or holds no text at all.
PictureText read_picture_text(const std::filesystem::path& path);

}  // namespace diffapple
