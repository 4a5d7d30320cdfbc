#include "diffapple/tools/picture_text.h"

#include "diffapple/core/error.h"
#include "diffapple/experiments/picture_file.h"

namespace diffapple {

PictureText read_picture_text(const std::filesystem::path& path) {
    PngInfo info = read_png_info(path);
    if (info.text.empty())
        fail(path.string(),
             ": holds no text, so it does not say how it was made (some programs drop the text when they "
             "save a picture)");
    PictureText picture{.width = info.width, .height = info.height, .chunks = std::move(info.text)};
    for (const auto& [keyword, text] : picture.chunks) {
        if (keyword == parameters_keyword && !picture.parameters) picture.parameters = text;
        if (keyword != recipe_keyword || picture.recipe || !picture.recipe_problem.empty()) continue;
        try {
            picture.recipe = Recipe::from_text(text, path.string());
        } catch (const Error& error) {
            picture.recipe_problem = error.what();
        }
    }
    return picture;
}

}  // namespace diffapple
