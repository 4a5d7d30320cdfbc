// The commands that make pictures, one for each experiment of the study. Their options are the same where their
// experiments have the same settings.
#include <CLI/CLI.hpp>
#include <limits>
#include <memory>

#include "diffapple/cli/commands.h"
#include "diffapple/cli/lists.h"
#include "diffapple/cli/progress.h"
#include "diffapple/cli/prompt_loop.h"
#include "diffapple/core/error.h"
#include "diffapple/core/text.h"
#include "diffapple/experiments/experiment.h"
#include "diffapple/recipes/output_names.h"
#include "diffapple/schedulers/scheduler.h"
#include "diffapple/text/utf8.h"

namespace diffapple {
namespace {

int64_t parse_one(const std::string& option, const std::string& text, int64_t minimum, int64_t maximum) {
    const auto values = parse_integers(option, text, minimum, maximum);
    if (values.size() != 1) fail_usage(option, ": takes one number");
    return values.front();
}

/// "2/8": the second of eight parts.
Shard parse_shard(const std::string& text) {
    constexpr int64_t max_shards = 100'000;
    const size_t slash = text.find('/');
    if (slash == std::string::npos || text.find_first_not_of("0123456789/") != std::string::npos)
        fail_usage("--shard '", text, "': expected I/N, as 1/8 to 8/8");
    Shard shard;
    shard.count = parse_one("--shard", text.substr(slash + 1), 1, max_shards);
    shard.number = parse_one("--shard", text.substr(0, slash), 1, shard.count);
    return shard;
}

/// The options as typed.
struct Options {
    explicit Options(const StudyExperiment& experiment_kind)
        : kind(experiment_kind),
          steps(std::to_string(experiment_kind.steps)),
          guidance(python_float(experiment_kind.guidance)) {}

    const StudyExperiment& kind;
    RunSettings settings;
    Verbosity verbosity;
    std::string model, seeds = "42", steps, schedulers, batch_size = "1", width, height;
    std::string guidance, negative_prompt, prompt_2, negative_prompt_2, clip_skip = "0", guidance_rescale = "0",
                                                                        eta = "0";
    std::string weights = "as-is", vae_tiling = "auto", safety, strengths, mask_blur = "0", padding_mask_crop;
    std::string original_size, target_size, crop;
    std::optional<std::string> prompts_file;
    bool interactive = false;
    std::vector<std::string> prompts;
    std::string shard, sheet = "on";

