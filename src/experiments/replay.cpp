#include "diffapple/experiments/replay.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <tuple>

#include "diffapple/core/device.h"
#include "diffapple/core/error.h"
#include "diffapple/core/text.h"
#include "diffapple/experiments/run.h"
#include "diffapple/io/image.h"
#include "diffapple/io/picture_encoding.h"
#include "diffapple/io/picture_info.h"
#include "diffapple/io/sha256.h"
#include "diffapple/models/checkpoint.h"
#include "diffapple/recipes/jobs.h"
#include "diffapple/recipes/picture_file.h"
#include "diffapple/recipes/settings.h"

namespace diffapple {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

/// The run that a recipe describes, and the picture's place in it.
struct RecipeRun {
    const StudyExperiment& study;
    RunSettings run;  ///< of one batch; files are known by their digests alone
    int64_t index;
};

/// Reads a recipe as a stranger's text: every value is checked and bounded.
RecipeRun read_recipe_run(const Recipe& recipe, const std::string& where) {
    const JsonFields determining(recipe.determining, where);
    const auto& study = find_study_experiment(determining.choice("experiment", study_experiment_names()));
    RecipeRun found{.study = study, .run = {.batch = restore_settings(determining, study)}, .index = 0};
    found.index = determining.object("settings").integer("index", 0, found.run.batch.pictures() - 1);
    return found;
}

/// The recipe's device and dtype where this machine has them and the user names no others.
void choose_device(const ReplaySettings& wanted, BatchSettings& settings, Reporter& reporter) {
    const std::string made_on = settings.device, made_in = settings.dtype;
    settings.device = wanted.device.value_or(made_on);
    if (!wanted.device) {
        try {
            find_device(settings.device);
        } catch (const Error&) {
            reporter.note("the picture was made on " + made_on + ", which this machine lacks: another device is used");
            settings.device = "auto";
        }
    }
    const bool same_device = c10::DeviceTypeName(find_device(settings.device).type(), /*lower_case=*/true) == made_on;
    settings.dtype = wanted.dtype.value_or(same_device ? made_in : "auto");
}

/// A recipe's model is a name; a stranger's recipe must not lead to a folder of its choice.
std::string model_of(const ReplaySettings& wanted, const std::string& name) {
    if (wanted.model) return *wanted.model;
    const auto found = find_named_checkpoint(name);
    if (!found)
        fail(wanted.picture.string(), ": its model '", name, "' is neither under models/ nor in the Hub cache",
             describe_search(), "; give its place with --model");
    return found->place().string();
}

/// A file that a picture was made from must be given, and be the same one; else none may be given.
void take_input(const std::string& where, const std::string& option, const fs::path& given, InputFile& input) {
    if (!input.given() && !given.empty()) fail_usage(option, ": ", where, " was made without one");
    if (input.given() && given.empty())
        fail_usage(where, ": was made from a file that must be given again, with ", option, " FILE (its sha256 is ",
                   input.sha256, ")");
    if (!input.given()) return;
    if (const std::string found = sha256_of_file(given); found != input.sha256)
        fail(option, " ", given.string(), ": is not the file that ", where, " was made from: its sha256 is ", found,
             " instead of ", input.sha256);
    input.path = given;
}

/// Parts of other models are known by their names, which lead nowhere.
void take_part(const std::string& where, const std::string& option, const std::string& given, std::string& part) {
    if (part.empty() && !given.empty()) fail_usage(option, ": ", where, " was made without it");
    if (!part.empty() && given.empty())
        fail_usage(where, ": was made with ", option, ' ', quote(part), ", which must be given again");
    part = given;
}

/// Only a crop is put back into a picture of another size than the one that is computed.
void require_own_size(const std::string& where, const PngInfo& png, const BatchSettings& settings) {
    const auto [width, height] = settings.size();
    if (settings.padding_mask_crop || (png.width == width && png.height == height)) return;
    const bool comparison = !settings.prompts.empty() && png.width == 3 * width && png.height == height;
    fail(where, ": is ", png.width, "x", png.height, ", but its recipe is that of a picture of ", width, "x", height,
         comparison ? " (it shows image, mask and result side by side); replay the picture without _comp in its name"
                    : "; it was changed since it was made");
}

/// Empty where a stranger's recipe has none.
json recorded_scheduler_config(const Recipe& recipe) {
    const auto config = "/scheduler/config"_json_pointer;
    return recipe.determining.contains(config) ? recipe.determining.at(config) : json::object();
}

/// What the two recipes must have in common: all but what the user set otherwise.
void require_same_recipe(const Recipe& original, Recipe made, const std::string& where) {
    for (const char* const key : {"device", "dtypes"}) made.determining[key] = original.determining.at(key);
    made.determining["model"]["name"] = original.determining.at("model").at("name");
    const std::string difference = describe_difference(original, made);
    if (difference.empty()) return;
    fail(where, ": cannot be made again with what is here: ", difference,
         "; give the model that it was made with by --model");
}

/// The run to make again: the recipe's, with the files and the places that the user names.
RecipeRun read_run(const ReplaySettings& wanted, const Recipe& original, const PngInfo& png, Reporter& reporter) {
    const std::string where = wanted.picture.string();
    RecipeRun found = read_recipe_run(original, where + ": recipe");
    BatchSettings& settings = found.run.batch;
    require_own_size(where, png, settings);
    take_input(where, "--image", wanted.image, settings.image);
    take_input(where, "--mask", wanted.mask, settings.mask);
    take_input(where, "--latents", wanted.latents, settings.latents);
    take_part(where, "--config", wanted.parts.config, settings.config);
    take_part(where, "--vae", wanted.parts.vae, settings.vae);
    settings.model = model_of(wanted, settings.model);
    choose_device(wanted, settings, reporter);
    return found;
}

ReplayBar choose_bar(const Placement& placement, const Recipe& original, const Recipe& made) {
    const bool exact = placement.device.is_cpu() && placement.dtype == c10::kFloat &&
                       made.determining.at("device") == original.determining.at("device") &&
                       made.determining.at("dtypes") == original.determining.at("dtypes");
    if (!exact) return ReplayBar::psnr;
    for (const char* const key : {"device_model", "threads", "libtorch", "diffapple"})
        if (made.known.value(key, json()) != original.known.value(key, json())) return ReplayBar::fidelity;
    return ReplayBar::equal_bytes;
}

}  // namespace

