// `diffapple ddpm`: unconditional pictures.
#include <CLI/CLI.hpp>
#include <limits>
#include <memory>

#include "diffapple/cli/commands.h"
#include "diffapple/cli/lists.h"
#include "diffapple/cli/progress.h"
#include "diffapple/core/error.h"
#include "diffapple/experiments/ddpm_experiment.h"
#include "diffapple/schedulers/scheduler.h"

namespace diffapple {
namespace {

/// The options as typed.
struct Options {
    DDPMSettings settings;
    Verbosity verbosity;
    std::string model, seeds = "42", steps = "100", schedulers, batch_size = "1", width, height;
};

int64_t parse_size(const std::string& option, const std::string& text) {
    constexpr int64_t max_size = 16384;
    const auto values = parse_integers(option, text, 1, max_size);
    if (values.size() != 1) fail_usage(option, ": takes one number");
    return values.front();
}

void run(const Options& options, const CLI::App& command) {
    DDPMSettings settings = options.settings;
    if (command.count("--model") > 0) settings.model = options.model;
    settings.seeds.clear();
    for (const int64_t seed : parse_integers("--seed", options.seeds, 0, std::numeric_limits<int64_t>::max()))
        settings.seeds.push_back(static_cast<uint64_t>(seed));
    settings.steps = parse_integers("--steps", options.steps, 1, 100'000);
    if (command.count("--scheduler") > 0)
        settings.schedulers = parse_choices("--scheduler", options.schedulers, scheduler_names());
    settings.batch_size = parse_size("--batch-size", options.batch_size);
    if (command.count("--width") > 0) settings.width = parse_size("--width", options.width);
    if (command.count("--height") > 0) settings.height = parse_size("--height", options.height);
    ConsoleReporter reporter(options.verbosity);
    run_ddpm(settings, reporter);
}

}  // namespace

void add_ddpm_command(CLI::App& app) {
    CLI::App* const command = app.add_subcommand("ddpm", "Make unconditional pictures (google/ddpm-cat-256)");
    const auto options = std::make_shared<Options>();
    DDPMSettings& settings = options->settings;
    command->add_option("--model", options->model, "Folder, name under models/ or Hub id [google/ddpm-cat-256]");
    command->add_option("--device", settings.device, "auto, mps, cuda, cuda:N or cpu")->capture_default_str();
    command->add_option("--dtype", settings.dtype, "auto, fp32, fp16 or bf16")->capture_default_str();
    command->add_option("--seed", options->seeds, "Seeds: 0,2,4 or 0..3")->capture_default_str();
    command->add_option("--steps", options->steps, "Numbers of steps: 100 or 50,100")->capture_default_str();
    command->add_option("--scheduler", options->schedulers, "Schedulers [the checkpoint's own]");
    command->add_option("--batch-size", options->batch_size, "Pictures made together")->capture_default_str();
    command->add_option("--width", options->width, "Width of a picture [the model's]");
    command->add_option("--height", options->height, "Height of a picture [the model's]");
    command->add_option("--out", settings.out, "Folder of all results")->capture_default_str();
    command->add_flag("--force", settings.force, "Make pictures that exist, replace those of other recipes");
    command->add_option("--latents", settings.latents, "Start noise (safetensors, fp32, tensor `latents`)");
    command->add_option("--save-latents", settings.save_latents, "Where the final sample goes (safetensors)");
    command->add_flag("--json", options->verbosity.json, "One JSON object per picture on stdout");
    command->add_flag("--verbose", options->verbosity.verbose, "Say more on stderr");
    command->add_flag("--quiet", options->verbosity.quiet, "Say only errors on stderr");
    command->callback([options, command] { run(*options, *command); });
}

}  // namespace diffapple
