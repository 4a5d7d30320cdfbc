#include "diffapple/tools/picture_text.h"

#include "diffapple/core/error.h"
#include "diffapple/recipes/picture_file.h"

namespace diffapple {

PictureText read_picture_text(const std::filesystem::path& path) {
    const PngInfo info = read_png_info(path);
    if (info.text.empty())
        fail(path.string(),
             ": holds no text, so it does not say how it was made (some programs drop the text when they "
             "save a picture)");
    PictureText picture{.width = info.width, .height = info.height, .chunks = info.text};
    const bool is_sheet = is_contact_sheet(info);
    for (const auto& [keyword, text] : picture.chunks) {
        if (keyword == parameters_keyword && !picture.parameters) {
            picture.parameters = text;
            GenerationText generation = parse_generation_text(text);
            if (!generation.settings.empty()) picture.generation = std::move(generation);
        }
        if (is_sheet || keyword != recipe_keyword || picture.recipe || !picture.recipe_problem.empty()) continue;
        try {
            picture.recipe = Recipe::from_text(text, path.string());
        } catch (const Error& error) {
            picture.recipe_problem = error.what();
        }
    }
    return picture;
}

}  // namespace diffapple
