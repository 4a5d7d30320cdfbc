// The runner of all experiments.
#include "diffapple/experiments/experiment.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "diffapple/core/device.h"
#include "diffapple/core/dtype.h"
#include "diffapple/core/error.h"
#include "diffapple/core/libtorch.h"
#include "diffapple/core/stop.h"
#include "diffapple/core/version.h"
#include "diffapple/sheets/contact_sheet.h"
#include "diffapple/experiments/ddpm_experiment.h"
#include "diffapple/experiments/latent_experiment.h"
#include "diffapple/recipes/picture_file.h"
#include "diffapple/io/files.h"
#include "diffapple/io/weights.h"

namespace diffapple {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

/// One picture of the plan.
struct Picture {
    fs::path path;
    Recipe recipe;
    bool skipped = false;  ///< made already, and stays
};

/// One batch of the plan.
struct PlannedBatch {
    BatchSettings settings;
    std::vector<Picture> pictures;

    bool skipped() const {
        return std::all_of(pictures.begin(), pictures.end(), [](const Picture& picture) { return picture.skipped; });
    }
};

/// Every batch of the run, with what is made already and every error that can be known before the model is loaded.
std::vector<PlannedBatch> make_plan(const Experiment& experiment) {
    const RunSettings& settings = experiment.context().settings;
    const auto grid = expand_batches(settings, experiment.context().default_scheduler());
    std::vector<PlannedBatch> plan;
    for (size_t i = 0; i < grid.size(); ++i)
        if (settings.shard.has(i)) plan.push_back({.settings = grid[i]});
    for (PlannedBatch& batch : plan) {
        experiment.check(batch.settings);
        for (int64_t index = 0; index < experiment.pictures_per_batch(); ++index) {
            const fs::path path = picture_path(settings.out, experiment.name(batch.settings, index));
            const Recipe recipe = experiment.recipe(batch.settings, index);
            const bool same = check_existing(path, recipe, settings.force) == Existing::same;
            batch.pictures.push_back({path, recipe, same && grid.size() > 1 && !settings.force});
        }
    }
    return plan;
}

void require_writable(const fs::path& file) {
    const fs::path folder = file.has_parent_path() ? file.parent_path() : fs::path(".");
    std::error_code error;
    if (fs::is_directory(file, error)) fail(file.string(), ": is a folder, and a file of this name is to be written");
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
            {"skipped", picture.skipped}};
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
        if (picture.skipped) continue;  // a run was killed between the pictures of this batch
        record_what_is_known(context, made.denoised, picture.recipe);
        if (i < made.comparisons.size())
            save_picture(comparison_path(picture.path), made.comparisons[i], picture.recipe);
        save_picture(picture.path, made.images[i], picture.recipe);
    }
}

/// Removes what runs that were killed left where this run writes.
void tidy_folders(const std::vector<PlannedBatch>& plan) {
    std::set<fs::path> folders;
    for (const PlannedBatch& batch : plan)
        for (const Picture& picture : batch.pictures)
            folders.insert({picture.path.parent_path(), picture.path.parent_path().parent_path()});
    for (const fs::path& folder : folders) remove_stale_temporary_files(folder);
}

/// Tells the reporter how much there is to do.
void announce(const RunContext& context, const std::vector<PlannedBatch>& plan, Reporter& reporter) {
    size_t batches = 0, turns = 0;
    for (const PlannedBatch& batch : plan) {
        if (batch.skipped()) continue;
        ++batches;
        turns += context.new_scheduler(batch.settings)->timesteps().size();
    }
    if (batches < plan.size())
        reporter.note(concat(plan.size() - batches, " of ", plan.size(), " batches are made already"));
    reporter.begin_run(batches, turns);
}

std::string describe_interrupt(const std::vector<PlannedBatch>& plan, size_t batches_done, bool force) {
    size_t done = 0, all = 0;
    for (size_t i = 0; i < plan.size(); ++i)
        for (const Picture& picture : plan[i].pictures) {
            ++all;
            if (i < batches_done || picture.skipped) ++done;
        }
    return concat("interrupted: ", done, " of ", all, " pictures are made, ", all - done, " left; the same command",
                  force ? " without --force" : "", done > 0 ? " goes on from there" : " starts again");
}

