#include "diffapple/experiments/experiment.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <utility>

#include "diffapple/core/device.h"
#include "diffapple/core/dtype.h"
#include "diffapple/core/error.h"
#include "diffapple/core/libtorch.h"
#include "diffapple/core/process_memory.h"
#include "diffapple/core/text.h"
#include "diffapple/core/version.h"
#include "diffapple/io/resample.h"
#include "diffapple/io/weights.h"
#include "diffapple/pipelines/scheduler_repairs.h"
#include "diffapple/recipes/output_names.h"

namespace diffapple {

using nlohmann::json;

namespace {

constexpr const char* scheduler_file = "scheduler_config.json";

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
      checkpoint_(run_.batch.model.empty() ? require_study_checkpoint(study) : require_checkpoint(run_.batch.model)),
      scheduler_config_(checkpoint_.scheduler_config()),
      pipeline_(open_pipeline_of(study, checkpoint_, run_.batch)),
      circumstances_(find_circumstances(study, checkpoint_, *pipeline_, scheduler_config_)) {
    read_inputs();
    identities_ = pipeline_->components().identify(placement().dtype == at::kHalf);
    read_start_latents();
    make_memory_plan();
}

BatchSettings Experiment::batch(size_t number) const {
    BatchSettings settings = run_.batch_at(number);
    const StudyExperiment& study = circumstances_.experiment;
    if (settings.scheduler.empty() && study.scheduler.empty())
        settings.scheduler = scheduler_name(scheduler_config_, scheduler_file);
    return settle(std::move(settings), circumstances_);
}

void Experiment::set_prompts(std::vector<std::string> prompts) {
    if (!circumstances_.experiment.has_prompts()) fail_usage(circumstances_.experiment.name, ": takes no prompts");
    run_.batch.prompts = std::move(prompts);
}

/// What the pictures say of their own size is known only once they are read.
void Experiment::read_inputs() {
    const BatchSettings& given = run_.batch;
    if (!given.image.given()) return;
    const auto inputs = std::make_shared<PictureInputs>();
    inputs->image = read_image(given.image.path);
    inputs->keep_unmasked = given.keep_unmasked;
    if (!given.mask.given()) {
        circumstances_.default_size = size_of_image(inputs->image, circumstances_.traits.size_factor);
    } else {
        inputs->mask = read_image(given.mask.path);
        if (given.mask_blur > 0) inputs->mask = gaussian_blur(*inputs->mask, given.mask_blur);
        if (given.padding_mask_crop)
            inputs->crop = crop_region(*inputs->mask, batch(0).size(), *given.padding_mask_crop);
    }
    inputs_ = inputs;
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
    if (!repairs_scheduler_ || !traits.has_prompts || traits.is_xl) return scheduler_config_;
    const bool by_experiment = batch.scheduler == circumstances_.experiment.scheduler;
    return repair_scheduler_config(scheduler_config_, {.own = circumstances_.own_scheduler,
                                                       .chosen = batch.scheduler,
                                                       .swapped = by_experiment,
                                                       .inpaints = batch.mask.given()});
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
        if (!identity.config_schema_1.empty()) recipe.configs_of_schema_1[component] = identity.config_schema_1;
    }
    determining["model"]["weights"] = weights;
    determining["model"]["configs"] = configs;
    return recipe;
}

std::filesystem::path Experiment::path(const BatchSettings& batch, int64_t index) const {
    return picture_path(run_.out, batch, index, circumstances_);
}

// --- memory

bool Experiment::any_guided() const {
    if (run_.batch.is_guided()) return true;
    // Asked for every batch: the list of guidance alone is looked at, not those of a hundred thousand seeds.
    for (const auto& axis : run_.axes) {
        if (axis.setting->key != "guidance") continue;
        for (const auto& change : axis.values) {
            BatchSettings settings = run_.batch;
            change(settings);
            if (settings.is_guided()) return true;
        }
    }
    return false;
}

MemoryRequest Experiment::memory_request() const {
    const BatchSettings first = batch(0);
    return {.placement = placement(),
            .size = first.size(),
            .pictures = first.pictures(),
            .guided = any_guided(),
            .encodes_picture = inputs_ != nullptr,
            .keep = run_.keep_loaded    ? Keep::all
                    : batch_count() > 1 ? Keep::loop
                                        : Keep::none};
}

void Experiment::make_memory_plan() {
    const auto& tiling = run_.batch.vae_tiling;
    const auto wanted = tiling ? std::optional(*tiling ? Tiling::on : Tiling::off) : std::nullopt;
    plan_ = plan_memory(*pipeline_, memory_request(), wanted, free_memory(placement().device));
    pipeline_->set_tiling(plan_.tiling);
    circumstances_.tiles = plan_.tiling == Tiling::on;
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
            .clip_skip = batch.clip_skip};
}

