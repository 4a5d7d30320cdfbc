#include "diffapple/experiments/run.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <thread>

#include "diffapple/core/device.h"
#include "diffapple/core/dtype.h"
#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"
#include "diffapple/core/stop.h"
#include "diffapple/io/claim.h"
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
    bool done = false;  ///< its pictures are there, and were told of

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

/// Turns of the loop that a batch takes.
size_t turns_of(const Experiment& experiment, const PlannedBatch& batch) {
    return experiment.new_scheduler(batch.settings)->timesteps().size();
}

/// Tells the reporter how much there is to do.
void announce(const Experiment& experiment, const std::vector<PlannedBatch>& plan, Reporter& reporter) {
    size_t batches = 0, turns = 0;
    for (const PlannedBatch& batch : plan) {
        if (batch.skipped()) continue;
        ++batches;
        turns += turns_of(experiment, batch);
    }
    if (batches < plan.size())
        reporter.note(concat(plan.size() - batches, " of ", plan.size(), " batches are made already"));
    reporter.begin_run(batches, turns);
}

std::string describe_interrupt(const std::vector<PlannedBatch>& plan, const RunSettings& run) {
    size_t done = 0, all = 0;
    for (const PlannedBatch& batch : plan)
        for (const Picture& picture : batch.pictures) {
            ++all;
            if (batch.done || picture.skipped) ++done;
        }
    return concat("interrupted: ", done, " of ", all, " pictures are made, ", all - done, " left; the same command",
                  run.drawn_seeds.empty() ? "" : " with --seed " + run.drawn_seeds, run.force ? " without --force" : "",
                  done > 0 ? " goes on from there" : " starts again");
}

std::string batch_label(const BatchSettings& batch) {
    std::string label = concat("seed ", batch.seed, ", ", batch.steps, " steps");
    if (batch.guidance) label += ", guidance " + python_float(*batch.guidance);
    if (batch.strength) label += ", strength " + python_float(*batch.strength);
    return label;
}

/// A claim on the work whose results stand beside `picture`; nothing while another process holds it.
std::optional<Claim> claim_beside(const Picture& picture, const std::string& work) {
    return Claim::take(picture.path.parent_path(), work + picture.recipe.id());
}

void wait_a_moment() {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    check_stop();
}

/// Makes the batches of a plan. The batches of a sweep are claimed one by one, so that processes which run the same
/// command share them; whoever is done waits for the others' batches, and makes those of a process that ended.
class Batches {
public:
    Batches(Experiment& experiment, std::vector<PlannedBatch>& plan, Reporter& reporter)
        : experiment_(experiment),
          plan_(plan),
          reporter_(reporter),
          shares_(experiment.batch_count() > 1 && !experiment.run().force) {}

    /// True when other processes made some of them.
    bool make() {
        std::vector<PlannedBatch*> elsewhere;
        for (PlannedBatch& batch : plan_)
            if (!try_to_make(batch)) elsewhere.push_back(&batch);
        if (elsewhere.empty()) return others_made_some_;
        reporter_.note(concat("other processes are making ", elsewhere.size(), " of ", plan_.size(),
                              " batches; this one waits for them, and makes what they leave"));
        while (!elsewhere.empty())
            if (std::erase_if(elsewhere, [&](PlannedBatch* batch) { return try_to_make(*batch); }) == 0)
                wait_a_moment();
        return others_made_some_;
    }

private:
    /// False while another process makes the batch.
    bool try_to_make(PlannedBatch& batch) {
        if (!batch.skipped()) {
            const auto claim = shares_ ? claim_beside(batch.pictures.front(), "") : std::nullopt;
            if (shares_ && !claim) return false;
            if (shares_) look_again(batch);
            if (!batch.skipped()) {
                const BatchProgress progress(reporter_, batch.settings);
                make_batch(experiment_, batch, reporter_);
            }
        }
        batch.done = true;
        for (const Picture& picture : batch.pictures) reporter_.picture(make_report(experiment_, batch, picture));
        return true;
    }

    /// Since the plan was made, another process may have made the batch, or was killed between its pictures.
    void look_again(PlannedBatch& batch) {
        for (Picture& picture : batch.pictures) {
            if (picture.skipped) continue;
            const auto existing = find_same_picture(picture.path, picture.recipe, /*force=*/false);
            picture.skipped = existing.has_value();
            if (existing) picture.recipe = *existing;
        }
        if (!batch.skipped()) return;
        others_made_some_ = true;
        reporter_.batch_left_out(turns_of(experiment_, batch));
    }

    Experiment& experiment_;
    std::vector<PlannedBatch>& plan_;
    Reporter& reporter_;
    bool shares_, others_made_some_ = false;
};

/// The contact sheet of a sweep, beside its prompts' folders. A run that made nothing new leaves one that is there, and
/// so do all but the first of those that share a sweep. That a sheet cannot be made (the pictures may be too many for
/// one) is no failure of the run.
void make_sheet(const RunSettings& run, const std::vector<PlannedBatch>& plan, bool shared, Reporter& reporter) {
    const bool varies = plan.size() > 1 || run.batch.prompts.size() > 1;
    if (!run.sheet || run.shard.is_part() || !varies) return;
    std::vector<fs::path> files;
    for (const PlannedBatch& batch : plan)
        for (const Picture& picture : batch.pictures) files.push_back(picture.path);
    const bool made_new = std::any_of(plan.begin(), plan.end(), [](const auto& batch) { return !batch.skipped(); });
    try {
        std::optional<Claim> claim;
        while (shared && !(claim = claim_beside(plan.front().pictures.front(), "sheet-"))) wait_a_moment();
        const WrittenSheet sheet = write_contact_sheet(
            files, {.folder = files.front().parent_path().parent_path(), .keep_existing = !made_new || shared});
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

}  // namespace

BatchProgress::BatchProgress(Reporter& reporter, const BatchSettings& batch) : reporter_(reporter) {
    reporter.begin_batch(batch_label(batch));
}

void run_experiment(Experiment& experiment, Reporter& reporter) {
    std::vector<PlannedBatch> plan = make_plan(experiment);
    for (const PlannedBatch& batch : plan)
        if (!batch.skipped())
            for (const Picture& picture : batch.pictures) require_writable(picture.path);
    if (!experiment.run().save_latents.empty()) require_writable(experiment.run().save_latents);
    experiment.explain_demo(reporter);
    experiment.explain_noise(reporter);
    tidy_folders(plan);
    announce(experiment, plan, reporter);

    bool shared = false;
    try {
        shared = Batches(experiment, plan, reporter).make();
    } catch (const Interrupted&) {
        throw Error(describe_interrupt(plan, experiment.run()), ExitCode::interrupted);
    }
    make_sheet(experiment.run(), plan, shared, reporter);
}

}  // namespace diffapple
