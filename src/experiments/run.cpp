#include "diffapple/experiments/run.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <thread>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "diffapple/core/device.h"
#include "diffapple/core/dtype.h"
#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"
#include "diffapple/core/stop.h"
#include "diffapple/core/text.h"
#include "diffapple/io/claim.h"
#include "diffapple/io/files.h"
#include "diffapple/io/weights.h"
#include "diffapple/recipes/jobs.h"
#include "diffapple/recipes/output_names.h"
#include "diffapple/recipes/picture_file.h"
#include "diffapple/sheets/contact_sheet.h"

namespace diffapple {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

/// One picture of the plan. A run has up to a hundred thousand: what can be computed again is not kept.
struct PlannedPicture {
    std::string path;
    bool skipped = false;  ///< made already, and stays
};

/// One batch of the plan.
struct PlannedBatch {
    size_t number;  ///< of the run's
    size_t turns = 0;
    std::vector<PlannedPicture> pictures;
    bool done = false;  ///< its pictures are there, and were told of

    bool skipped() const {
        return std::all_of(pictures.begin(), pictures.end(), [](const auto& picture) { return picture.skipped; });
    }
};

using Plan = std::vector<PlannedBatch>;

/// Makes the plan, and finds every error that can be known before the model is loaded.
class Planner {
public:
    explicit Planner(const Experiment& experiment) : experiment_(experiment), run_(experiment.run()) {}

    Plan make() {
        Plan plan;
        LineProblems problems;
        for (size_t number = 0; number < experiment_.batch_count(); ++number) {
            const std::string& place = experiment_.place(number);
            if (!run_.shard.has(number) || problems.has(place)) continue;
            check_stop();
            problems.gather(place, [&] { add_batch(number, plan); });
        }
        problems.fail_if_any(run_.source);
        return plan;
    }

    size_t repeated() const { return repeated_; }

private:
    void add_batch(size_t number, Plan& plan) {
        const BatchSettings settings = experiment_.batch(number);
        PlannedBatch batch{.number = number, .turns = turns_of(settings), .pictures = {}};
        for (int64_t index = 0; index < settings.pictures(); ++index)
            batch.pictures.push_back(plan_picture(number, settings, index));
        is_repeated(batch, settings) ? void(++repeated_) : plan.push_back(std::move(batch));
    }

    PlannedPicture plan_picture(size_t number, const BatchSettings& settings, int64_t index) const {
        const fs::path& out = run_.job_of(number).out;
        const auto place = [&](Naming naming) { return experiment_.path(out, settings, index, naming); };
        PlannedPicture picture{place(Naming::usual).string()};
        if (settings.mask.given() && run_.images.size() < 2 && run_.jobs.empty())
            if (const fs::path study = place(Naming::study); is_free_for(study, settings, index))
                picture.path = study.string();
        const fs::path older = place(Naming::older);
        const bool maybe_older = run_.format == "png" && older != picture.path && is_there(older);
        if (!is_there(picture.path) && !maybe_older) return picture;
        const Recipe wanted = experiment_.recipe(settings, index);
        if (maybe_older && is_same_picture(older, wanted))
            picture.path = older.string();
        else if (is_of_other_prompt(picture.path, wanted))  // of a file system that ignores case, or a_b after "a b"
            picture.path = place(Naming::apart).string();
        // A file of prompts may have one line today and two tomorrow: it is always a sweep.
        const bool sweep = experiment_.batch_count() > 1 || !run_.jobs.empty();
        const PicturePlace found = find_place(picture.path, wanted, run_.force, run_.if_exists);
        picture.path = found.path.string();
        picture.skipped = found.existing && sweep && !run_.force;
        return picture;
    }

    /// One picture and one mask have the study's name until others have taken it: then the names tell them apart.
    bool is_free_for(const fs::path& file, const BatchSettings& settings, int64_t index) const {
        return !is_there(file) || is_same_picture(file, experiment_.recipe(settings, index));
    }

    /// Throws what is wrong with the sampler's settings. It is made once for those that many batches share.
    size_t turns_of(const BatchSettings& settings) {
        const auto key = std::tuple(settings.scheduler, settings.steps, settings.strength.value_or(1.0), settings.eta,
                                    settings.mask.given());
        const auto found = turns_.find(key);
        if (found != turns_.end()) return found->second;
        return turns_[key] = experiment_.new_scheduler(settings)->timesteps().size();
    }

