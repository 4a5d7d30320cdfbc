#include "diffapple/recipes/run_settings.h"

#include <algorithm>

#include "diffapple/core/error.h"

namespace diffapple {
namespace {

constexpr size_t max_run_pictures = 100'000;

/// The values of a list, or one absent value.
std::vector<std::optional<double>> values_of(const std::vector<double>& list) {
    if (list.empty()) return {std::nullopt};
    return {list.begin(), list.end()};
}

void check_count(const RunSettings& settings, size_t schedulers) {
    const auto at_least_one = [](size_t size) { return std::max<size_t>(size, 1); };
    size_t pictures = static_cast<size_t>(settings.batch_size) * at_least_one(settings.prompts.size());
    const size_t per_batch = pictures;
    for (const size_t factor : {settings.seeds.size(), settings.steps.size(), schedulers,
                                at_least_one(settings.guidance.size()), at_least_one(settings.strengths.size())}) {
        if (pictures > max_run_pictures / factor)
            fail_usage("these settings make more than ", max_run_pictures,
                       " pictures in one run; give fewer seeds, steps or other values");
        pictures *= factor;
    }
    if (pictures > per_batch && !(settings.latents.empty() && settings.save_latents.empty()))
        fail_usage("--latents and --save-latents take one batch, but these settings make ", pictures / per_batch,
                   "; give one value to each of --seed, --steps, --scheduler, --guidance and --strength");
}

}  // namespace

std::vector<BatchSettings> expand_batches(const RunSettings& settings, const std::string& scheduler) {
    const auto schedulers = settings.schedulers.empty() ? std::vector{scheduler} : settings.schedulers;
    check_count(settings, schedulers.size());
    std::vector<BatchSettings> batches;
    for (const auto& name : schedulers)
        for (const auto& strength : values_of(settings.strengths))
            for (const int64_t steps : settings.steps)
                for (const auto& guidance : values_of(settings.guidance))
                    for (const uint64_t seed : settings.seeds)
                        batches.push_back({seed, steps, name, guidance, strength});
    return batches;
}

}  // namespace diffapple