PictureDifference compare_pictures(const Image& one, const Image& other) {
    if (one.width != other.width || one.height != other.height || one.channels != other.channels)
        fail("the pictures have different sizes");
    PictureDifference difference;
    double squares = 0;
    size_t equal = 0;
    for (size_t i = 0; i < one.pixels.size(); ++i) {
        const int levels = std::abs(int{one.pixels[i]} - int{other.pixels[i]});
        difference.largest = std::max(difference.largest, levels);
        equal += levels == 0;
        squares += static_cast<double>(levels) * levels;
    }
    const auto count = static_cast<double>(one.pixels.size());
    difference.equal_share = static_cast<double>(equal) / count;
    constexpr double white = 255;
    difference.psnr_db =
        squares == 0 ? std::numeric_limits<double>::infinity() : 10 * std::log10(white * white * count / squares);
    return difference;
}

bool meets(const PictureDifference& difference, ReplayBar bar) {
    constexpr double equal_share = 0.999, least_psnr_db = 30;
    switch (bar) {
        case ReplayBar::equal_bytes:
            return difference.largest == 0;
        case ReplayBar::fidelity:
            return difference.largest <= 1 && difference.equal_share >= equal_share;
        case ReplayBar::psnr:
            return difference.psnr_db >= least_psnr_db;
    }
    return false;
}

std::string describe_bar(ReplayBar bar) {
    switch (bar) {
        case ReplayBar::equal_bytes:
            return "equal values, as on the same machine with the same settings";
        case ReplayBar::fidelity:
            return "within 1 level and 99.9% of the values equal, as on the CPU in fp32";
        case ReplayBar::psnr:
            return "at least 30 dB, as between devices and dtypes";
    }
    return "";
}

