// A finished picture as a file: pixels and recipe in one PNG, JPEG or WebP, and the rules of when one may be replaced.
#pragma once

#include <filesystem>
#include <optional>

#include "diffapple/io/png.h"
#include "diffapple/recipes/recipe.h"
#include "diffapple/recipes/settings.h"

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

/// Where a picture goes, and the recipe of what is there already, where that is the picture wanted.
struct PicturePlace {
    std::filesystem::path path;
    std::optional<Recipe> existing;
};

/// Looks at the file in the place of a picture that a run wants to make. A file of another recipe (or none) is replaced
/// only with `force` or IfExists::replace; IfExists::rename takes the next name that is free or holds the picture
/// already. Else: Error (exit code 1) naming what differs, and the ways out.
PicturePlace find_place(const std::filesystem::path& path, const Recipe& wanted, bool force, IfExists if_exists);

/// Whether the picture wanted is there. No other file is an error.
bool is_same_picture(const std::filesystem::path& path, const Recipe& wanted);

/// Whether there is a picture of this program's that was made from another prompt.
bool is_of_other_prompt(const std::filesystem::path& path, const Recipe& wanted);

}  // namespace diffapple
