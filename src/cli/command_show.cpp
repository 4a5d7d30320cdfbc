// `diffapple show FILE`: the texts inside a picture.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <string_view>

#include "diffapple/cli/commands.h"
#include "diffapple/cli/options.h"
#include "diffapple/cli/output.h"
#include "diffapple/core/error.h"
#include "diffapple/core/utf8.h"
#include "diffapple/recipes/picture_file.h"
#include "diffapple/tools/picture_text.h"

namespace diffapple {
namespace {

using nlohmann::json;

struct Options {
    std::string file;
    bool as_json = false;
};

json recipe_to_json(const Recipe& recipe) {
    return {{"schema", recipe.schema()}, {"id", recipe.id()}, {"recipe", recipe.determining}, {"known", recipe.known}};
}

json generation_to_json(const GenerationText& text) {
    json settings = json::object();
    for (const auto& [name, value] : text.settings) settings.emplace(name, value);
    return {{"program", text.program},
            {"prompt", text.prompt},
            {"negative_prompt", text.negative_prompt},
            {"settings", settings}};
}

void print_texts_json(const std::string& file, const PictureText& picture) {
    json texts = json::object();
    for (const auto& [keyword, text] : picture.chunks) texts[keyword] = text;
    const bool has_text = picture.generation.has_value();
    print_json({{"file", file},
                {"width", picture.width},
                {"height", picture.height},
                {"parameters", picture.parameters ? json(*picture.parameters) : json()},
                {"generation", has_text ? generation_to_json(*picture.generation) : json()},
                {"recipe", picture.recipe ? recipe_to_json(*picture.recipe) : json()},
                {"text", texts}});
}

/// Workflows of other programs have 100 KB; a file may hold 16 MB.
void print_text(const std::string& title, const std::string& text) {
    constexpr size_t longest = 200'000;  // bytes
    const std::string_view shown = cut_utf8(text, longest);
    print_result("\n" + title + ":\n" + std::string(shown));
    if (shown.size() < text.size())
        print_result(concat("... (", text.size() - shown.size(), " more bytes; --json shows them)"));
}

/// Of a picture that another program made.
void print_generation(const GenerationText& text) {
    print_result(concat("\nas ", text.program, " writes it"));
    print_text("prompt", text.prompt);
    if (!text.negative_prompt.empty()) print_text("negative prompt", text.negative_prompt);
    if (text.settings.empty()) return;
    std::vector<std::vector<std::string>> rows;
    for (const auto& [name, value] : text.settings) rows.push_back({name, value});
    print_text("settings", format_table(rows));
}

void print_texts(const std::string& file, const PictureText& picture) {
    print_result(concat(file, ": ", picture.width, "x", picture.height));
    const bool taken_apart = picture.generation && !picture.recipe;
    if (taken_apart) print_generation(*picture.generation);
    for (const auto& [keyword, text] : picture.chunks) {
        const bool shown = taken_apart ? std::ranges::count(picture.generation->keywords, keyword) > 0
                                       : keyword == recipe_keyword && picture.recipe;
        if (!shown) print_text(keyword, text);
    }
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
    CLI::App* const command =
        app.add_subcommand("show", "Show how a picture was made: the texts inside a PNG, JPEG or WebP file");
    const auto options = std::make_shared<Options>();
    with_value(command->add_option("FILE", options->file, "A PNG, JPEG or WebP file"), "FILE")->required();
    command->add_flag("--json", options->as_json, "One JSON object on stdout");
    add_examples(command, {"show out/ddpm_cat/uncond/seed0_i0_n100.png", "show picture.png --json",
                           "show picture_of_another_program.png"});
    command->callback([options] { run(*options); });
}

}  // namespace diffapple
