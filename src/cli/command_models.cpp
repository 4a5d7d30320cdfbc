// `diffapple models`: what can be run, what is here, and removing a model.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdint>
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
#include "diffapple/study/study.h"
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

/// "on a M2 100 steps in about 33 s (3 it/s), 800 MB*": the study's figures, for its steps.
std::string describe_figures(const ModelEntry& model) {
    if (!model.figures) return "on a M2 not measured";
    const int64_t steps = find_study_experiment(model.command).steps;
    return concat("on a M2 ", counted(steps, "step"), " in about ",
                  format_fixed(static_cast<double>(steps) / model.figures->m2_it_per_s, 0), " s (",
                  format_significant(model.figures->m2_it_per_s, 2), " it/s), ",
                  format_bytes(static_cast<uint64_t>(model.figures->memory_bytes)), '*');
}

/// What a model is like that is not here, and how to get it; the command by itself, whole, to be copied.
void print_how_to_get(const ModelEntry& model, size_t width) {
    const std::string facts = model.missing.empty()
                                  ? concat(": ", format_bytes(model.bytes), ", ", model.licence, ", no login; ",
                                           describe_figures(model), ". Download it with")
                                  : " is incomplete, in " + model.folder.string() + ". Download it again with";
    print_result('\n' + wrap_words(model.name + facts, width, 2));
    print_result("  " + model.download_command);
}

/// A table that fits the terminal, and below it whole what would not.
void print_models_table(const std::vector<ModelEntry>& models) {
    std::vector<std::vector<std::string>> rows{
        {"model", "command", "size", "licence", "M2 it/s*", "M2 memory*", "where"}};
    for (const auto& model : models) {
        const auto& figures = model.figures;
        rows.push_back({model.name, model.command.empty() ? "not yet" : model.command, format_bytes(model.bytes),
                        model.licence.empty() ? "?" : model.licence,
                        figures ? format_significant(figures->m2_it_per_s, 2) : "not measured",
                        figures ? format_bytes(static_cast<uint64_t>(figures->memory_bytes)) : "not measured",
                        where(model)});
    }
    const auto width = terminal_width(STDOUT_FILENO);
    print_result(width ? fit_table(rows, *width, {"licence", "M2 memory*", "M2 it/s*", "size"}) : format_table(rows));
    const size_t line_width = width.value_or(SIZE_MAX);
    print_result(wrap_words("* quoted from the study (MacBook M2, 16 GB), not measured here", line_width, 2));
    bool any_to_get = false;
    for (const auto& model : models) {
        if (!model.download_command.empty()) print_how_to_get(model, line_width);
        any_to_get = any_to_get || !model.download_command.empty();
        if (!model.note.empty()) print_result('\n' + wrap_words(model.note, line_width, 2));
    }
    if (any_to_get)
        print_result('\n' + wrap_words("Or put a model's files into a folder of its name below models/, as "
                                       "models/ddpm-cat-256/.",
                                       line_width, 2));
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
