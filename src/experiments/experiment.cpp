#include "diffapple/experiments/experiment.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "diffapple/core/device.h"
#include "diffapple/core/dtype.h"
#include "diffapple/core/error.h"
#include "diffapple/core/libtorch.h"
#include "diffapple/core/nearest.h"
#include "diffapple/core/numbers.h"
#include "diffapple/core/process_memory.h"
#include "diffapple/core/stop.h"
#include "diffapple/core/text.h"
#include "diffapple/core/version.h"
#include "diffapple/io/files.h"
#include "diffapple/io/resample.h"
#include "diffapple/pipelines/scheduler_repairs.h"
#include "diffapple/recipes/jobs.h"
#include "diffapple/recipes/output_names.h"
#include "diffapple/recipes/picture_facts.h"
#include "preview_file.h"
#include "step_estimate.h"

namespace diffapple {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr const char* scheduler_file = "scheduler_config.json";

Checkpoint find_checkpoint_of(const StudyExperiment& study, const BatchSettings& settings) {
    const Checkpoint found =
        settings.model.empty() ? require_study_checkpoint(study) : require_checkpoint(settings.model);
    return found.with({.config = settings.config, .vae = settings.vae});
}

std::unique_ptr<Pipeline> open_pipeline_of(const StudyExperiment& study, const Checkpoint& checkpoint,
                                           const BatchSettings& settings) {
    if (has_prompts(checkpoint) != study.has_prompts()) {
        const Component unet = checkpoint.component("unet");
        JsonFields(unet.config, unet.where())
            .reject("_class_name", study.has_prompts() ? "is that of a model without prompts: use `diffapple ddpm`"
                                                       : "is that of a model with prompts: use `diffapple sd15` or "
                                                         "`diffapple sdxl-turbo`");
    }
    const c10::Device device = find_device(settings.device);
    return open_pipeline(checkpoint, {device, find_dtype(settings.dtype, device), settings.weights},
                         settings.safety.value_or(true));
}

Circumstances find_circumstances(const StudyExperiment& study, const Checkpoint& checkpoint, const Pipeline& pipeline,
                                 const json& scheduler_config) {
    const Placement& placement = pipeline.placement();
    return {.experiment = study,
            .traits = pipeline.traits(),
            .model = checkpoint.name,
            .is_demo = checkpoint.is_demo(),
            .own_scheduler = find_scheduler_name(scheduler_config, scheduler_file),
            .device = c10::DeviceTypeName(placement.device.type(), /*lower_case=*/true),
            .dtype = dtype_name(placement.dtype),
            .default_dtype = dtype_name(find_dtype("auto", placement.device)),
            .default_size = pipeline.traits().default_size};
}

}  // namespace

Experiment::Experiment(const StudyExperiment& study, RunSettings run)
    : run_(std::move(run)),
      checkpoint_(find_checkpoint_of(study, run_.batch)),
      scheduler_config_(checkpoint_.scheduler_config()),
      pipeline_(open_pipeline_of(study, checkpoint_, run_.batch)),
      circumstances_(find_circumstances(study, checkpoint_, *pipeline_, scheduler_config_)) {
    circumstances_.format = run_.format;
    find_meeting_prompts();
    check_inputs();
    const auto dtypes = pipeline_->dtypes();
    identities_ = pipeline_->components().identify(placement().dtype, [&](const std::string& component) {
        const auto found = dtypes.find(component);
        return found == dtypes.end() ? placement().dtype : found->second;
    });
    read_start_latents();
    make_memory_plan();
    if (run_.preview > 0 && !pipeline_->traits().has_preview)
        fail_usage("--preview: the latents of this model are not those of SD or SDXL; leave it out");
    preview_ = std::make_unique<PreviewFile>();
}

Experiment::~Experiment() = default;

/// Throws where the checkpoint's own is to be taken and this program lacks it.
BatchSettings Experiment::with_scheduler(BatchSettings settings) const {
    if (settings.scheduler.empty() && circumstances_.experiment.scheduler.empty())
        settings.scheduler = scheduler_name(scheduler_config_, scheduler_file);
    return settings;
}

