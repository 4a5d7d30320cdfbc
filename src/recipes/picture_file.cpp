#include "diffapple/recipes/picture_file.h"

#include <algorithm>

#include "diffapple/core/error.h"
#include "diffapple/io/files.h"
#include "diffapple/io/picture_encoding.h"
#include "diffapple/io/picture_info.h"

namespace diffapple {

namespace fs = std::filesystem;
using nlohmann::json;

void save_picture(const fs::path& path, const Image& image, const Recipe& recipe) {
    write_file_atomically(
        path, encode_picture(path, image,
                             {{parameters_keyword, a1111_parameters(recipe)}, {recipe_keyword, recipe.to_text()}}));
}

namespace {

/// The text of a contact sheet, of any schema: its keys are sorted, and a recipe has others there.
bool is_sheet_text(const TextChunk& chunk) {
    if (chunk.keyword != recipe_keyword) return false;
    for (int schema = 1; schema <= recipe_schema; ++schema)
        if (chunk.text.starts_with(concat(R"({"schema":)", schema, R"(,"sheet":{)"))) return true;
    return false;
}

}  // namespace

std::string contact_sheet_text(const std::string& id, const json& pictures) {
    const json text = {{"schema", recipe_schema}, {"sheet", {{"id", id}, {"pictures", pictures}}}};
    return text.dump(-1, ' ', /*ensure_ascii=*/true, json::error_handler_t::replace);
}

bool is_contact_sheet(const PngInfo& png) {
    return std::any_of(png.text.begin(), png.text.end(), is_sheet_text);
}

std::optional<Recipe> find_recipe(const PngInfo& png, const fs::path& path) {
    for (const auto& chunk : png.text)
        if (chunk.keyword == recipe_keyword && !is_sheet_text(chunk))
            return Recipe::from_text(chunk.text, path.string());
    return std::nullopt;
}

std::optional<Recipe> read_recipe(const fs::path& path) {
    return find_recipe(read_picture_info(path), path);
}

namespace {

/// What is in a picture's place.
struct Occupant {
    std::optional<Recipe> same;  ///< the picture wanted
    std::string difference;      ///< else: in words; "" where there is nothing
};

Occupant look_at(const fs::path& path, const Recipe& wanted) {
    if (!is_there(path)) return {};
    if (!is_file(path))
        fail(path.string(), ": is in the picture's place and is no file; move it, or use --out for another place");
    try {
        const auto existing = read_recipe(path);
        if (!existing) return {.difference = "no recipe"};
        const std::string difference = describe_difference(*existing, wanted);
        if (difference.empty()) return {.same = existing};
        return {.difference = "another recipe (" + difference + ")"};
    } catch (const Error& error) {
        return {.difference = concat("a recipe that cannot be read (", error.what(), ")")};
    }
}

fs::path numbered(const fs::path& path, int number) {
    fs::path other = path;
    return number < 2 ? other
                      : other.replace_filename(concat(path.stem().string(), '_', number, path.extension().string()));
}

}  // namespace

PicturePlace find_place(const fs::path& path, const Recipe& wanted, bool force, IfExists if_exists) {
    constexpr int most = 10'000;
    const bool renames = if_exists == IfExists::rename && !force;
    for (int number = 1; number <= (renames ? most : 1); ++number) {
        PicturePlace place{.path = numbered(path, number)};
        const Occupant occupant = look_at(place.path, wanted);
        place.existing = occupant.same;
        if (occupant.difference.empty()) return place;
        if (force || if_exists == IfExists::replace) return place;
        if (!renames)
            fail(path.string(), ": exists with ", occupant.difference,
                 "; use --if-exists rename to keep both, --force to replace it, or --out for another place");
    }
    fail(path.string(), ": this name and ", most - 1, " after it are taken; use --out for another place");
}

namespace {

/// Nothing for what is no picture with a recipe.
std::optional<Recipe> try_read_recipe(const fs::path& path) {
    try {
        return is_file(path) ? read_recipe(path) : std::nullopt;
    } catch (const Error&) {
        return std::nullopt;
    }
}

}  // namespace

bool is_same_picture(const fs::path& path, const Recipe& wanted) {
    const auto existing = try_read_recipe(path);
    return existing && describe_difference(*existing, wanted).empty();
}

bool is_of_other_prompt(const fs::path& path, const Recipe& wanted) {
    const auto prompt = "/settings/prompt"_json_pointer;
    const auto existing = try_read_recipe(path);
    return existing && existing->determining.contains(prompt) && wanted.determining.contains(prompt) &&
           existing->determining.at(prompt) != wanted.determining.at(prompt);
}

}  // namespace diffapple
