#include "diffapple/recipes/settings.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "diffapple/core/error.h"
#include "diffapple/io/sha256.h"

namespace diffapple {

using nlohmann::json;

int64_t BatchSettings::pictures() const {
    return std::max<int64_t>(static_cast<int64_t>(prompts.size()), 1) * batch_size;
}

const std::string& BatchSettings::prompt_of(int64_t index) const {
    static const std::string none;
    return prompts.empty() ? none : prompts.at(static_cast<size_t>(index / batch_size));
}

bool BatchSettings::is_guided() const {
    return guidance && Guidance{.scale = *guidance, .embedded = embeds_guidance}.active();
}

void RunSettings::sort_axes() {
    std::stable_sort(axes.begin(), axes.end(),
                     [](const Axis& a, const Axis& b) { return a.setting->speed < b.setting->speed; });
}

size_t RunSettings::batch_count() const {
    if (!jobs.empty()) return jobs.back().first_batch + jobs.back().batch_count();
    size_t count = 1;
    for (const Axis& axis : axes) count *= axis.values.size();
    return count;
}

const RunSettings& RunSettings::job_of(size_t number) const {
    if (jobs.empty()) return *this;
    const auto next = std::upper_bound(jobs.begin(), jobs.end(), number,
                                       [](size_t batch, const RunSettings& job) { return batch < job.first_batch; });
    return *std::prev(next);
}

BatchSettings RunSettings::batch_at(size_t number) const {
    const RunSettings& job = job_of(number);
    number -= job.first_batch;
    BatchSettings settings = job.batch;
    for (auto axis = job.axes.rbegin(); axis != job.axes.rend(); ++axis) {
        axis->values.at(number % axis->values.size())(settings);
        number /= axis->values.size();
    }
    return settings;
}

std::vector<const RunSettings*> RunSettings::parts() const {
    if (jobs.empty()) return {this};
    std::vector<const RunSettings*> all;
    for (const RunSettings& job : jobs) all.push_back(&job);
    return all;
}

std::vector<size_t> RunSettings::batches_of_inputs() const {
    size_t inputs = 1, stride = 1, faster = 1;
    for (auto axis = axes.rbegin(); axis != axes.rend(); ++axis) {
        if (axis->setting->key == "image") inputs = axis->values.size(), stride = faster;
        faster *= axis->values.size();
    }
    std::vector<size_t> numbers;
    for (size_t i = 0; i < inputs; ++i) numbers.push_back(first_batch + i * stride);
    return numbers;
}

const std::string& FileDigests::of(const std::filesystem::path& file) {
    const auto found = known_.find(file);
    return found != known_.end() ? found->second : known_.emplace(file, sha256_of_file(file)).first->second;
}

std::string topic_title(Topic topic) {
    switch (topic) {
        case Topic::prompts:
            return "Prompts";
        case Topic::pictures:
            return "What to start from";
        case Topic::sampling:
            return "Sampling";
        case Topic::model:
            return "Model, device, memory";
        case Topic::results:
            return "Results";
    }
    return "";
}

std::string Setting::label() const {
    std::string text = label_name.empty() ? key : label_name;
    std::replace(text.begin(), text.end(), '_', ' ');
    return text;
}

const Setting& setting(const std::string& key) {
    for (const Setting& row : settings())
        if (row.key == key) return row;
    fail("there is no setting '", key, "'");
}

namespace {

/// More batches than anyone can mean, and files that one batch alone can use.
void check_count(const RunSettings& run) {
    auto pictures = static_cast<size_t>(run.batch.pictures());
    for (const auto& axis : run.axes) {
        if (pictures > max_pictures_of_run / axis.values.size())
            fail_usage("these settings make more than ", max_pictures_of_run,
                       " pictures in one run; give fewer seeds, steps or other values");
        pictures *= axis.values.size();
    }
    if (!run.drawn_seeds.empty() && run.shard.is_part())
        fail_usage("--shard: each part would draw seeds of its own; give all of them the same --seed LIST");
    const bool names_one_file = !run.batch.latents.path.empty() || !run.save_latents.empty();
    if (run.batch_count() > 1 && names_one_file)
        fail_usage("--latents and --save-latents take one batch, but these settings make ", run.batch_count(),
                   "; give one value to each of --seed, --steps, --scheduler, --guidance and --strength");
}

/// Prompts that are read later: each is a run of its own, which one file of latents does not suit.
void prepare_for_read_prompts(RunSettings& run) {
    if (!run.reads_prompts()) return;
    const char* const option = run.interactive ? "--interactive" : "--prompts";
    if (run.interactive && run.prompts_file)
        fail_usage("--interactive and --prompts: give one of them; --prompts - reads stdin");
    if (run.interactive && run.wildcards)
        fail_usage("--interactive and --wildcards: lists in prompts need all prompts beforehand; use --prompts FILE");
    if (run.interactive && run.shard.is_part())
        fail_usage("--interactive and --shard: a part needs all prompts beforehand; give them with --prompts FILE");
    if (!run.batch.prompts.empty()) fail_usage(option, " and --prompt: give one of them");
    if (!run.batch.latents.path.empty() || !run.save_latents.empty())
        fail_usage(option, ": --latents and --save-latents take one batch");
    run.batch.prompts = {""};
    run.keep_loaded = true;
}

/// Several pictures to start from are a list like any other; of equal ones, the first.
void add_images_axis(RunSettings& run, FileDigests& digests) {
    if (run.images.size() < 2) return;
    std::vector<Change> changes;
    std::set<std::string> seen;
    for (const auto& path : run.images) {
        const InputFile file{.path = path, .sha256 = digests.of(path)};
        if (!seen.insert(file.sha256).second) continue;
        changes.emplace_back([file](BatchSettings& batch) { batch.image = file; });
    }
    if (changes.size() > 1) run.axes.push_back({&setting("image"), std::move(changes)});
}

}  // namespace

RunSettings read_run(const StudyExperiment& experiment, const std::vector<GivenOption>& given) {
    FileDigests digests;
    return read_run(experiment, given, digests);
}

void apply_options(RunSettings& run, const std::vector<GivenOption>& given, FileDigests& digests) {
    for (const auto& [row, texts] : given) {
        if (texts.size() > 1 && !row->repeatable && !row->value.empty())
            fail_usage(row->option, ": is given twice",
                       row->value == "LIST" ? concat("; for a list write ", row->option, ' ', texts[0], ',', texts[1])
                                            : std::string());
        row->read(texts, run);
    }
    add_images_axis(run, digests);
    run.sort_axes();
}

void identify_inputs(RunSettings& run, FileDigests& digests) {
    for (InputFile* file : {&run.batch.image, &run.batch.mask, &run.batch.latents})
        if (!file->path.empty()) file->sha256 = digests.of(file->path);
}

RunSettings read_run(const StudyExperiment& experiment, const std::vector<GivenOption>& given, FileDigests& digests) {
    RunSettings run;
    run.batch.steps = experiment.steps;
    if (experiment.has_prompts()) run.batch.guidance = experiment.guidance;
    apply_options(run, given, digests);
    prepare_for_read_prompts(run);
    if (run.batch.prompts.empty() && experiment.has_prompts()) {
        run.batch.prompts = experiment.prompts;
        if (!run.batch.negative_prompt) run.batch.negative_prompt = experiment.negative_prompt;
    }
    check_count(run);
    identify_inputs(run, digests);
    return run;
}

BatchSettings settle(BatchSettings batch, const Circumstances& circumstances) {
    batch.embeds_guidance = circumstances.traits.embeds_guidance;
    for (const Setting& row : settings())
        if (row.settle && row.applies_to(circumstances.experiment)) row.settle(batch, circumstances);
    return batch;
}

json write_settings(const BatchSettings& batch) {
    json recipe = json::object();
    for (const Setting& row : settings())
        if (row.write) row.write(batch, recipe);
    return recipe;
}

BatchSettings restore_settings(const JsonFields& determining, const StudyExperiment& experiment) {
    BatchSettings batch;
    if (experiment.has_prompts()) batch.guidance = experiment.guidance;
    for (const Setting& row : settings())
        if (row.restore && row.applies_to(experiment)) row.restore(determining, batch);
    return batch;
}

}  // namespace diffapple
