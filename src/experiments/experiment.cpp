// The runner of all experiments.
#include "diffapple/experiments/experiment.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "diffapple/core/device.h"
#include "diffapple/core/dtype.h"
#include "diffapple/core/error.h"
#include "diffapple/core/libtorch.h"
#include "diffapple/experiments/ddpm_experiment.h"
#include "diffapple/experiments/latent_experiment.h"
#include "diffapple/experiments/picture_file.h"
#include "diffapple/io/weights.h"

namespace diffapple {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

/// One picture of the plan.
struct Picture {
    fs::path path;
    Recipe recipe;
    Existing existing;
};

/// One batch of the plan.
struct PlannedBatch {
    BatchSettings settings;
    std::vector<Picture> pictures;
    bool skipped = false;
};

/// Every batch of the run, with what is made already and every error that can be known before the model is loaded.
std::vector<PlannedBatch> make_plan(const Experiment& experiment) {
    const RunSettings& settings = experiment.context().settings;
    std::vector<PlannedBatch> plan;
    for (const auto& batch : expand_batches(settings, experiment.context().default_scheduler()))
        plan.push_back({.settings = batch});
    for (PlannedBatch& batch : plan) {
        experiment.check(batch.settings);
        for (int64_t index = 0; index < experiment.pictures_per_batch(); ++index) {
            const fs::path path = picture_path(settings.out, experiment.name(batch.settings, index));
            const Recipe recipe = experiment.recipe(batch.settings, index);
            batch.pictures.push_back({path, recipe, check_existing(path, recipe, settings.force)});
        }
        if (plan.size() > 1 && !settings.force)
            batch.skipped = std::all_of(batch.pictures.begin(), batch.pictures.end(),
                                        [](const Picture& picture) { return picture.existing == Existing::same; });
    }
    return plan;
}

void require_writable(const fs::path& file) {
    const fs::path folder = file.has_parent_path() ? file.parent_path() : fs::path(".");
    std::error_code error;
    fs::create_directories(folder, error);
    if (error) fail(folder.string(), ": the folder cannot be made (", error.message(), "); choose another with --out");
    if (access(folder.c_str(), W_OK | X_OK) != 0)
        fail(folder.string(), ": no permission to write there; choose another folder with --out");
}

json make_report(const RunContext& context, const PlannedBatch& batch, const Picture& picture) {
    const json& settings = picture.recipe.determining.at("settings");
    const auto setting = [&](const char* key) { return settings.value(key, json()); };
    const auto known = [&](const char* key) { return picture.recipe.known.value(key, json()); };
    return {{"path", picture.path.string()},
            {"seed", setting("seed")},
            {"index", setting("index")},
            {"prompt", setting("prompt")},
            {"negative_prompt", setting("negative_prompt")},
            {"steps", setting("steps")},
            {"guidance", setting("guidance")},
            {"scheduler", batch.settings.scheduler},
            {"width", setting("width")},
            {"height", setting("height")},
            {"model", context.checkpoint.name},
            {"device", device_name(context.placement.device)},
            {"dtype", dtype_name(context.placement.dtype)},
            {"seconds", known("seconds")},
            {"it_per_s", known("it_per_s")},
            {"peak_bytes", known("peak_bytes")},
            {"id", picture.recipe.id()},
            {"skipped", batch.skipped}};
}

fs::path comparison_path(const fs::path& picture) {
    return picture.parent_path() / (picture.stem().string() + "_comp.png");
}

void make_batch(Experiment& experiment, PlannedBatch& batch, bool last, Reporter& reporter) {
    const RunContext& context = experiment.context();
    const MadeBatch made = experiment.make(batch.settings, last, reporter);
    if (!context.settings.save_latents.empty())
        save_safetensors(context.settings.save_latents, {{"latents", made.denoised.sample.cpu().contiguous()}});
    for (size_t i = 0; i < made.images.size(); ++i) {
        Picture& picture = batch.pictures[i];
        record_what_is_known(context, made.denoised, picture.recipe);
        if (i < made.comparisons.size())
            save_picture(comparison_path(picture.path), made.comparisons[i], picture.recipe);
        save_picture(picture.path, made.images[i], picture.recipe);
    }
}

std::string batch_label(const BatchSettings& batch) {
    std::string label = concat("seed ", batch.seed, ", ", batch.steps, " steps");
    if (batch.guidance) label += ", guidance " + python_float(*batch.guidance);
    if (batch.strength) label += ", strength " + python_float(*batch.strength);
    return label;
}

}  // namespace

BatchProgress::BatchProgress(Reporter& reporter, const BatchSettings& batch, size_t number, size_t count)
    : reporter_(reporter) {
    reporter.begin_batch(batch_label(batch), number, count);
}

void record_what_is_known(const RunContext& context, const Denoised& denoised, Recipe& recipe) {
    const std::string model = device_model(context.placement.device);
    recipe.known = {{"seconds", denoised.seconds},
                    {"it_per_s", static_cast<double>(denoised.turns) / denoised.seconds},
                    {"peak_bytes", peak_memory(context.placement.device)},
                    {"threads", at::get_num_threads()},
                    {"libtorch", libtorch::version()},
                    {"diffapple", DIFFAPPLE_VERSION},
                    {"date", current_date()}};
    if (!model.empty()) recipe.known["device_model"] = model;
}

void run_experiment(Experiment& experiment, Reporter& reporter) {
    const RunContext& context = experiment.context();
    std::vector<PlannedBatch> plan = make_plan(experiment);
    for (const PlannedBatch& batch : plan)
        if (!batch.skipped)
            for (const Picture& picture : batch.pictures) require_writable(picture.path);
    if (!context.settings.save_latents.empty()) require_writable(context.settings.save_latents);
    explain_demo(context, reporter);

    auto left = std::count_if(plan.begin(), plan.end(), [](const PlannedBatch& batch) { return !batch.skipped; });
    for (size_t i = 0; i < plan.size(); ++i) {
        PlannedBatch& batch = plan[i];
        if (!batch.skipped) {
            const BatchProgress progress(reporter, batch.settings, i + 1, plan.size());
            make_batch(experiment, batch, /*last=*/--left == 0, reporter);
        }
        for (const Picture& picture : batch.pictures) reporter.picture(make_report(context, batch, picture));
    }
}

std::unique_ptr<Experiment> open_experiment(const ExperimentKind& kind, const RunSettings& settings) {
    return kind.has_prompts() ? open_latent_experiment(kind, settings) : open_ddpm_experiment(kind, settings);
}

}  // namespace diffapple
