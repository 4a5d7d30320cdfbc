// `diffapple models`: what can be run, what is here, and removing a model.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "diffapple/cli/commands.h"
#include "diffapple/cli/options.h"
#include "diffapple/cli/output.h"
#include "diffapple/cli/terminal.h"
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
                          {"how_to_get", text_or_null(model.how_to_get)},
                          {"missing", model.missing},
                          {"note", text_or_null(model.note)},
                          {"m2_it_per_s", model.figures ? json(model.figures->m2_it_per_s) : json()},
                          {"m2_memory_bytes", model.figures ? json(model.figures->memory_bytes) : json()}});
    print_json({{"models", listed}});
}

std::string where(const ModelEntry& model) {
    if (!model.found) return "not here";
    return model.missing.empty() ? model.folder.string() : "INCOMPLETE: without " + join(model.missing, ", ");
}

/// A table that fits the terminal, and below it whole what would not: paths and how to get what is not here.
void print_models_table(const std::vector<ModelEntry>& models) {
    std::vector<std::vector<std::string>> rows{
        {"model", "command", "size", "licence", "M2 it/s*", "M2 memory*", "where"}};
    std::vector<std::string> lines;
    for (const auto& model : models) {
        const auto& figures = model.figures;
        rows.push_back({model.name, model.command.empty() ? "not yet" : model.command, format_bytes(model.bytes),
                        model.licence.empty() ? "?" : model.licence,
                        figures ? format_significant(figures->m2_it_per_s, 2) : "not measured",
                        figures ? format_bytes(static_cast<uint64_t>(figures->memory_bytes)) : "not measured",
                        where(model)});
        if (!model.missing.empty()) lines.push_back(model.name + " is incomplete, in " + model.folder.string());
        if (!model.how_to_get.empty()) lines.push_back(model.name + ": " + model.how_to_get);
        if (!model.note.empty()) lines.push_back(model.note);
    }
    const auto width = terminal_width(STDOUT_FILENO);
    print_result(width ? fit_table(rows, *width, {"licence", "M2 memory*", "M2 it/s*", "size"}) : format_table(rows));
    print_result("* quoted from the study (MacBook M2, 16 GB), not measured here; downloads need no login");
    for (const auto& line : lines) print_result("\n" + (width ? wrap_words(line, *width, 2) : line));
}

/// Asks on the terminal. Throws Error where nobody can be asked.
bool confirm(const Removal& removal) {
    if (isatty(STDIN_FILENO) == 0)
        fail_usage("--remove ", removal.name, ": there is no terminal to ask on; add --yes to remove ",
                   removal.folder.string(), " (", format_bytes(removal.bytes), ")");
    std::cerr << printable(concat("Remove ", removal.folder.string(), " (", format_bytes(removal.bytes), ")? [y/N] "));
    std::string answer;
    const StopNotice waiting(StopNotice::Kind::none);
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
    with_value(command->add_option("--remove", options->remove,
                                   "Remove a model from models/ or the Hub cache, after a question"),
               "ID|DIR");
    add_examples(command, {"models", "models --json", "models --remove stabilityai/sdxl-turbo"});
    command->add_flag("--yes", options->yes, "With --remove: do not ask; also remove a demo of the program");
    command->add_flag("--json", options->as_json, "One JSON object on stdout");
    command->callback([options] { run(*options); });
}

}  // namespace diffapple