    /// Lines of a file, or pictures to start from, may ask for the same batch twice; what has one name is the same.
    bool is_repeated(const PlannedBatch& batch, const BatchSettings& settings) {
        if (run_.jobs.empty()) return false;  // lists never do
        for (size_t index = 0; index < batch.pictures.size(); ++index) {
            const auto [found, fresh] = planned_.try_emplace(batch.pictures[index].path, batch.number, index);
            if (fresh) continue;
            const auto [number, other_index] = found->second;
            const Recipe other = experiment_.recipe(experiment_.batch(number), static_cast<int64_t>(other_index));
            const Recipe wanted = experiment_.recipe(settings, static_cast<int64_t>(index));
            if (const auto difference = describe_difference(other, wanted); !difference.empty())
                fail(found->first, ": is the place of two pictures, also of ", experiment_.place(number), " (",
                     difference, "); give one of them another \"out\"");
            return true;
        }
        return false;
    }

    const Experiment& experiment_;
    const RunSettings& run_;
    std::map<std::tuple<std::string, int64_t, double, double, bool>, size_t> turns_;
    std::unordered_map<std::string, std::pair<size_t, size_t>> planned_;  ///< of a path: batch and index
    size_t repeated_ = 0;
};

void require_writable(const fs::path& folder) {
    std::error_code error;
    fs::create_directories(folder, error);
    if (error) fail(folder.string(), ": the folder cannot be made (", error.message(), "); choose another with --out");
    if (access(folder.c_str(), W_OK | X_OK) != 0)
        fail(folder.string(), ": no permission to write there; choose another folder with --out");
}

fs::path folder_of(const fs::path& file) {
    return file.has_parent_path() ? file.parent_path() : fs::path(".");
}

/// Whether a file is one that --save-latents wrote.
bool holds_latents_alone(const fs::path& file) {
    try {
        const StoredTensors tensors = open_safetensors(file);
        return tensors.size() == 1 && tensors.contains("latents");
    } catch (const Error&) {
        return false;
    }
}

/// Throws Error where --save-latents would replace anything but earlier latents: a model, a photo, a picture to be
/// made.
void require_place_of_latents(const fs::path& file, const Plan& plan) {
    if (is_folder(file)) fail(file.string(), ": is a folder, and a file of this name is to be written");
    if (is_file(file) && fs::file_size(file) > 0 && !holds_latents_alone(file))
        fail("--save-latents ", file.string(), ": a file of another kind has this name; give another, or remove it");
    const auto place = [](const fs::path& path) { return fs::absolute(path).lexically_normal(); };
    for (const PlannedBatch& batch : plan)
        for (const PlannedPicture& picture : batch.pictures)
            if (place(picture.path) == place(file))
                fail_usage("--save-latents ", file.string(), ": is the name of the picture; give another");
}

/// Makes the folders, and removes what runs that were killed left in them.
void prepare_folders(const Plan& plan, const fs::path& save_latents) {
    std::set<fs::path> written, seen;
    for (const PlannedBatch& batch : plan)
        for (const PlannedPicture& picture : batch.pictures) {
            const fs::path folder = folder_of(picture.path);
            if (!batch.skipped()) written.insert(folder);
            seen.insert({folder, folder.parent_path()});
        }
    if (!save_latents.empty()) {
        require_place_of_latents(save_latents, plan);
        written.insert(folder_of(save_latents));
    }
    for (const fs::path& folder : written) require_writable(folder);
    for (const fs::path& folder : seen) remove_stale_temporary_files(folder);
}

/// A picture that is there.
struct Picture {
    fs::path path;
    Recipe recipe;  ///< of a skipped one: as its file has it
    bool skipped = false;
};

json make_report(const Experiment& experiment, const BatchSettings& batch, const Picture& picture) {
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
            {"scheduler", batch.scheduler},
            {"width", setting("width")},
            {"height", setting("height")},
            {"model", batch.model},
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
FinishedPictures finish_batch(Experiment& experiment, const BatchSettings& settings, const fs::path& first_picture,
                              const Denoised& denoised, Reporter& reporter) {
    try {
        return experiment.finish(settings, denoised, reporter);
    } catch (const Interrupted&) {
        throw;
    } catch (const std::exception&) {
        const fs::path kept = first_picture.parent_path() / (first_picture.stem().string() + "_latents.safetensors");
        save_latents(kept, denoised);
        reporter.note(kept.string() + ": the final latents of this batch, of which no pictures could be made");
        throw;
    }
}

void make_batch(Experiment& experiment, const BatchSettings& settings, std::vector<Picture>& pictures,
                Reporter& reporter) {
    const Denoised denoised = experiment.denoise(settings, reporter);
    if (!experiment.run().save_latents.empty()) save_latents(experiment.run().save_latents, denoised);
    const FinishedPictures finished = finish_batch(experiment, settings, pictures.front().path, denoised, reporter);
    for (size_t i = 0; i < finished.images.size(); ++i) {
        Picture& picture = pictures[i];
        if (picture.skipped) continue;  // a run was killed between the pictures of this batch
        experiment.record_what_is_known(denoised, picture.recipe);
        if (i < finished.comparisons.size())
            save_picture(comparison_path(picture.path), finished.comparisons[i], picture.recipe);
        save_picture(picture.path, finished.images[i], picture.recipe);
    }
}

/// The batch's pictures with their recipes; of those that are made, their files'.
std::vector<Picture> open_pictures(const Experiment& experiment, const PlannedBatch& batch,
                                   const BatchSettings& settings) {
    std::vector<Picture> pictures;
    for (size_t i = 0; i < batch.pictures.size(); ++i) {
        const auto& [path, skipped] = batch.pictures[i];
        const auto existing = skipped ? read_recipe(path) : std::nullopt;
        pictures.push_back(
            {path, existing ? *existing : experiment.recipe(settings, static_cast<int64_t>(i)), skipped});
    }
    return pictures;
}

/// Tells the reporter how much there is to do.
void announce(const Plan& plan, size_t repeated, Reporter& reporter) {
    size_t batches = 0, turns = 0;
    for (const PlannedBatch& batch : plan) {
        if (batch.skipped()) continue;
        ++batches;
        turns += batch.turns;
    }
    if (repeated > 0)
        reporter.note(concat(counted(repeated, "batch"), ' ', is_or_are(repeated), " asked for twice, and made once"));
    if (batches < plan.size())
        reporter.note(concat(plan.size() - batches, " of ", counted(plan.size(), "batch"), ' ',
                             is_or_are(plan.size() - batches), " made already"));
    reporter.begin_run(batches, turns);
}

std::string describe_interrupt(const Plan& plan, const RunSettings& run) {
    size_t done = 0, all = 0;
    for (const PlannedBatch& batch : plan)
        for (const PlannedPicture& picture : batch.pictures) {
            ++all;
            if (batch.done || picture.skipped) ++done;
        }
    return concat("interrupted: ", done, " of ", counted(all, "picture"), ' ', is_or_are(done), " made, ", all - done,
                  " left; the same command", run.drawn_seeds.empty() ? "" : " with --seed " + run.drawn_seeds,
                  run.force ? " without --force" : "", done > 0 ? " goes on from there" : " starts again");
}

std::string batch_label(const BatchSettings& batch) {
    std::string label = concat("seed ", batch.seed, ", ", counted(batch.steps, "step"));
    if (batch.guidance) label += ", guidance " + python_float(*batch.guidance);
    if (batch.strength) label += ", strength " + python_float(*batch.strength);
    return label;
}

/// Of many prompts, which one is at work.
std::string prompt_label(const Experiment& experiment, size_t number, const BatchSettings& batch) {
    constexpr size_t most_shown = 40;
    const std::string& place = experiment.place(number);
    return place.empty() ? "" : concat(place, " '", shorten(batch.prompt_of(0), most_shown), "', ");
}

void wait_a_moment() {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    check_stop();
}

/// Makes the batches of a plan. The batches of a sweep are claimed one by one, so that processes which run the same
/// command share them; whoever is done waits for the others' batches, and makes those of a process that ended.
class Batches {
public:
    Batches(Experiment& experiment, Plan& plan, Reporter& reporter)
        : experiment_(experiment),
          plan_(plan),
          reporter_(reporter),
          shares_((experiment.batch_count() > 1 || !experiment.run().jobs.empty()) && !experiment.run().force) {}

    /// True when other processes made some of them.
    bool make() {
        std::vector<PlannedBatch*> elsewhere;
        for (PlannedBatch& batch : plan_) {
            check_stop();
            if (!try_to_make(batch)) elsewhere.push_back(&batch);
        }
        if (elsewhere.empty()) return others_made_some_;
        reporter_.note(concat("other processes are making ", elsewhere.size(), " of ", counted(plan_.size(), "batch"),
                              "; this one waits for them, and makes what they leave"));
        while (!elsewhere.empty())
            if (std::erase_if(elsewhere, [&](PlannedBatch* batch) { return try_to_make(*batch); }) == 0)
                wait_a_moment();
        return others_made_some_;
    }

private:
    /// False while another process makes the batch.
    bool try_to_make(PlannedBatch& batch) {
        const BatchSettings settings = experiment_.batch(batch.number);
        std::vector<Picture> pictures = open_pictures(experiment_, batch, settings);
        if (!batch.skipped()) {
            const Picture& first = pictures.front();
            const auto claim = shares_ ? Claim::take(first.path.parent_path(), first.recipe.id()) : std::nullopt;
            if (shares_ && !claim) return false;
            if (shares_) look_again(batch, pictures);
            if (!batch.skipped()) {
                const BatchProgress progress(reporter_, settings, prompt_label(experiment_, batch.number, settings));
                make_batch(experiment_, settings, pictures, reporter_);
            }
        }
        batch.done = true;
        for (const Picture& picture : pictures) reporter_.picture(make_report(experiment_, settings, picture));
        return true;
    }

    /// Since the plan was made, another process may have made the batch, or was killed between its pictures.
    void look_again(PlannedBatch& batch, std::vector<Picture>& pictures) {
        for (size_t i = 0; i < pictures.size(); ++i) {
            Picture& picture = pictures[i];
            if (picture.skipped) continue;
            const auto found = find_place(picture.path, picture.recipe, /*force=*/false, experiment_.run().if_exists);
            picture.path = found.path;
            picture.skipped = batch.pictures[i].skipped = found.existing.has_value();
            if (found.existing) picture.recipe = *found.existing;
        }
        if (!batch.skipped()) return;
        others_made_some_ = true;
        reporter_.batch_left_out(batch.turns);
    }

    Experiment& experiment_;
    Plan& plan_;
    Reporter& reporter_;
    bool shares_, others_made_some_ = false;
};

/// The contact sheet of a sweep, beside its prompts' folders. A run that made nothing new leaves one that is there, and
/// so do all but the first of those that share a sweep. That a sheet cannot be made (the pictures may be too many for
/// one) is no failure of the run.
void make_sheet(const RunSettings& run, const Plan& plan, bool shared, Reporter& reporter) {
    const bool varies = plan.size() > 1 || run.batch.prompts.size() > 1;
    if (!run.sheet || run.shard.is_part() || !varies) return;
    std::vector<fs::path> files;
    for (const PlannedBatch& batch : plan)
        for (const PlannedPicture& picture : batch.pictures) files.emplace_back(picture.path);
    // Of jobs with folders of their own, it is where the run's other results are.
    const fs::path folder = run.out / files.front().parent_path().parent_path().filename();
    const bool made_new = std::any_of(plan.begin(), plan.end(), [](const auto& batch) { return !batch.skipped(); });
    try {
        std::optional<Claim> claim;
        while (shared && !(claim = Claim::take(folder, "sheet"))) wait_a_moment();
        const WrittenSheet sheet =
            write_contact_sheet(files, {.folder = folder, .keep_existing = !made_new || shared, .all = true});
        for (const auto& message : sheet.notes) reporter.note("contact sheet: " + message);
        reporter.note("contact sheet: " + sheet.path.string());
    } catch (const Interrupted&) {
        throw Error("interrupted: all pictures are made, but no contact sheet of them; the same command makes it",
                    ExitCode::interrupted);
    } catch (const Error& error) {
        reporter.note(concat("no contact sheet: ", error.what()));
    }
}

}  // namespace

BatchProgress::BatchProgress(Reporter& reporter, const BatchSettings& batch, const std::string& prompt)
    : reporter_(reporter) {
    reporter.begin_batch(prompt + batch_label(batch));
}

void run_experiment(Experiment& experiment, Reporter& reporter) {
    experiment.keep_tiling_of_made(reporter);
    Planner planner(experiment);
    Plan plan = planner.make();
    const RunSettings& run = experiment.run();
    if (!run.save_latents.empty() && is_there(run.save_latents) && !run.batch.latents.path.empty() &&
        fs::equivalent(run.save_latents, run.batch.latents.path))
        fail_usage("--save-latents ", run.save_latents.string(), ": is the file of --latents; give another name");
    prepare_folders(plan, run.save_latents);
    experiment.explain_demo(reporter);
    experiment.explain_inputs(reporter);
    experiment.explain_prompts(reporter);
    experiment.explain_noise(reporter);
    announce(plan, planner.repeated(), reporter);

    bool shared = false;
    try {
        shared = Batches(experiment, plan, reporter).make();
    } catch (const Interrupted&) {
        throw Error(describe_interrupt(plan, experiment.run()), ExitCode::interrupted);
    }
    make_sheet(experiment.run(), plan, shared, reporter);
}

}  // namespace diffapple
