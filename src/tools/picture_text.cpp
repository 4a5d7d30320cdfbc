#include "diffapple/tools/picture_text.h"

#include "diffapple/core/error.h"
#include "diffapple/io/picture_info.h"
#include "diffapple/recipes/picture_file.h"

namespace diffapple {

PictureText read_picture_text(const std::filesystem::path& path) {
    const PngInfo info = read_picture_info(path);
    if (info.text.empty())
        fail(path.string(),
             ": holds no text, so it does not say how it was made (some programs drop the text when they "
             "save a picture)");
    PictureText picture{.width = info.width, .height = info.height, .chunks = info.text};
    const bool is_sheet = is_contact_sheet(info);
    for (const auto& [keyword, text] : picture.chunks) {
        if (keyword == parameters_keyword && !picture.parameters) picture.parameters = text;
        if (is_sheet || keyword != recipe_keyword || picture.recipe || !picture.recipe_problem.empty()) continue;
        try {
            picture.recipe = Recipe::from_text(text, path.string());
        } catch (const Error& error) {
            picture.recipe_problem = error.what();
        }
    }
    picture.generation = find_generation_text(picture.chunks);
    return picture;
}

}  // namespace diffapple