/// diffusers applies clip_skip to positive prompts only.
Prompt Experiment::negative_prompt(const BatchSettings& batch) const {
    const std::string text = batch.negative_prompt.value_or("");
    return {.text = text,
            .text_2 = circumstances_.traits.is_xl ? or_first(batch.negative_prompt_2, text) : "",
            .zeros = circumstances_.traits.zeros_for_no_prompt && !batch.negative_prompt};
}

/// Those of all batches of the run, so that each is encoded once.
void Experiment::prepare_prompts(const BatchSettings& batch, Reporter& reporter) {
    std::vector<Prompt> prompts;
    for (int64_t index = 0; index < batch.pictures() && !batch.prompts.empty(); ++index)
        prompts.push_back(prompt(batch, index));
    if (any_guided()) {
        // Of a batch without guidance the negative prompt was taken away, but another may follow.
        BatchSettings guided = run_.batch;
        if (!circumstances_.traits.zeros_for_no_prompt) guided.negative_prompt = guided.negative_prompt.value_or("");
        prompts.push_back(negative_prompt(guided));
    }
    pipeline_->prepare(prompts, [&](const std::string& lost, size_t limit) {
        constexpr size_t most_shown = 300;  // a pasted book is no message
        reporter.note(concat("The text encoder reads ", limit,
                             " tokens; this end of the prompt is left out: ", shorten(lost, most_shown)));
    });
}

BatchRequest Experiment::request(const BatchSettings& batch) const {
    BatchRequest request{.pictures = batch.pictures(),
                         .size = batch.size(),
                         .negative_prompt = negative_prompt(batch),
                         .guidance = {.scale = batch.guidance.value_or(1.0), .rescale = batch.guidance_rescale},
                         .options = batch,
                         .inputs = inputs_,
                         .strength = batch.strength.value_or(1.0),
                         .start_noise = start_latents_};
    for (int64_t index = 0; index < batch.pictures() && !batch.prompts.empty(); ++index)
        request.prompts.push_back(prompt(batch, index));
    return request;
}

Denoised Experiment::denoise(const BatchSettings& batch, Reporter& reporter) {
    require_memory(reporter);
    pipeline_->components().set_residency(plan_.keep, [&reporter](const std::string& component, double seconds) {
        reporter.detail(concat("loaded ", component, " in ", seconds, " s; resident memory is now ",
                               resident_memory() / 1'000'000, " MB"));
    });
    prepare_prompts(batch, reporter);
    const auto scheduler = new_scheduler(batch);
    NoiseSource noise(batch.seed, batch.generator);
    return pipeline_->sample(request(batch), *scheduler, noise,
                             [&](size_t done, size_t total) { reporter.turn(done, total); });
}

FinishedPictures Experiment::finish(const BatchSettings& batch, const Denoised& denoised, Reporter& reporter) {
    std::vector<Image> results = to_images(pipeline_->decode(denoised.sample));
    if (batch.safety == true) censor(results, reporter);
    pipeline_->components().end_batch();
    FinishedPictures finished;
    for (const Image& result : results) {
        finished.images.push_back(inputs_ ? inputs_->finish(result) : result);
        if (!inputs_) continue;
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
        reporter.note(concat("The model's safety checker has made ", count, " of ", unsafe.size(),
                             " pictures black; --safety off leaves it out."));
}

// --- what is said

void Experiment::explain_demo(Reporter& reporter) const {
    if (!run_.batch.model.empty() || !circumstances_.is_demo) return;
    const std::string& study_model = circumstances_.experiment.model();
    reporter.note(concat(study_model, " is not on this machine, so the small demo model ", checkpoint_.name,
                         " is used; for the study's model, ", how_to_get(study_model)));
}

void Experiment::explain_noise(Reporter& reporter) const {
    const BatchSettings first = batch(0);
    const int64_t numbers = c10::multiply_integers(pipeline_->latents_shape(first.pictures(), first.size()));
    if (first.generator == GeneratorKind::cuda && numbers > CudaGenerator::threads)
        reporter.note(concat("--rng cuda: these pictures' noise has ", numbers, " numbers; beyond ",
                             CudaGenerator::threads,
                             " it depends on the GPU's size, and is that of an RTX A5000 (docs/fidelity.md)"));
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
