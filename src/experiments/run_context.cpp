#include "diffapple/experiments/run_context.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cctype>

#include "diffapple/core/device.h"
#include "diffapple/core/dtype.h"
#include "diffapple/core/error.h"
#include "diffapple/io/sha256.h"
#include "diffapple/io/weights.h"
#include "diffapple/pipelines/denoise.h"

namespace diffapple {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr const char* scheduler_file = "scheduler_config.json";

Checkpoint choose_checkpoint(const StudyExperiment& kind, const std::optional<std::string>& model) {
    if (model) return require_checkpoint(*model);
    return require_study_checkpoint(kind);
}

/// Of a component's config without the notes of diffusers (its version, where it came from), whose keys begin with _.
std::string config_sha256(const json& config) {
    json relevant = json::object();
    for (const auto& [key, value] : config.items())
        if (!key.starts_with("_")) relevant[key] = value;
    return sha256(relevant.dump());
}

}  // namespace

std::string RunContext::default_scheduler() const {
    if (!kind.scheduler.empty()) return kind.scheduler;
    return own_scheduler ? *own_scheduler : scheduler_name(scheduler_config, scheduler_file);
}

std::unique_ptr<Scheduler> RunContext::new_scheduler(const BatchSettings& batch) const {
    return make_scheduler(batch.scheduler, scheduler_config, scheduler_file,
                          {.steps = batch.steps, .strength = batch.strength.value_or(1.0), .eta = settings.eta});
}

RunContext open_run(const StudyExperiment& kind, const RunSettings& settings) {
    expand_batches(settings, kind.scheduler);  // a wrong call is refused before a file is read
    const c10::Device device = find_device(settings.device);
    const Placement placement{device, find_dtype(settings.dtype, device)};
    const Checkpoint checkpoint = choose_checkpoint(kind, settings.model);
    RunContext context{.kind = kind,
                       .settings = settings,
                       .placement = placement,
                       .checkpoint = checkpoint,
                       .scheduler_config = checkpoint.scheduler_config()};
    context.own_scheduler = find_scheduler_name(context.scheduler_config, scheduler_file);
    return context;
}

void explain_demo(const RunContext& context, Reporter& reporter) {
    if (context.settings.model || !context.checkpoint.is_demo()) return;
    reporter.note(concat(context.kind.model(), " is not on this machine, so the small demo model ",
                         context.checkpoint.name, " is used; for the study's model, ",
                         how_to_get(context.kind.model())));
}

void identify(RunContext& context, const Component& component, bool prefer_half) {
    context.configs_sha256[component.name] = config_sha256(component.config);
    context.weights_sha256[component.name] = weights_sha256(component.weights(prefer_half));
}

void read_start_latents(RunContext& context, const std::vector<int64_t>& shape) {
    const fs::path& path = context.settings.latents;
    if (path.empty()) return;
    const auto tensors = open_safetensors(path);
    const auto found = tensors.find("latents");
    if (found == tensors.end()) fail("--latents ", path.string(), ": has no tensor named 'latents'");
    if (found->second.dtype != at::kFloat || found->second.shape.size() != 4)
        fail("--latents ", path.string(), ": 'latents' must be fp32 with 4 dimensions, batch first; it is ",
             dtype_name(found->second.dtype), " with ", found->second.shape.size());
    if (found->second.shape != shape)
        fail("--latents: the tensor has shape ", at::IntArrayRef(found->second.shape), ", but this run needs ",
             at::IntArrayRef(shape));
    context.latents = found->second.read().clone();
    require_finite(*context.latents, "--latents " + path.string());
    context.latents_sha256 = sha256_of_file(path);
}

Recipe base_recipe(const RunContext& context, const BatchSettings& batch, int64_t index, json settings,
                   const json& dtypes) {
    settings.update({{"seed", batch.seed},
                     {"index", index},
                     {"steps", batch.steps},
                     {"batch_size", context.settings.batch_size},
                     {"width", context.width},
                     {"height", context.height}});
    if (context.latents) settings["latents"] = context.latents_sha256;
    return {.determining = {
                {"schema", recipe_schema},
                {"experiment", context.kind.name},
                {"model",
                 {{"name", context.checkpoint.name},
                  {"weights", context.weights_sha256},
                  {"configs", context.configs_sha256}}},
                {"dtypes", dtypes},
                {"device", c10::DeviceTypeName(context.placement.device.type(), /*lower_case=*/true)},
                {"scheduler", {{"name", batch.scheduler}, {"config", context.scheduler_config}}},
                {"settings", settings},
            }};
}

namespace {

/// Whether another prompt of the batch has the same folder; for file systems that ignore case, "A" is "a".
bool shares_folder(const RunSettings& settings, int64_t index) {
    const auto folder = [](const std::string& prompt) {
        std::string name = safe_name(prompt);
        std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
        return name;
    };
    if (settings.prompts.empty()) return false;
    const std::string own = folder(settings.prompts[static_cast<size_t>(index / settings.batch_size)]);
    return std::count_if(settings.prompts.begin(), settings.prompts.end(),
                         [&](const std::string& prompt) { return folder(prompt) == own; }) > 1;
}

std::string stem(const RunContext& context, const BatchSettings& batch, int64_t index) {
    const StemStyle style = context.kind.stem;
    const bool with_index =
        style != StemStyle::steps_guidance || context.settings.batch_size > 1 || shares_folder(context.settings, index);
    std::string stem = concat("seed", batch.seed);
    if (with_index) stem += concat("_i", index);
    stem += concat("_n", batch.steps);
    if (batch.guidance) stem += "_s" + python_float(*batch.guidance);
    return stem;
}

}  // namespace

PictureName base_name(const RunContext& context, const BatchSettings& batch, int64_t index) {
    std::vector<std::pair<std::string, std::string>> suffixes;
    const Checkpoint& checkpoint = context.checkpoint;
    if (checkpoint.name != context.kind.model() && !checkpoint.is_demo())
        suffixes.emplace_back("model", safe_name(checkpoint.name));
    const auto& usual = context.kind.scheduler.empty() ? context.own_scheduler : context.kind.scheduler;
    if (batch.scheduler != usual) suffixes.emplace_back("scheduler", batch.scheduler);
    if (!context.default_size) suffixes.emplace_back("size", concat(context.width, 'x', context.height));
    if (context.placement.dtype != find_dtype("auto", context.placement.device))
        suffixes.emplace_back("dtype", dtype_name(context.placement.dtype));
    if (context.latents) suffixes.emplace_back("latents", context.latents_sha256.substr(0, 6));
    return {.experiment_folder = context.kind.output_folder,
            .demo = checkpoint.is_demo(),
            .prompt_folder = "uncond",
            .stem = stem(context, batch, index),
            .suffixes = suffixes};
}

}  // namespace diffapple