BatchSettings Experiment::batch(size_t number) const {
    BatchSettings settings = with_scheduler(run_.batch_at(number));
    const Circumstances now = circumstances(settings);
    return settle(std::move(settings), now);
}

/// A picture that is started from decides the usual size, unless only a part of it is painted.
Circumstances Experiment::circumstances(const BatchSettings& batch) const {
    Circumstances now = circumstances_;
    if (!batch.image.given()) return now;
    now.image_size = image_sizes_.at(batch.image.sha256);
    if (!batch.mask.given())
        now.default_size = size_of_image(image_sizes_.at(batch.image.sha256), now.traits.size_factor);
    return now;
}

void Experiment::set_prompts(std::vector<std::string> prompts) {
    if (!circumstances_.experiment.has_prompts()) fail_usage(circumstances_.experiment.name, ": takes no prompts");
    run_.batch.prompts = std::move(prompts);
    find_meeting_prompts();
}

namespace {

/// Settings that a run may change while its model is open. Where others are, a new run has to be made.
bool may_change(const Setting& row) {
    static const std::set<std::string> of_other_topics = {"negative_prompt", "negative_prompt_2", "clip_skip",
                                                          "prompt_syntax", "strength"};
    return row.topic == Topic::sampling || of_other_topics.contains(row.key);
}

const Setting& changeable_setting(const StudyExperiment& study, const std::string& option) {
    std::vector<std::string> names;
    for (const Setting& row : settings()) {
        if (!row.is_for(study) || !may_change(row)) continue;
        names.push_back(row.option.substr(2));
        for (const auto& alias : row.aliases)
            if (alias == "--" + option || alias == "-" + option) return row;
        if (row.option == "--" + option) return row;
    }
    fail_usage("'", option, "' is no setting that can be changed here", did_you_mean(option, names), "; there are ",
               join(names, ", "));
}

}  // namespace

void Experiment::change(const std::string& option, const std::string& text) {
    const Setting& row = changeable_setting(circumstances_.experiment, option);
    RunSettings changed = run_;
    std::erase_if(changed.axes, [&](const RunSettings::Axis& axis) { return axis.setting == &row; });
    if (row.option == "--size") changed.batch.width = changed.batch.height = std::nullopt;
    row.read({text}, changed);
    changed.sort_axes();
    std::swap(run_, changed);
    try {
        for (size_t number = 0; number < batch_count(); ++number) batch(number);
        make_memory_plan();
    } catch (...) {
        run_ = std::move(changed);
        throw;
    }
    plan_checked_ = false;
}

std::string Experiment::describe() const {
    std::vector<std::string> texts;
    auto all = setting_texts(Recipe{.determining = write_settings(batch(0))});
    for (const auto& axis : run_.axes) all[axis.setting->label()] = counted(axis.values.size(), "value");
    for (const auto& [name, value] : all)
        if (!is_derived_setting(name) && !is_digest_setting(name))
            texts.push_back(name + " " + (value.empty() ? "''" : value));
    return join(texts, ", ");
}

/// Reads all that pictures start from, so that what is wrong with it is known before anything is loaded, and so that
/// the pictures' sizes are.
void Experiment::check_inputs() {
    LineProblems problems;
    for (const RunSettings* const part : run_.parts())
        problems.gather(part->place, [&] {
            for (const size_t number : part->batches_of_inputs()) {
                check_stop();
                if (!run_.batch_at(number).image.given()) continue;
                read_inputs(with_scheduler(run_.batch_at(number)));
                note_inputs(batch(number));
            }
        });
    problems.fail_if_any(run_.source);
}

namespace {

/// Whether two batches start from the same pictures, read alike.
bool share_inputs(const BatchSettings& one, const BatchSettings& other) {
    return one.image == other.image && one.mask == other.mask && one.mask_blur == other.mask_blur &&
           one.padding_mask_crop == other.padding_mask_crop && one.keep_unmasked == other.keep_unmasked &&
           (!one.padding_mask_crop || one.size() == other.size());
}

}  // namespace