    bool reads_prompts() const { return interactive || prompts_file; }
};

int64_t parse_size(const std::string& option, const std::string& text) {
    constexpr int64_t max_size = 16384;
    return parse_one(option, text, 1, max_size);
}

double parse_fraction(const std::string& option, const std::string& text) {
    const auto values = parse_numbers(option, text, 0, 1);
    if (values.size() != 1) fail_usage(option, ": takes one number");
    return values.front();
}

std::optional<bool> parse_tiling(const std::string& text) {
    const auto choices = parse_choices("--vae-tiling", text, {"auto", "on", "off"});
    if (choices.size() != 1) fail_usage("--vae-tiling: takes one of auto, on and off");
    return choices.front() == "auto" ? std::nullopt : std::optional(choices.front() == "on");
}

WeightStorage parse_weights(const std::string& text) {
    const auto choices = parse_choices("--weights", text, {"as-is", "int8"});
    if (choices.size() != 1) fail_usage("--weights: takes one of as-is and int8");
    return choices.front() == "int8" ? WeightStorage::int8 : WeightStorage::as_is;
}

/// "1024x768" or "64,0".
std::optional<PixelPair> parse_pair(const std::string& option, const std::string& text, char separator,
                                    int64_t minimum) {
    if (text.empty()) return std::nullopt;
    constexpr int64_t max_size = 16384;
    const size_t middle = text.find(separator);
    if (middle == std::string::npos) fail_usage(option, " '", text, "': takes two numbers as in 64", separator, "64");
    return PixelPair{parse_one(option, text.substr(0, middle), minimum, max_size),
                     parse_one(option, text.substr(middle + 1), minimum, max_size)};
}

/// Prompts that are read later: each is a run of its own, which one file of latents does not suit.
void check_read_prompts(const Options& options) {
    if (!options.reads_prompts()) return;
    const char* const option = options.interactive ? "--interactive" : "--prompts";
    if (options.interactive && options.prompts_file)
        fail_usage("--interactive and --prompts: give one of them; --prompts - reads stdin");
    if (!options.prompts.empty()) fail_usage(option, " and --prompt: give one of them");
    if (!options.settings.latents.empty() || !options.settings.save_latents.empty())
        fail_usage(option, ": --latents and --save-latents take one batch");
}

void read_prompt_options(const Options& options, const CLI::App& command, RunSettings& settings) {
    constexpr double max_guidance = 1000;
    constexpr int64_t max_clip_skip = 100;
    settings.guidance = parse_numbers("--guidance", options.guidance, 0, max_guidance);
    for (const auto& prompt : options.prompts) settings.prompts.push_back(valid_utf8(prompt));
    check_read_prompts(options);
    if (options.reads_prompts()) {
        settings.prompts = {""};
        settings.keep_loaded = true;
    }
    settings.original_size = parse_pair("--original-size", options.original_size, 'x', 1);
    settings.target_size = parse_pair("--target-size", options.target_size, 'x', 1);
    settings.crop = parse_pair("--crop", options.crop, ',', 0);
    if (command.count("--negative-prompt") > 0) settings.negative_prompt = valid_utf8(options.negative_prompt);
    if (settings.prompts.empty()) {
        settings.prompts = options.kind.prompts;
        if (!settings.negative_prompt) settings.negative_prompt = options.kind.negative_prompt;
    }
    if (command.count("--prompt-2") > 0) settings.prompt_2 = valid_utf8(options.prompt_2);
    if (command.count("--negative-prompt-2") > 0) settings.negative_prompt_2 = valid_utf8(options.negative_prompt_2);
    if (command.count("--safety") > 0)
        settings.safety = parse_choices("--safety", options.safety, {"on", "off"}).front() == "on";
    settings.guidance_rescale = parse_fraction("--guidance-rescale", options.guidance_rescale);
    settings.eta = parse_fraction("--eta", options.eta);
    settings.weights = parse_weights(options.weights);
    settings.vae_tiling = parse_tiling(options.vae_tiling);
    settings.clip_skip = parse_one("--clip-skip", options.clip_skip, 0, max_clip_skip);
}

void read_image_options(const Options& options, const CLI::App& command, RunSettings& settings) {
    constexpr double max_blur = 1000;
    constexpr int64_t max_padding = 16384;
    if (command.count("--strength") > 0) settings.strengths = parse_numbers("--strength", options.strengths, 0, 1);
    const auto blur = parse_numbers("--mask-blur", options.mask_blur, 0, max_blur);
    if (blur.size() != 1) fail_usage("--mask-blur: takes one number");
    settings.mask_blur = blur.front();
    if (command.count("--padding-mask-crop") > 0)
        settings.padding_mask_crop = parse_one("--padding-mask-crop", options.padding_mask_crop, 0, max_padding);
}

RunSettings read_settings(const Options& options, const CLI::App& command) {
    RunSettings settings = options.settings;
    if (command.count("--model") > 0) settings.model = options.model;
    settings.seeds.clear();
    for (const int64_t seed : parse_integers("--seed", options.seeds, 0, std::numeric_limits<int64_t>::max()))
        settings.seeds.push_back(static_cast<uint64_t>(seed));
    settings.steps = parse_integers("--steps", options.steps, 1, 100'000);
    if (command.count("--scheduler") > 0)
        settings.schedulers = parse_choices("--scheduler", options.schedulers, scheduler_names());
    settings.batch_size = parse_size("--batch-size", options.batch_size);
    settings.sheet = options.sheet == "on";
    if (command.count("--shard") > 0) settings.shard = parse_shard(options.shard);
    if (command.count("--width") > 0) settings.width = parse_size("--width", options.width);
    if (command.count("--height") > 0) settings.height = parse_size("--height", options.height);
    if (options.kind.has_prompts()) {
        read_prompt_options(options, command, settings);
        read_image_options(options, command, settings);
    }
    return settings;
}

void run(const Options& options, const CLI::App& command) {
    ConsoleReporter reporter(options.verbosity);
    const auto experiment = open_experiment(options.kind, read_settings(options, command));
    if (options.interactive)
        run_interactive(*experiment, reporter);
    else if (options.prompts_file)
        run_prompts_of_file(*options.prompts_file, *experiment, reporter);
    else
        run_experiment(*experiment, reporter);
}

void add_prompt_options(CLI::App* command, Options& options) {
    command->add_option("--prompt", options.prompts, "What to show; may be repeated [the study's prompts]")
        ->allow_extra_args(false);
    command->add_option("--prompts", options.prompts_file, "File of prompts, one a line, - for stdin; each is a run");
    command->add_flag("--interactive", options.interactive, "Read prompts from stdin, with the models loaded once");
    command->add_option("--negative-prompt", options.negative_prompt,
                        "What not to show [of the study's prompts: the study's; else empty]");
    command->add_option("--guidance", options.guidance, "Guidance scales: 0,2,4,8; up to 1: none")
        ->capture_default_str();
    command->add_option("--guidance-rescale", options.guidance_rescale, "Rescaling of guidance, 0 to 1")
        ->capture_default_str();
    command->add_option("--clip-skip", options.clip_skip, "Last layers of the text encoder to leave out")
        ->capture_default_str();
    command->add_option("--weights", options.weights, "Of UNet and text encoders: as-is, or int8 (less memory)")
        ->capture_default_str();
    command->add_option("--vae-tiling", options.vae_tiling, "auto (where memory is short), on or off")
        ->capture_default_str();
    command->add_option("--eta", options.eta, "Noise of DDIM, 0 to 1")->capture_default_str();
    command->add_option("--safety", options.safety, "on or off: the model's safety checker [on where it has one]");
    command->add_option("--original-size", options.original_size, "SDXL's conditioning: WxH [the picture's]");
    command->add_option("--target-size", options.target_size, "SDXL's conditioning: WxH [the picture's]");
    command->add_option("--crop", options.crop, "SDXL's conditioning: X,Y of the crop's corner [0,0]");
    command->add_option("--prompt-2", options.prompt_2, "For the second text encoder (SDXL) [--prompt]");
    command->add_option("--negative-prompt-2", options.negative_prompt_2,
                        "For the second text encoder (SDXL) [--negative-prompt]");
}

void add_image_options(CLI::App* command, Options& options) {
    RunSettings& settings = options.settings;
    command->add_option("--image", settings.image, "Picture to start from (PNG, JPEG, BMP)");
    command->add_option("--mask", settings.mask, "What of it to paint anew: white");
    command->add_option("--strength", options.strengths, "How far to leave the picture: 0.5,0.8; at most 1");
    command->add_option("--mask-blur", options.mask_blur, "Blur of the mask, in pixels")->capture_default_str();
    command->add_option("--padding-mask-crop", options.padding_mask_crop,
                        "Paint only the mask's surroundings, so many pixels wide, at full size");
    command->add_flag("--keep-unmasked", settings.keep_unmasked, "Put back the very pixels outside the mask");
}

void add_command(CLI::App& app, const StudyExperiment& kind) {
    CLI::App* const command = app.add_subcommand(kind.name, kind.description);
    const auto options = std::make_shared<Options>(kind);
    RunSettings& settings = options->settings;
    command->add_option("--model", options->model, "Folder, name under models/ or Hub id [" + kind.model() + "]");
    command->add_option("--device", settings.device, "auto, mps, cuda, cuda:N or cpu")->capture_default_str();
    command->add_option("--dtype", settings.dtype, "auto, fp32, fp16 or bf16")->capture_default_str();
    if (kind.has_prompts()) {
        add_prompt_options(command, *options);
        add_image_options(command, *options);
    }
    command->add_option("--seed", options->seeds, "Seeds: 0,2,4 or 0..3")->capture_default_str();
    command->add_option("--steps", options->steps, "Numbers of steps: 100 or 50,100")->capture_default_str();
    const std::string schedulers = join(scheduler_names(), ", ");
    command->add_option(
        "--scheduler", options->schedulers,
        "Samplers: " + schedulers + " [" + (kind.scheduler.empty() ? "the checkpoint's own" : kind.scheduler) + "]");
    command
        ->add_option("--batch-size", options->batch_size,
                     kind.has_prompts() ? "Pictures of each prompt" : "Pictures made together")
        ->capture_default_str();
    command->add_option("--width", options->width, "Width of a picture [the model's]");
    command->add_option("--height", options->height, "Height of a picture [the model's]");
    command->add_option("--out", settings.out, "Folder of all results")->capture_default_str();
    command->add_flag("--force", settings.force, "Make pictures that exist, replace those of other recipes");
    command->add_flag("--keep-loaded", settings.keep_loaded,
                      "Keep all components in memory after their use (a model of one component always is)");
    command->add_option("--shard", options->shard, "Part I of N of a sweep, as 1/8: every N-th batch, for job arrays");
    command->add_option("--sheet", options->sheet, "on or off: a contact sheet at the end of a sweep")
        ->check(CLI::IsMember({"on", "off"}))
        ->capture_default_str();
    command->add_option("--latents", settings.latents, "Start noise (safetensors, fp32, tensor `latents`)");
    command->add_option("--save-latents", settings.save_latents, "Where the final sample goes (safetensors)");
    command->add_flag("--json", options->verbosity.json, "One JSON object per picture on stdout");
    command->add_flag("--verbose", options->verbosity.verbose, "Say more on stderr");
    command->add_flag("--quiet", options->verbosity.quiet, "Say only errors on stderr");
    command->callback([options, command] { run(*options, *command); });
}

}  // namespace

void add_experiment_commands(CLI::App& app) {
    for (const auto& experiment : study_experiments()) add_command(app, experiment);
}

}  // namespace diffapple
