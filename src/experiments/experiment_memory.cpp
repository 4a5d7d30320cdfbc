// What memory an experiment will take, known before anything is loaded, and whether its pictures are decoded in tiles.
#include <algorithm>
#include <utility>

#include "diffapple/core/error.h"
#include "diffapple/experiments/experiment.h"
#include "diffapple/io/files.h"
#include "diffapple/recipes/jobs.h"
#include "diffapple/recipes/output_names.h"
#include "diffapple/recipes/picture_file.h"

namespace diffapple {

namespace {

bool any_guided_of(const RunSettings& part) {
    if (part.batch.is_guided()) return true;
    // Asked for every batch: the list of guidance alone is looked at, not those of a hundred thousand seeds.
    for (const auto& axis : part.axes) {
        if (axis.setting->key != "guidance") continue;
        for (const auto& change : axis.values) {
            BatchSettings settings = part.batch;
            change(settings);
            if (settings.is_guided()) return true;
        }
    }
    return false;
}

}  // namespace

bool Experiment::any_guided() const {
    if (circumstances_.traits.embeds_guidance) return false;
    const auto parts = run_.parts();
    return std::any_of(parts.begin(), parts.end(), [](const RunSettings* part) { return any_guided_of(*part); });
}

/// Of the largest batch.
MemoryRequest Experiment::memory_request() const {
    MemoryRequest request{.placement = placement(),
                          .guided = any_guided(),
                          .keep = run_.keep_loaded    ? Keep::all
                                  : batch_count() > 1 ? Keep::loop
                                                      : Keep::none};
    LineProblems problems;
    const auto consider = [&](size_t number) {
        const BatchSettings settings = batch(number);
        request.encodes_picture = request.encodes_picture || settings.image.given();
        const auto pixels = [](int64_t pictures, Size size) { return pictures * size.width * size.height; };
        if (pixels(settings.pictures(), settings.size()) <= pixels(request.pictures, request.size)) return;
        request.pictures = settings.pictures();
        request.size = settings.size();
    };
    for (const RunSettings* const part : run_.parts())
        problems.gather(part->place, [&] {
            for (const size_t number : part->batches_of_inputs()) consider(number);
        });
    problems.fail_if_any(run_.source);
    return request;
}

void Experiment::make_memory_plan() {
    const auto& tiling = run_.batch.vae_tiling;
    const auto wanted = tiling ? std::optional(*tiling ? Tiling::on : Tiling::off) : std::nullopt;
    adopt(plan_memory(*pipeline_, memory_request(), wanted, free_memory(placement().device)));
}

void Experiment::adopt(MemoryPlan plan) {
    plan_ = std::move(plan);
    pipeline_->set_tiling(plan_.tiling);
    circumstances_.tiles = plan_.tiling == Tiling::on;
}

/// Whether any picture of the run, as it is planned now, is there.
bool Experiment::is_any_made() const {
    for (size_t number = 0; number < batch_count(); ++number) {
        const BatchSettings settings = batch(number);
        for (int64_t index = 0; index < settings.pictures(); ++index) {
            for (const Naming naming : {Naming::usual, Naming::study, Naming::older}) {
                const auto file = path(run_.job_of(number).out, settings, index, naming);
                if (is_file(file) && is_same_picture(file, recipe(settings, index))) return true;
            }
        }
    }
    return false;
}

void Experiment::keep_tiling_of_made(Reporter& reporter) {
    if (run_.batch.vae_tiling || run_.force || batch_count() < 2) return;
    const MemoryPlan planned = plan_;
    const auto name = path(run_.job_of(0).out, batch(0), 0, Naming::usual);
    const Tiling other = planned.tiling == Tiling::on ? Tiling::off : Tiling::on;
    circumstances_.tiles = other == Tiling::on;
    const bool matters = path(run_.job_of(0).out, batch(0), 0, Naming::usual) != name;
    const bool made_otherwise = matters && is_any_made();
    adopt(planned);
    if (!made_otherwise || is_any_made()) return;
    MemoryPlan as_begun = plan_memory(*pipeline_, memory_request(), other, planned.free);
    if (as_begun.fits() || other == Tiling::on)
        adopt(std::move(as_begun));
    else
        reporter.note(
            "this sweep began without tiles, for which memory is short by now: the rest of it is made in tiles "
            "(--vae-tiling off: as it began)");
}

/// Throws Error, before anything is loaded, when the run cannot fit. Tells of the checkpoint's oddities, once.
void Experiment::require_memory(Reporter& reporter) {
    if (std::exchange(plan_checked_, true)) return;
    for (const auto& note : pipeline_->components().notes()) reporter.note(note);
    reporter.detail(plan_.describe());
    if (plan_.fits()) return;
    const auto advice = advise(*pipeline_, memory_request(), plan_.free);
    fail("this run does not fit into memory: ", plan_.describe(),
         advice.empty() ? "; close other programs, or use a machine with more memory" : "; this would fit: ", advice);
}

}  // namespace diffapple
