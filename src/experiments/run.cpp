#include "diffapple/experiments/run.h"

#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "diffapple/core/device.h"
#include "diffapple/core/dtype.h"
#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"
#include "diffapple/core/stop.h"
#include "diffapple/io/files.h"
#include "diffapple/io/weights.h"
#include "diffapple/recipes/output_names.h"
#include "diffapple/recipes/picture_file.h"
#include "diffapple/sheets/contact_sheet.h"

namespace diffapple {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

/// One picture of the plan.
struct Picture {
    fs::path path;
    Recipe recipe;         ///< of a skipped one: as its file has it
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

PlannedBatch plan_batch(const Experiment& experiment, size_t number) {
    PlannedBatch batch{.settings = experiment.batch(number)};
    experiment.new_scheduler(batch.settings);  // throws what is wrong with it
    const bool sweep = experiment.batch_count() > 1;
    for (int64_t index = 0; index < batch.settings.pictures(); ++index) {
        Picture picture{experiment.path(batch.settings, index), experiment.recipe(batch.settings, index)};
        const bool force = experiment.run().force;
        const auto existing = find_same_picture(picture.path, picture.recipe, force);
        picture.skipped = existing && sweep && !force;
        if (picture.skipped) picture.recipe = *existing;
        batch.pictures.push_back(std::move(picture));
    }
    return batch;
}

/// Every batch of the run, with what is made already and every error that can be known before the model is loaded.
std::vector<PlannedBatch> make_plan(const Experiment& experiment) {
    std::vector<PlannedBatch> plan;
    for (size_t number = 0; number < experiment.batch_count(); ++number)
        if (experiment.run().shard.has(number)) plan.push_back(plan_batch(experiment, number));
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

json make_report(const Experiment& experiment, const PlannedBatch& batch, const Picture& picture) {
    const json& determining = picture.recipe.determining;
    const json& settings = determining.at("settings");
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
            {"model", batch.settings.model},
            {"device", device_name(experiment.placement().device)},
            {"dtype", dtype_name(experiment.placement().dtype)},
            {"seconds", known("seconds")},
            {"it_per_s", known("it_per_s")},
            {"peak_bytes", known("peak_bytes")},
            {"id", picture.recipe.id()},
            {"skipped", picture.skipped}};
}

void save_latents(const fs::path& file, const Denoised& denoised) {
    save_safetensors(file, {{"latents", denoised.sample.cpu().contiguous()}});
}

/// The pictures of a batch whose loop is done. Minutes of work must not be lost where this fails: the latents are kept.
FinishedPictures finish_batch(Experiment& experiment, const PlannedBatch& batch, const Denoised& denoised,
                              Reporter& reporter) {
    try {
        return experiment.finish(batch.settings, denoised, reporter);
    } catch (const Interrupted&) {
        throw;
    } catch (const std::exception&) {
        const fs::path& picture = batch.pictures.front().path;
        const fs::path kept = picture.parent_path() / (picture.stem().string() + "_latents.safetensors");
        save_latents(kept, denoised);
        reporter.note(kept.string() + ": the final latents of this batch, of which no pictures could be made");
        throw;
    }
}

void make_batch(Experiment& experiment, PlannedBatch& batch, Reporter& reporter) {
    const Denoised denoised = experiment.denoise(batch.settings, reporter);
    if (!experiment.run().save_latents.empty()) save_latents(experiment.run().save_latents, denoised);
    const FinishedPictures finished = finish_batch(experiment, batch, denoised, reporter);
    for (size_t i = 0; i < finished.images.size(); ++i) {
        Picture& picture = batch.pictures[i];
        if (picture.skipped) continue;  // a run was killed between the pictures of this batch
        experiment.record_what_is_known(denoised, picture.recipe);
        if (i < finished.comparisons.size())
            save_picture(comparison_path(picture.path), finished.comparisons[i], picture.recipe);
        save_picture(picture.path, finished.images[i], picture.recipe);
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
void announce(const Experiment& experiment, const std::vector<PlannedBatch>& plan, Reporter& reporter) {
    size_t batches = 0, turns = 0;
    for (const PlannedBatch& batch : plan) {
        if (batch.skipped()) continue;
        ++batches;
        turns += experiment.new_scheduler(batch.settings)->timesteps().size();
    }
    if (batches < plan.size())
        reporter.note(concat(plan.size() - batches, " of ", plan.size(), " batches are made already"));
    reporter.begin_run(batches, turns);
}

std::string describe_interrupt(const std::vector<PlannedBatch>& plan, size_t batches_done, const RunSettings& run) {
    size_t done = 0, all = 0;
    for (size_t i = 0; i < plan.size(); ++i)
        for (const Picture& picture : plan[i].pictures) {
            ++all;
            if (i < batches_done || picture.skipped) ++done;
        }
    return concat("interrupted: ", done, " of ", all, " pictures are made, ", all - done, " left; the same command",
                  run.drawn_seeds.empty() ? "" : " with --seed " + run.drawn_seeds, run.force ? " without --force" : "",
                  done > 0 ? " goes on from there" : " starts again");
}

/// The contact sheet of a sweep, beside its prompts' folders. A run that made nothing new leaves one that is there.
/// That a sheet cannot be made (the pictures may be too many for one) is no failure of the run.
void make_sheet(const RunSettings& run, const std::vector<PlannedBatch>& plan, Reporter& reporter) {
    const bool varies = plan.size() > 1 || run.batch.prompts.size() > 1;
    if (!run.sheet || run.shard.is_part() || !varies) return;
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

void run_experiment(Experiment& experiment, Reporter& reporter) {
    experiment.keep_tiling_of_made(reporter);
    std::vector<PlannedBatch> plan = make_plan(experiment);
    for (const PlannedBatch& batch : plan)
        if (!batch.skipped())
            for (const Picture& picture : batch.pictures) require_writable(picture.path);
    if (!experiment.run().save_latents.empty()) require_writable(experiment.run().save_latents);
    experiment.explain_demo(reporter);
    experiment.explain_noise(reporter);
    tidy_folders(plan);
    announce(experiment, plan, reporter);

    size_t batches_done = 0;
    try {
        for (PlannedBatch& batch : plan) {
            if (!batch.skipped()) {
                const BatchProgress progress(reporter, batch.settings);
                make_batch(experiment, batch, reporter);
            }
            ++batches_done;
            for (const Picture& picture : batch.pictures) reporter.picture(make_report(experiment, batch, picture));
        }
    } catch (const Interrupted&) {
        throw Error(describe_interrupt(plan, batches_done, experiment.run()), ExitCode::interrupted);
    }
    make_sheet(experiment.run(), plan, reporter);
}

}  // namespace diffapple