/// What a batch starts from; kept for the batches that follow. Of one that is not settled, what depends on its size is
/// not kept.
void Experiment::read_inputs(const BatchSettings& batch) {
    if (inputs_of_ && share_inputs(*inputs_of_, batch)) return;
    const auto inputs = std::make_shared<PictureInputs>();
    inputs->image = read_image(batch.image.path);
    image_sizes_[batch.image.sha256] = {inputs->image.width, inputs->image.height};
    inputs->keep_unmasked = batch.keep_unmasked;
    if (batch.mask.given()) {
        inputs->mask = read_image(batch.mask.path);
        if (batch.mask_blur > 0) inputs->mask = gaussian_blur(*inputs->mask, batch.mask_blur);
        if (batch.padding_mask_crop) {
            const auto &image = inputs->image, &mask = *inputs->mask;
            if (mask.width != image.width || mask.height != image.height)
                fail("--padding-mask-crop: the image and the mask must be of one size, not ", image.width, "x",
                     image.height, " and ", mask.width, "x", mask.height);
            const Size size = settle(batch, circumstances(batch)).size();
            inputs->crop = crop_region(mask, size, *batch.padding_mask_crop);
        }
    } else {
        circumstances(batch);  // throws where the picture is too small
    }
    inputs_ = inputs;
    inputs_of_ = batch;
}

void Experiment::read_start_latents() {
    const auto& path = run_.batch.latents.path;
    if (path.empty()) return;
    const BatchSettings first = batch(0);
    const auto shape = pipeline_->latents_shape(first.pictures(), first.size());
    const auto tensors = open_safetensors(path);
    const auto found = tensors.find("latents");
    if (found == tensors.end()) fail("--latents ", path.string(), ": has no tensor named 'latents'");
    if (found->second.dtype != at::kFloat || found->second.shape.size() != 4)
        fail("--latents ", path.string(), ": 'latents' must be fp32 with 4 dimensions, batch first; it is ",
             dtype_name(found->second.dtype), " with ", found->second.shape.size());
    if (found->second.shape != shape)
        fail("--latents: the tensor has shape ", at::IntArrayRef(found->second.shape), ", but this run needs ",
             at::IntArrayRef(shape));
    start_latents_ = found->second.read().clone();
    found->second.release();
    if (!at::isfinite(*start_latents_).all().item<bool>())
        fail("--latents ", path.string(), ": holds values that are not finite (NaN or infinity), and no noise");
}

void Experiment::keep_recorded_scheduler(const json& recorded) {
    repairs_scheduler_ = without_notes(recorded) != without_notes(scheduler_config_);
}

/// As the batch uses it. An experiment that has a sampler of its own sets it by from_config, as the study does.
json Experiment::scheduler_config(const BatchSettings& batch) const {
    const ModelTraits& traits = circumstances_.traits;
    if (!repairs_scheduler_) return scheduler_config_;
    const SchedulerUse use{.own = circumstances_.own_scheduler,
                           .chosen = batch.scheduler,
                           .swapped = batch.scheduler == circumstances_.experiment.scheduler,
                           .inpaints = batch.mask.given()};
    const json config = config_for_other_class(scheduler_config_, use);
    return traits.has_prompts && !traits.is_xl ? repair_scheduler_config(config, use) : config;
}

std::unique_ptr<Scheduler> Experiment::new_scheduler(const BatchSettings& batch) const {
    return make_scheduler(batch.scheduler, scheduler_config(batch), scheduler_file,
                          {.steps = batch.steps, .strength = batch.strength.value_or(1.0), .eta = batch.eta});
}

Recipe Experiment::recipe(const BatchSettings& batch, int64_t index) const {
    Recipe recipe{.determining = write_settings(batch)};
    json& determining = recipe.determining;
    determining["schema"] = recipe_schema;
    determining["experiment"] = circumstances_.experiment.name;
    determining["scheduler"]["config"] = without_notes(scheduler_config(batch));
    for (const auto& [component, dtype] : pipeline_->dtypes()) determining["dtypes"][component] = dtype_name(dtype);
    determining["settings"]["index"] = index;
    if (!batch.prompts.empty()) determining["settings"]["prompt"] = batch.prompt_of(index);
    json weights = json::object(), configs = json::object();
    for (const auto& [component, identity] : identities_) {
        if (!identity.weights.empty()) weights[component] = identity.weights;
        if (!identity.config.empty()) configs[component] = identity.config;
        if (!identity.weights_before.empty()) recipe.weights_before[component] = identity.weights_before;
        if (!identity.config_schema_1.empty()) recipe.configs_of_schema_1[component] = identity.config_schema_1;
    }
    determining["model"]["weights"] = weights;
    determining["model"]["configs"] = configs;
    return recipe;
}

