// The texts inside a PNG: how a picture was made.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "diffapple/io/png.h"
#include "diffapple/recipes/recipe.h"
#include "diffapple/tools/generation_text.h"

namespace diffapple {

/// Everything that a PNG says in its text chunks.
struct PictureText {
    int64_t width = 0, height = 0;
    std::optional<std::string> parameters;     ///< A1111's text
    std::optional<GenerationText> generation;  ///< `parameters` taken apart, when it has settings
    std::optional<Recipe> recipe;              ///< its id belongs to it
    std::string recipe_problem;                ///< why a recipe that is there cannot be trusted, else ""
    std::vector<TextChunk> chunks;             ///< all of them, in the file's order
};

/// Throws Error naming the file when it is no PNG, is damaged, or holds no text at all.
PictureText read_picture_text(const std::filesystem::path& path);

}  // namespace diffapple