/// The contact sheet of a sweep, beside its prompts' folders. A run that made nothing new leaves one that is there.
/// That a sheet cannot be made (the pictures may be too many for one) is no failure of the run.
void make_sheet(const RunContext& context, const std::vector<PlannedBatch>& plan, Reporter& reporter) {
    const RunSettings& settings = context.settings;
    const bool varies = plan.size() > 1 || settings.prompts.size() > 1;
    if (!settings.sheet || settings.shard.is_part() || !varies) return;
    std::vector<fs::path> files;
    for (const PlannedBatch& batch : plan)
        for (const Picture& picture : batch.pictures) files.push_back(picture.path);
    const bool made_new = std::any_of(plan.begin(), plan.end(), [](const auto& batch) { return !batch.skipped(); });
    try {
        const WrittenSheet sheet = write_contact_sheet(
            files, {.folder = files.front().parent_path().parent_path(), .keep_existing = !made_new});
        for (const auto& message : sheet.notes) reporter.note("contact sheet: " + message);
        for (const auto& message : sheet.problems) reporter.note("contact sheet: " + message);
        reporter.note("contact sheet: " + sheet.path.string());
    } catch (const Interrupted&) {
        throw Error("interrupted: all pictures are made, but no contact sheet of them; the same command makes it",
                    ExitCode::interrupted);
    } catch (const Error& error) {
        reporter.note(concat("no contact sheet: ", error.what()));
    }
}

std::string batch_label(const BatchSettings& batch) {
    std::string label = concat("seed ", batch.seed, ", ", batch.steps, " steps");
    if (batch.guidance) label += ", guidance " + python_float(*batch.guidance);
    if (batch.strength) label += ", strength " + python_float(*batch.strength);
    return label;
}

}  // namespace

BatchProgress::BatchProgress(Reporter& reporter, const BatchSettings& batch) : reporter_(reporter) {
    reporter.begin_batch(batch_label(batch));
}

void record_what_is_known(const RunContext& context, const Denoised& denoised, Recipe& recipe) {
    const std::string model = device_model(context.placement.device);
    recipe.known = {{"seconds", denoised.seconds},
                    {"it_per_s", static_cast<double>(denoised.turns) / denoised.seconds},
                    {"peak_bytes", peak_memory(context.placement.device)},
                    {"threads", at::get_num_threads()},
                    {"libtorch", libtorch::version()},
                    {"diffapple", version},
                    {"date", current_date()}};
    if (!model.empty()) recipe.known["device_model"] = model;
}

void run_experiment(Experiment& experiment, Reporter& reporter) {
    const RunContext& context = experiment.context();
    std::vector<PlannedBatch> plan = make_plan(experiment);
    for (const PlannedBatch& batch : plan)
        if (!batch.skipped())
            for (const Picture& picture : batch.pictures) require_writable(picture.path);
    if (!context.settings.save_latents.empty()) require_writable(context.settings.save_latents);
    explain_demo(context, reporter);
    tidy_folders(plan);
    announce(context, plan, reporter);

    auto left = std::count_if(plan.begin(), plan.end(), [](const PlannedBatch& batch) { return !batch.skipped(); });
    size_t batches_done = 0;
    try {
        for (PlannedBatch& batch : plan) {
            if (!batch.skipped()) {
                const BatchProgress progress(reporter, batch.settings);
                make_batch(experiment, batch, /*last=*/--left == 0, reporter);
            }
            ++batches_done;
            for (const Picture& picture : batch.pictures) reporter.picture(make_report(context, batch, picture));
        }
    } catch (const Interrupted&) {
        throw Error(describe_interrupt(plan, batches_done, context.settings.force), ExitCode::interrupted);
    }
    make_sheet(context, plan, reporter);
}

std::unique_ptr<Experiment> open_experiment(const StudyExperiment& kind, const RunSettings& settings) {
    return kind.has_prompts() ? open_latent_experiment(kind, settings) : open_ddpm_experiment(kind, settings);
}

}  // namespace diffapple
