// `diffapple models`: what can be run, what is here, and removing a model.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "diffapple/cli/commands.h"
#include "diffapple/cli/output.h"
#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"
#include "diffapple/core/stop.h"
#include "diffapple/core/text.h"
#include "diffapple/tools/model_list.h"

namespace diffapple {
namespace {

using nlohmann::json;

struct Options {
    std::string remove;
    bool yes = false, as_json = false;
};

json text_or_null(const std::string& text) {
    return text.empty() ? json() : json(text);
}

void print_models_json(const std::vector<ModelEntry>& models) {
    json listed = json::array();
    for (const auto& model : models)
        listed.push_back({{"name", model.name},
                          {"command", text_or_null(model.command)},
                          {"found", model.found},
                          {"path", text_or_null(model.folder.string())},
                          {"bytes", model.bytes},
                          {"licence", text_or_null(model.licence)},
                          {"how_to_get", text_or_null(model.how_to_get)}});
    print_json({{"models", listed}});
}

void print_models_table(const std::vector<ModelEntry>& models) {
    std::vector<std::vector<std::string>> rows{{"model", "command", "size", "licence", "where"}};
    for (const auto& model : models)
        rows.push_back({model.name, model.command.empty() ? "not yet" : model.command, format_bytes(model.bytes),
                        model.licence.empty() ? "?" : model.licence,
                        model.found ? model.folder.string() : "not here: " + model.how_to_get});
    print_result(format_table(rows));
}

/// Asks on the terminal. Throws Error where nobody can be asked.
bool confirm(const Removal& removal) {
    if (isatty(STDIN_FILENO) == 0)
        fail_usage("--remove ", removal.name, ": there is no terminal to ask on; add --yes to remove ",
                   removal.folder.string(), " (", format_bytes(removal.bytes), ")");
    std::cerr << printable(concat("Remove ", removal.folder.string(), " (", format_bytes(removal.bytes), ")? [y/N] "));
    std::string answer;
    std::getline(std::cin, answer);
    check_stop();
    return answer == "y" || answer == "Y" || answer == "yes";
}

void remove(const Options& options) {
    const Removal removal = find_removal(options.remove);
    if (removal.is_demo && !options.yes)
        fail_usage("--remove ", removal.name,
                   ": this demo comes with the program and stands in for a model of the study; add --yes to remove it "
                   "all the same");
    if (!options.yes && !confirm(removal)) fail("--remove ", removal.name, ": nothing was removed");
    remove_model(removal);
    if (options.as_json)
        print_json({{"removed", removal.name}, {"path", removal.folder.string()}, {"bytes", removal.bytes}});
    else
        print_result("removed " + removal.folder.string());
}

void run(const Options& options) {
    if (!options.remove.empty()) return remove(options);
    if (options.yes) fail_usage("--yes: belongs to --remove NAME");
    const auto models = list_models();
    options.as_json ? print_models_json(models) : print_models_table(models);
}

}  // namespace

void add_models_command(CLI::App& app) {
    CLI::App* const command = app.add_subcommand("models", "Show which models can be run and which are here");
    const auto options = std::make_shared<Options>();
    command->add_option("--remove", options->remove, "Remove a model from models/ or the Hub cache, after a question");
    command->add_flag("--yes", options->yes, "With --remove: do not ask; also remove a demo of the program");
    command->add_flag("--json", options->as_json, "One JSON object on stdout");
    command->callback([options] { run(*options); });
}

}  // namespace diffapple
