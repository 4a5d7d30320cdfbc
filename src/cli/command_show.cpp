// `diffapple show FILE`: the texts inside a picture.
#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "diffapple/cli/commands.h"
#include "diffapple/cli/output.h"
#include "diffapple/core/error.h"
#include "diffapple/experiments/picture_file.h"
#include "diffapple/tools/picture_text.h"

namespace diffapple {
namespace {

using nlohmann::json;

struct Options {
    std::string file;
    bool as_json = false;
};

json recipe_to_json(const Recipe& recipe) {
    return {{"schema", recipe_schema}, {"id", recipe.id()}, {"recipe", recipe.determining}, {"known", recipe.known}};
}

void print_texts_json(const std::string& file, const PictureText& picture) {
    json texts = json::object();
    for (const auto& [keyword, text] : picture.chunks) texts[keyword] = text;
    print_json({{"file", file},
                {"width", picture.width},
                {"height", picture.height},
                {"parameters", picture.parameters ? json(*picture.parameters) : json()},
                {"recipe", picture.recipe ? recipe_to_json(*picture.recipe) : json()},
                {"text", texts}});
}

void print_text(const std::string& title, const std::string& text) {
    print_result(printable("\n" + title + ":\n" + text));
}

void print_texts(const std::string& file, const PictureText& picture) {
    print_result(printable(concat(file, ": ", picture.width, "x", picture.height)));
    for (const auto& [keyword, text] : picture.chunks)
        if (keyword != recipe_keyword || !picture.recipe) print_text(keyword, text);
    if (picture.recipe)
        print_text(concat("recipe ", picture.recipe->id(), " (the id belongs to it)"),
                   recipe_to_json(*picture.recipe).dump(2, ' ', false, json::error_handler_t::replace));
}

void run(const Options& options) {
    const PictureText picture = read_picture_text(options.file);
    options.as_json ? print_texts_json(options.file, picture) : print_texts(options.file, picture);
    if (!picture.recipe_problem.empty()) fail(picture.recipe_problem);
}

}  // namespace

void add_show_command(CLI::App& app) {
    CLI::App* const command = app.add_subcommand("show", "Show how a picture was made: the texts inside a PNG");
    const auto options = std::make_shared<Options>();
    command->add_option("FILE", options->file, "A PNG file")->required();
    command->add_flag("--json", options->as_json, "One JSON object on stdout");
    command->callback([options] { run(*options); });
}

}  // namespace diffapple
