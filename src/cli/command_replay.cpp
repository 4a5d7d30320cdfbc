// `diffapple replay FILE`: makes a picture again from its recipe and compares the two.
#include <CLI/CLI.hpp>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "diffapple/cli/commands.h"
#include "diffapple/cli/options.h"
#include "diffapple/cli/output.h"
#include "diffapple/cli/progress.h"
#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"
#include "diffapple/experiments/replay.h"
#include "diffapple/io/files.h"
#include "diffapple/recipes/picture_file.h"

namespace diffapple {
namespace {

using nlohmann::json;

struct Options {
    ReplaySettings settings;
    Verbosity verbosity;
    std::string model, device, dtype;
    std::filesystem::path save;
    Variation variation;
};

json to_json(const std::string& file, const Replay& replay) {
    const PictureDifference& d = replay.difference;
    return {{"file", file},
            {"id", replay.recipe.id()},
            {"same", replay.same()},
            {"bar", describe_bar(replay.bar)},
            {"largest_difference", d.largest},
            {"equal_share", d.equal_share},
            {"psnr_db", std::isfinite(d.psnr_db) ? json(d.psnr_db) : json()}};
}

std::string describe(const std::string& file, const Replay& replay) {
    const PictureDifference& d = replay.difference;
    return concat(file, ": ", replay.same() ? "the same picture" : "differs", ": largest difference ", d.largest,
                  " of 255, ", format_percent(d.equal_share, 4), " of the values equal, ",
                  std::isfinite(d.psnr_db) ? "PSNR " + format_fixed(d.psnr_db, 1) + " dB" : "identical",
                  " (wanted: ", describe_bar(replay.bar), ")");
}

void run(const Options& options, const CLI::App& command) {
    ReplaySettings settings = options.settings;
    if (command.count("--model") > 0) settings.model = options.model;
    if (command.count("--device") > 0) settings.device = options.device;
    if (command.count("--dtype") > 0) settings.dtype = options.dtype;
    const std::string file = settings.picture.string();
    if (!options.save.empty() && is_there(options.save))
        fail("--save ", options.save.string(), ": exists; give another name");
    ConsoleReporter reporter(options.verbosity);
    if (!options.variation.changes.empty()) {
        if (!options.save.empty()) fail_usage("--set and --save: what is changed goes to its usual place; use --out");
        return make_variation(settings, options.variation, reporter);
    }
    for (const char* const option : {"--out", "--force"})
        if (command.count(option) > 0) fail_usage(option, ": belongs to --set");
    const Replay replay = replay_picture(settings, reporter);
    if (!options.save.empty()) {
        remove_stale_temporary_files(std::filesystem::absolute(options.save).parent_path());
        save_picture(options.save, replay.image, replay.recipe);
    }
    options.verbosity.json ? print_json(to_json(file, replay)) : print_result(describe(file, replay));
    if (!replay.same())
        throw Error(file + ": the picture made again differs from the file; `diffapple selftest` checks this machine",
                    ExitCode::differs);
}

}  // namespace

void add_replay_command(CLI::App& app) {
    CLI::App* const command = app.add_subcommand("replay", "Make a picture again from its recipe, and compare");
    const auto options = std::make_shared<Options>();
    ReplaySettings& settings = options->settings;
    with_value(command->add_option("FILE", settings.picture, "A picture made by this program"), "FILE")->required();
    with_value(command->add_option("-m,--model", options->model, "Its model [as the recipe names it]"), "ID|DIR|FILE");
    with_value(command->add_option("--config", settings.parts.config, "The configs that it was made with"), "ID|DIR");
    with_value(command->add_option("--vae", settings.parts.vae, "The other VAE that it was made with"), "FILE|DIR");
    with_value(command->add_option("--device", options->device, "Where to compute [as made, where it is here]"),
               "auto|mps|cuda|cpu");
    with_value(command->add_option("--dtype", options->dtype, "Precision [as made]"), "auto|fp32|fp16|bf16");
    with_value(command->add_option("-i,--image", settings.image, "The picture that it was made from"), "FILE");
    with_value(command->add_option("--mask", settings.mask, "The mask that it was made with"), "FILE");
    with_value(command->add_option("--latents", settings.latents, "The start noise that it was made from"), "FILE");
    with_value(command->add_option("--save", options->save, "Where the new picture goes"), "FILE");
    Variation& variation = options->variation;
    with_value(command->add_option("--set", variation.changes, "Make it with this changed, as guidance=4; repeatable"),
               "NAME=VALUE")
        ->allow_extra_args(false);
    with_value(command->add_option("--out", variation.out, "With --set: folder of the results [out]"), "DIR");
    command->add_flag("--force", variation.force, "With --set: replace pictures of other recipes");
    add_examples(command,
                 {"replay out/ddpm_cat/uncond/seed0_i0_n100.png",
                  "replay picture.png --image photo.jpg --save again.png", "replay picture.png --set guidance=4"});
    add_verbosity_options(command, options->verbosity, "One JSON object on stdout");
    command->callback([options, command] { run(*options, *command); });
}

}  // namespace diffapple
