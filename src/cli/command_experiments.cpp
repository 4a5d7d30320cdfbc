// The commands that make pictures: `diffapple ddpm | sd15 | sdxl-turbo | sd2-inpaint`. Their options are the table of
// settings (recipes/settings.h).
#include <CLI/CLI.hpp>
#include <memory>

#include "diffapple/cli/commands.h"
#include "diffapple/cli/progress.h"
#include "diffapple/cli/prompt_loop.h"
#include "diffapple/experiments/run.h"
#include "diffapple/recipes/jobs.h"
#include "diffapple/recipes/settings.h"

namespace diffapple {
namespace {

/// The options as typed.
struct Options {
    explicit Options(const StudyExperiment& experiment) : study(experiment) {
        for (const Setting& row : settings())
            if (row.applies_to(study)) given.push_back({.setting = &row});
    }

    const StudyExperiment& study;
    std::vector<GivenOption> given;  ///< those that were typed have texts
    Verbosity verbosity;
};

/// The jobs of a file of prompts, or of prompts with lists in them.
void read_jobs(const StudyExperiment& study, const std::vector<GivenOption>& given, RunSettings& settings) {
    if (settings.prompts_file) {
        const std::string where = "--prompts " + *settings.prompts_file;
        add_jobs(settings, study, given, find_prompt_lines(read_prompts(*settings.prompts_file), where), where);
    } else if (settings.wildcards) {
        std::vector<PromptLine> lines;
        for (const auto& prompt : settings.batch.prompts)
            lines.push_back({.place = concat("prompt ", lines.size() + 1), .text = prompt});
        add_jobs(settings, study, given, lines, "--prompt");
    }
}

void run(const Options& options) {
    std::vector<GivenOption> given = options.given;
    std::erase_if(given, [](const GivenOption& option) { return option.texts.empty(); });
    ConsoleReporter reporter(options.verbosity);
    RunSettings settings = read_run(options.study, given);
    if (!settings.drawn_seeds.empty()) reporter.note("drawn: --seed " + settings.drawn_seeds);
    read_jobs(options.study, given, settings);
    Experiment experiment(options.study, std::move(settings));
    if (experiment.run().interactive)
        run_interactive(experiment, reporter);
    else
        run_experiment(experiment, reporter);
}

void add_option(CLI::App* command, const StudyExperiment& study, GivenOption& given) {
    const Setting& row = *given.setting;
    CLI::Option* option = nullptr;
    std::string help = row.help;
    if (const std::string usual = row.usual ? row.usual(study) : ""; !usual.empty()) help += " [" + usual + "]";
    if (row.value.empty()) {
        option = command->add_flag_callback(
            row.option, [&given] { given.texts = {"true"}; }, help);
    } else {
        option = command->add_option(row.option, given.texts, help)->option_text(row.value);
        option->allow_extra_args(row.value.ends_with("..."));  // as a shell writes a pattern out: a.jpg b.jpg
    }
    option->group(topic_title(row.topic));
}

void add_command(CLI::App& app, const StudyExperiment& study) {
    CLI::App* const command = app.add_subcommand(study.name, study.description);
    const auto options = std::make_shared<Options>(study);
    for (GivenOption& given : options->given) add_option(command, study, given);
    add_verbosity_options(command, options->verbosity, "One JSON object per picture on stdout");
    command->callback([options] { run(*options); });
}

}  // namespace

void add_experiment_commands(CLI::App& app) {
    for (const StudyExperiment& study : study_experiments()) add_command(app, study);
}

}  // namespace diffapple