fs::path Experiment::path(const fs::path& out, const BatchSettings& batch, int64_t index, Naming naming) const {
    return picture_path(out, batch, index, circumstances(batch), naming);
}

void Experiment::find_meeting_prompts() {
    std::vector<std::string> prompts;
    for (const RunSettings* const part : run_.parts())
        prompts.insert(prompts.end(), part->batch.prompts.begin(), part->batch.prompts.end());
    circumstances_.meeting_prompts =
        std::make_shared<const std::set<std::string>>(diffapple::find_meeting_prompts(prompts));
}

// --- making a batch

namespace {

/// The second encoder's text: its own, or where that is absent or empty, the first one's.
std::string or_first(const std::optional<std::string>& second, const std::string& first) {
    return second && !second->empty() ? *second : first;
}

}  // namespace

Prompt Experiment::prompt(const BatchSettings& batch, int64_t index) const {
    const std::string& text = batch.prompt_of(index);
    return {.text = text,
            .text_2 = circumstances_.traits.is_xl ? or_first(batch.prompt_2, text) : "",
            .clip_skip = batch.clip_skip,
            .syntax = batch.prompt_syntax};
}

/// diffusers applies clip_skip to positive prompts only.
Prompt Experiment::negative_prompt(const BatchSettings& batch) const {
    const std::string text = batch.negative_prompt.value_or("");
    return {.text = text,
            .text_2 = circumstances_.traits.is_xl ? or_first(batch.negative_prompt_2, text) : "",
            .syntax = batch.prompt_syntax,
            .zeros = circumstances_.traits.zeros_for_no_prompt && !batch.negative_prompt};
}

/// Those of all batches of the run, so that each is encoded once.
void Experiment::prepare_prompts(const BatchSettings& batch, Reporter& reporter) {
    std::vector<Prompt> prompts;
    for (int64_t index = 0; index < batch.pictures() && !batch.prompts.empty(); ++index)
        prompts.push_back(prompt(batch, index));
    if (!run_.jobs.empty()) {
        if (batch.is_guided()) prompts.push_back(negative_prompt(batch));
    } else if (any_guided()) {
        // Of a batch without guidance the negative prompt was taken away, but another may follow.
        BatchSettings guided = run_.batch;
        if (!circumstances_.traits.zeros_for_no_prompt) guided.negative_prompt = guided.negative_prompt.value_or("");
        prompts.push_back(negative_prompt(guided));
    }
    pipeline_->prepare(prompts, [&](const std::string& lost, size_t limit) {
        constexpr size_t most_shown = 300;  // a pasted book is no message
        reporter.note(concat(
            "the text encoder reads ", counted(limit, "token"),
            " (--prompt-syntax weighted: all); this end of the prompt is left out: ", shorten(lost, most_shown)));
    });
}

BatchRequest Experiment::request(const BatchSettings& batch) const {
    BatchRequest request{.pictures = batch.pictures(),
                         .size = batch.size(),
                         .negative_prompt = negative_prompt(batch),
                         .guidance = {.scale = batch.guidance.value_or(1.0),
                                      .rescale = batch.guidance_rescale,
                                      .embedded = batch.embeds_guidance},
                         .options = batch,
                         .inputs = batch.image.given() ? inputs_ : nullptr,
                         .strength = batch.strength.value_or(1.0),
                         .start_noise = start_latents_};
    for (int64_t index = 0; index < batch.pictures() && !batch.prompts.empty(); ++index)
        request.prompts.push_back(prompt(batch, index));
    return request;
}

