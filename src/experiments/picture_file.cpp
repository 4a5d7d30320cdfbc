#include "diffapple/experiments/picture_file.h"

#include "diffapple/core/error.h"
#include "diffapple/io/files.h"

namespace diffapple {

namespace fs = std::filesystem;

void save_picture(const fs::path& path, const Image& image, const Recipe& recipe) {
    write_file_atomically(
        path, encode_png(image, {{parameters_keyword, a1111_parameters(recipe)}, {recipe_keyword, recipe.to_text()}}));
}

std::optional<Recipe> read_recipe(const fs::path& path) {
    for (const auto& chunk : read_png_info(path).text)
        if (chunk.keyword == recipe_keyword) return Recipe::from_text(chunk.text, path.string());
    return std::nullopt;
}

Existing check_existing(const fs::path& path, const Recipe& wanted, bool force) {
    std::error_code ignored;
    if (!fs::exists(path, ignored)) return Existing::none;
    if (!fs::is_regular_file(path, ignored))
        fail(path.string(), ": is in the picture's place and is no file; move it, or use --out for another place");
    std::string difference;
    try {
        const auto existing = read_recipe(path);
        if (existing && existing->id() == wanted.id()) return Existing::same;
        difference = existing ? "another recipe (" + describe_difference(*existing, wanted) + ")" : "no recipe";
    } catch (const Error& error) {
        difference = concat("a recipe that cannot be read (", error.what(), ")");
    }
    if (force) return Existing::none;
    fail(path.string(), ": exists with ", difference,
         "; move it, or use --force to replace it or --out for another place");
}

}  // namespace diffapple