Replay replay_picture(const ReplaySettings& wanted, Reporter& reporter) {
    const std::string where = wanted.picture.string();
    const PngInfo png = read_picture_info(wanted.picture);
    const auto original = find_recipe(png, wanted.picture);
    if (!original) fail(where, ": has no recipe; only pictures made by this program can be made again");
    RecipeRun found = read_run(wanted, *original, png, reporter);
    Experiment experiment(found.study, std::move(found.run));
    experiment.keep_recorded_scheduler(recorded_scheduler_config(*original));
    const BatchSettings batch = experiment.batch(0);
    Recipe recipe = experiment.recipe(batch, found.index);
    require_same_recipe(*original, recipe, where);
    recipe.determining["model"]["name"] = original->determining.at("model").at("name");  // here it is a folder's

    const Image original_image = to_rgb(read_image(wanted.picture));  // before the work: it may be damaged
    reporter.begin_run(1, experiment.new_scheduler(batch)->timesteps().size());
    const BatchProgress progress(reporter, batch);
    const Denoised denoised = experiment.denoise(batch, reporter);
    FinishedPictures finished = experiment.finish(batch, denoised, reporter);
    experiment.record_what_is_known(denoised, recipe);
    Replay replay{.image = std::move(finished.images[static_cast<size_t>(found.index)]), .recipe = recipe};
    const Image& remade = replay.image;
    replay.difference = compare_pictures(original_image, to_rgb(as_stored(wanted.picture, remade)));
    replay.bar = choose_bar(experiment.placement(), *original, recipe);
    return replay;
}

namespace {

void apply_change(RecipeRun& found, const GivenOption& change, FileDigests& digests) {
    BatchSettings& settings = found.run.batch;
    if (change.setting->option == "--prompt") {  // its own; the others of its batch stay, and so does its noise
        settings.prompts.at(static_cast<size_t>(found.index / settings.batch_size)) = change.texts.front();
        return;
    }
    if (change.setting->option == "--size") settings.width = settings.height = std::nullopt;
    apply_options(found.run, {change}, digests);
    identify_inputs(found.run, digests);
}

std::vector<GivenOption> read_changes(const std::vector<std::string>& texts, const StudyExperiment& study) {
    std::vector<GivenOption> changes;
    for (const std::string& text : texts) {
        changes.push_back(read_change(text, study));
        const Setting* const last = changes.back().setting;
        for (size_t i = 0; i + 1 < changes.size(); ++i)
            if (changes[i].setting == last) fail_usage("--set ", text, ": ", last->option, " is given twice");
    }
    return changes;
}

void require_same_weights(const Recipe& original, const Recipe& made, const std::string& where) {
    const auto weights = "/model/weights"_json_pointer;
    if (current_weights(original, made) == made.determining.at(weights)) return;
    fail(where, ": the model here has other weights than the one that it was made with; give that by --model");
}

}  // namespace

void make_variation(const ReplaySettings& wanted, const Variation& variation, Reporter& reporter) {
    const std::string where = wanted.picture.string();
    const PngInfo png = read_picture_info(wanted.picture);
    const auto original = find_recipe(png, wanted.picture);
    if (!original) fail(where, ": has no recipe; only pictures made by this program can be made again");
    RecipeRun found = read_recipe_run(*original, where + ": recipe");
    FileDigests digests;
    const std::vector<GivenOption> changes = read_changes(variation.changes, found.study);
    for (const GivenOption& change : changes) apply_change(found, change, digests);
    BatchSettings& settings = found.run.batch;
    for (const auto& [option, given, file] : {std::tuple{"--image", &wanted.image, &settings.image},
                                              {"--mask", &wanted.mask, &settings.mask},
                                              {"--latents", &wanted.latents, &settings.latents}})
        if (file->path.empty()) take_input(where, option, *given, *file);
    model_of(wanted, settings.model);  // throws where there is none of this name
    settings.model = wanted.model.value_or(settings.model);
    choose_device(wanted, settings, reporter);
    found.run.out = variation.out;
    found.run.force = variation.force;
    Experiment experiment(found.study, std::move(found.run));
    experiment.keep_recorded_scheduler(recorded_scheduler_config(*original));
    require_same_weights(*original, experiment.recipe(experiment.batch(0), found.index), where);
    experiment.explain_unused(changes, reporter);
    run_experiment(experiment, reporter);
}

}  // namespace diffapple
