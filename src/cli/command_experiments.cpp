// The commands that make pictures: `diffapple ddpm | sd15 | sdxl-turbo | sd2-inpaint`. Their options are the table of
// settings (recipes/settings.h).
#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "diffapple/cli/commands.h"
#include "diffapple/cli/options.h"
#include "diffapple/cli/progress.h"
#include "diffapple/cli/prompt_loop.h"
#include "diffapple/core/error.h"
#include "diffapple/core/text.h"
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
        std::stable_sort(given.begin(), given.end(), [](const GivenOption& a, const GivenOption& b) {
            return a.setting->topic < b.setting->topic;  // as help shows them
        });
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
    std::stable_sort(given.begin(), given.end(),  // as the table has them
                     [](const GivenOption& a, const GivenOption& b) { return a.setting < b.setting; });
    ConsoleReporter reporter(options.verbosity);
    RunSettings settings = read_run(options.study, given);
    if (!settings.drawn_seeds.empty()) reporter.note("drawn: --seed " + settings.drawn_seeds);
    read_jobs(options.study, given, settings);
    Experiment experiment(options.study, std::move(settings));
    experiment.explain_model(reporter);
    experiment.explain_unused(given, reporter);
    if (experiment.run().interactive)
        run_interactive(experiment, reporter);
    else
        run_experiment(experiment, reporter);
}

void add_option(CLI::App* command, const StudyExperiment& study, GivenOption& given) {
    const Setting& row = *given.setting;
    CLI::Option* option = nullptr;
    std::vector<std::string> names{row.option};  // the first is the one that help shows
    names.insert(names.end(), row.aliases.begin(), row.aliases.end());
    if (row.value.empty()) {
        option = command->add_flag_callback(
            join(names, ","), [&given] { given.texts = {"true"}; }, row.help);
    } else {
        option = with_value(command->add_option(join(names, ","), given.texts, row.help), row.value);
        option->allow_extra_args(row.value.ends_with("..."));  // as a shell writes a pattern out: a.jpg b.jpg
        if (row.usual) option->default_str(row.usual(study));
    }
    option->group(row.is_for(study) ? topic_title(row.topic) : "");
}

void add_command(CLI::App& app, const StudyExperiment& study) {
    CLI::App* const command = app.add_subcommand(study.name, study.description);
    const auto options = std::make_shared<Options>(study);
    for (GivenOption& given : options->given) add_option(command, study, given);
    add_verbosity_options(command, options->verbosity, "One JSON object per picture on stdout");
    add_show_option(command, options->verbosity);
    add_examples(command, study.examples);
    command->footer(
        command->get_footer() +
        "\n\nEnvironment:\n  DIFFAPPLE_<OPTION>, as DIFFAPPLE_DEVICE: a default (`diffapple devices --verbose`)\n"
        "  HF_HUB_CACHE, HF_HOME: where the Hub cache is; NO_COLOR: no colours");
    command->callback([options] { run(*options); });
}

}  // namespace

void add_experiment_commands(CLI::App& app) {
    for (const StudyExperiment& study : study_experiments()) add_command(app, study);
}

}  // namespace diffapple
