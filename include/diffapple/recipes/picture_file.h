// A finished picture as a file: pixels and recipe in one PNG, JPEG or WebP, and the rules of when one may be replaced.
#pragma once

#include <filesystem>
#include <optional>

#include "diffapple/io/png.h"
#include "diffapple/recipes/recipe.h"

namespace diffapple {

/// Keywords of the two text chunks.
constexpr const char* parameters_keyword = "parameters";
constexpr const char* recipe_keyword = "diffapple";

/// Writes the picture with its recipe and its A1111 text, whole or not at all, as the ending of its name says.
void save_picture(const std::filesystem::path& path, const Image& image, const Recipe& recipe);

/// The recipe of a picture; absent when the file has none, as a contact sheet has none. Throws Error when it is no PNG
/// or its recipe is broken.
std::optional<Recipe> read_recipe(const std::filesystem::path& path);

/// The same for a PNG that was read; `path` is for messages.
std::optional<Recipe> find_recipe(const PngInfo& png, const std::filesystem::path& path);

/// The text that marks a contact sheet (keyword recipe_keyword): {"schema", "sheet": {"id", "pictures": [{"id",
/// "file"}]}}, and whether a PNG has one.
std::string contact_sheet_text(const std::string& id, const nlohmann::json& pictures);
bool is_contact_sheet(const PngInfo& png);

/// Looks at the file in the place of a picture that a run wants to make: the recipe of what is there, where that is the
/// picture wanted; absent where there is nothing. A file of another recipe (or none) may not be replaced: Error (exit
/// code 1) naming what differs, unless `force`, which takes it for nothing.
std::optional<Recipe> find_same_picture(const std::filesystem::path& path, const Recipe& wanted, bool force);

/// Whether the picture wanted is there. No other file is an error.
bool is_same_picture(const std::filesystem::path& path, const Recipe& wanted);

/// Whether there is a picture of this program's that was made from another prompt.
bool is_of_other_prompt(const std::filesystem::path& path, const Recipe& wanted);

}  // namespace diffapple