/// A step cannot be interrupted by the first Ctrl-C, so one that takes long is told of before it begins.
void Experiment::warn_of_long_steps(const BatchSettings& batch, size_t turns, Reporter& reporter) {
    constexpr double long_step = 60;
    if (long_steps_told_) return;
    const double flop = pipeline_->flop_per_turn(batch.pictures(), batch.size(), batch.is_guided());
    const double seconds = estimate_step_seconds(flop, placement());
    if (seconds < long_step) return;
    long_steps_told_ = true;
    reporter.note(concat("a step is expected to take about ", describe_minutes(seconds), " here, and this batch's ",
                         counted(turns, "step"), " about ", describe_minutes(seconds * static_cast<double>(turns)),
                         "; Ctrl-C twice stops at once"));
}

Denoised Experiment::denoise(const BatchSettings& batch, Reporter& reporter) {
    require_memory(reporter);
    pipeline_->components().set_residency(plan_.keep, [&reporter](const std::string& component, double seconds) {
        reporter.detail(concat("loaded ", component, " in ", format_fixed(seconds, 2), " s; resident memory is now ",
                               resident_memory() / 1'000'000, " MB"));
    });
    if (batch.image.given()) read_inputs(batch);
    prepare_prompts(batch, reporter);
    const auto scheduler = new_scheduler(batch);
    warn_of_long_steps(batch, scheduler->timesteps().size(), reporter);
    NoiseSource noise(batch.seed, batch.generator);
    return pipeline_->sample(
        request(batch), *scheduler, noise, [&](size_t done, size_t total) { reporter.turn(done, total); },
        preview(batch, *scheduler, reporter));
}

Preview Experiment::preview(const BatchSettings& batch, const Scheduler& scheduler, Reporter& reporter) {
    if (run_.preview == 0) return {};
    if (const size_t turns = scheduler.timesteps().size(); run_.preview >= turns)
        preview_->explain_none(run_.preview, turns, reporter);
    const fs::path file = preview_path(path(run_.out, batch, 0, Naming::usual));
    return {.every = run_.preview,
            .show = [this, file, config = scheduler_config(batch), size = batch.size(), &scheduler, &reporter](
                        const at::Tensor& output, const at::Tensor& sample, size_t index) {
                const auto original = estimate_original(scheduler, config, output, sample, index);
                preview_->write(file, pipeline_->preview(original), size, reporter);
            }};
}

FinishedPictures Experiment::finish(const BatchSettings& batch, const Denoised& denoised, Reporter& reporter) {
    std::vector<Image> results = to_images(pipeline_->decode(denoised.sample));
    if (batch.safety == true) censor(results, reporter);
    pipeline_->components().end_batch();
    FinishedPictures finished;
    for (const Image& result : results) {
        finished.images.push_back(batch.image.given() ? inputs_->finish(result) : result);
        if (!batch.image.given()) continue;
        if (auto comparison = inputs_->compare(finished.images.back()))
            finished.comparisons.push_back(std::move(*comparison));
    }
    return finished;
}

void Experiment::censor(std::vector<Image>& pictures, Reporter& reporter) {
    const auto unsafe = pipeline_->find_unsafe(pictures);
    for (size_t i = 0; i < unsafe.size(); ++i)
        if (unsafe[i]) pictures[i] = blank_image(pictures[i].width, pictures[i].height, pictures[i].channels);
    if (const auto count = std::count(unsafe.begin(), unsafe.end(), true); count > 0)
        reporter.note(concat("the model's safety checker has made ", count, " of ", counted(unsafe.size(), "picture"),
                             " black; --safety off leaves it out"));
}

void Experiment::record_what_is_known(const Denoised& denoised, Recipe& recipe) const {
    const c10::Device device = placement().device;
    recipe.known = {{"seconds", denoised.seconds},
                    {"it_per_s", static_cast<double>(denoised.turns) / denoised.seconds},
                    {"peak_bytes", peak_memory(device)},
                    {"threads", at::get_num_threads()},
                    {"libtorch", libtorch::version()},
                    {"diffapple", version},
                    {"date", current_date()}};
    if (const std::string model = device_model(device); !model.empty()) recipe.known["device_model"] = model;
}

}  // namespace diffapple
