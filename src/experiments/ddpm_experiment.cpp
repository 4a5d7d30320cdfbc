#include "diffapple/experiments/ddpm_experiment.h"

#include <ATen/Parallel.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "diffapple/core/device.h"
#include "diffapple/core/dtype.h"
#include "diffapple/core/error.h"
#include "diffapple/core/libtorch.h"
#include "diffapple/experiments/output_names.h"
#include "diffapple/experiments/picture_file.h"
#include "diffapple/io/files.h"
#include "diffapple/io/sha256.h"
#include "diffapple/pipelines/ddpm.h"

namespace diffapple {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr const char* study_model = "google/ddpm-cat-256";
constexpr const char* demo_model = "ddpm-cat-demo";
constexpr const char* scheduler_file = "scheduler_config.json";
constexpr size_t max_pictures = 100'000;

/// One picture of the plan.
struct Picture {
    fs::path path;
    Recipe recipe;
    Existing existing;
};

/// One batch of the plan: all pictures that share a seed's noise.
struct Batch {
    uint64_t seed;
    int64_t steps;
    std::string scheduler;
    std::vector<Picture> pictures;
    bool skipped = false;
};

/// Everything that the batches have in common.
struct Context {
    const DDPMSettings& settings;
    Placement placement;
    Checkpoint checkpoint;
    UNet2DConfig unet;
    json scheduler_config;
    std::optional<std::string> own_scheduler;  ///< absent when this program lacks it
    int64_t width, height;
    json weights_sha256, configs_sha256;
    std::optional<at::Tensor> latents;
    std::string latents_sha256;
};

Checkpoint choose_checkpoint(const DDPMSettings& settings) {
    if (settings.model) return require_checkpoint(*settings.model);
    if (auto found = find_checkpoint(study_model)) return *found;
    if (auto demo = find_checkpoint(demo_model)) return *demo;
    return require_checkpoint(study_model);
}

void explain_demo(const Context& context, Reporter& reporter) {
    if (context.settings.model || !context.checkpoint.is_demo()) return;
    reporter.note(concat(study_model, " is not on this machine, so the small demo model ", demo_model,
                         " is used. For the study's model: `hf download ", study_model,
                         "` (the Hub's client), or put its files into models/ddpm-cat-256/"));
}

at::Tensor read_latents(const fs::path& path) {
    const auto tensors = open_safetensors(path);
    const auto found = tensors.find("latents");
    if (found == tensors.end()) fail("--latents ", path.string(), ": has no tensor named 'latents'");
    if (found->second.dtype != at::kFloat || found->second.shape.size() != 4)
        fail("--latents ", path.string(), ": 'latents' must be fp32 with 4 dimensions, batch first; it is ",
             dtype_name(found->second.dtype), " with ", found->second.shape.size());
    const auto latents = found->second.read().clone();
    require_finite(latents, "--latents " + path.string());
    return latents;
}

void require_shape(const at::Tensor& latents, const std::vector<int64_t>& wanted) {
    if (latents.sizes() != at::IntArrayRef(wanted))
        fail("--latents: the tensor has shape ", latents.sizes(), ", but this run needs ", at::IntArrayRef(wanted));
}

/// Of a component's config without the notes of diffusers (its version, where it came from), whose keys begin with _.
std::string config_sha256(const json& config) {
    json relevant = json::object();
    for (const auto& [key, value] : config.items())
        if (!key.starts_with("_")) relevant[key] = value;
    return sha256(relevant.dump());
}

/// What can be said about the settings alone.
void check_settings(const DDPMSettings& settings) {
    const size_t batches =
        settings.seeds.size() * settings.steps.size() * std::max<size_t>(settings.schedulers.size(), 1);
    if (batches > max_pictures / static_cast<size_t>(settings.batch_size))
        fail_usage("these settings make more than ", max_pictures, " pictures in one run; give fewer seeds or steps");
    if (batches > 1 && !(settings.latents.empty() && settings.save_latents.empty()))
        fail_usage("--latents and --save-latents take one batch, but these settings make ", batches,
                   "; give one seed, one number of steps and one scheduler");
}

Context make_context(const DDPMSettings& settings) {
    const c10::Device device = find_device(settings.device);
    const Placement placement{device, find_dtype(settings.dtype, device)};
    const Checkpoint checkpoint = choose_checkpoint(settings);
    const Component unet = checkpoint.component("unet");
    const auto config = UNet2DConfig::from_json(JsonFields(unet.config, unet.where()));
    if (config.in_channels == 2 || config.in_channels > 4)
        fail("model ", checkpoint.name, ": makes pictures of ", config.in_channels,
             " channels, but a PNG has 1, 3 or 4; `diffapple ddpm` runs pixel-space models");
    const auto [width, height] = DDPMPipeline::picture_size(config, settings.width, settings.height);
    const json scheduler_config = checkpoint.scheduler_config();
    Context context{.settings = settings,
                    .placement = placement,
                    .checkpoint = checkpoint,
                    .unet = config,
                    .scheduler_config = scheduler_config,
                    .own_scheduler = {},
                    .width = width,
                    .height = height};
    context.own_scheduler = find_scheduler_name(scheduler_config, scheduler_file);
    context.configs_sha256 = {{"unet", config_sha256(unet.config)}};
    context.weights_sha256 = {{"unet", weights_sha256(unet.weights(placement.dtype == at::kHalf))}};
    if (!settings.latents.empty()) {
        context.latents = read_latents(settings.latents);
        require_shape(*context.latents, {settings.batch_size, config.in_channels, height, width});
        context.latents_sha256 = sha256_of_file(settings.latents);
    }
    return context;
}

std::unique_ptr<Scheduler> new_scheduler(const Context& context, const Batch& batch) {
    return make_scheduler(batch.scheduler, context.scheduler_config, scheduler_file, batch.steps);
}

Recipe make_recipe(const Context& context, const Batch& batch, int64_t index) {
    json settings = {{"seed", batch.seed},     {"index", index},
                     {"steps", batch.steps},   {"batch_size", context.settings.batch_size},
                     {"width", context.width}, {"height", context.height}};
    if (context.latents) settings["latents"] = context.latents_sha256;
    return {.determining = {
                {"schema", recipe_schema},
                {"experiment", "ddpm"},
                {"model",
                 {{"name", context.checkpoint.name},
                  {"weights", context.weights_sha256},
                  {"configs", context.configs_sha256}}},
                {"dtypes", {{"unet", dtype_name(context.placement.dtype)}}},
                {"device", c10::DeviceTypeName(context.placement.device.type(), /*lower_case=*/true)},
                {"scheduler", {{"name", batch.scheduler}, {"config", context.scheduler_config}}},
                {"settings", settings},
            }};
}

/// Settings off their defaults that the study's names do not show.
std::vector<std::pair<std::string, std::string>> name_suffixes(const Context& context, const Batch& batch) {
    std::vector<std::pair<std::string, std::string>> suffixes;
    const Checkpoint& checkpoint = context.checkpoint;
    if (checkpoint.name != study_model && !checkpoint.is_demo())
        suffixes.emplace_back("model", safe_name(checkpoint.name));
    if (batch.scheduler != context.own_scheduler) suffixes.emplace_back("scheduler", batch.scheduler);
    if (context.width != context.unet.sample_width || context.height != context.unet.sample_height)
        suffixes.emplace_back("size", concat(context.width, 'x', context.height));
    if (context.placement.dtype != find_dtype("auto", context.placement.device))
        suffixes.emplace_back("dtype", dtype_name(context.placement.dtype));
    if (context.latents) suffixes.emplace_back("latents", context.latents_sha256.substr(0, 6));
    return suffixes;
}

void add_pictures(const Context& context, Batch& batch) {
    for (int64_t index = 0; index < context.settings.batch_size; ++index) {
        const PictureName name{.experiment_folder = "ddpm_cat",
                               .demo = context.checkpoint.is_demo(),
                               .prompt_folder = "uncond",
                               .stem = concat("seed", batch.seed, "_i", index, "_n", batch.steps),
                               .suffixes = name_suffixes(context, batch)};
        const fs::path path = picture_path(context.settings.out, name);
        const Recipe recipe = make_recipe(context, batch, index);
        batch.pictures.push_back({path, recipe, check_existing(path, recipe, context.settings.force)});
    }
}

/// Every batch of the run, with what is made already and every error that can be known before the model is loaded.
std::vector<Batch> make_plan(const Context& context) {
    const DDPMSettings& settings = context.settings;
    std::vector<std::string> schedulers = settings.schedulers;
    if (schedulers.empty()) schedulers = {scheduler_name(context.scheduler_config, scheduler_file)};
    std::vector<Batch> plan;
    for (const auto& scheduler : schedulers)
        for (const int64_t steps : settings.steps)
            for (const uint64_t seed : settings.seeds) plan.push_back({seed, steps, scheduler, {}});
    for (Batch& batch : plan) {
        new_scheduler(context, batch);  // throws for steps that it cannot make
        add_pictures(context, batch);
        if (plan.size() > 1 && !settings.force)
            batch.skipped = std::all_of(batch.pictures.begin(), batch.pictures.end(),
                                        [](const Picture& picture) { return picture.existing == Existing::same; });
    }
    return plan;
}

void require_writable(const fs::path& file) {
    const fs::path folder = file.has_parent_path() ? file.parent_path() : fs::path(".");
    std::error_code error;
    fs::create_directories(folder, error);
    if (error) fail(folder.string(), ": the folder cannot be made (", error.message(), "); choose another with --out");
    if (access(folder.c_str(), W_OK | X_OK) != 0)
        fail(folder.string(), ": no permission to write there; choose another folder with --out");
}

json make_report(const Context& context, const Batch& batch, const Picture& picture) {
    const json& settings = picture.recipe.determining.at("settings");
    return {{"path", picture.path.string()},
            {"seed", batch.seed},
            {"index", settings.at("index")},
            {"prompt", nullptr},
            {"negative_prompt", nullptr},
            {"steps", batch.steps},
            {"guidance", nullptr},
            {"scheduler", batch.scheduler},
            {"width", context.width},
            {"height", context.height},
            {"model", context.checkpoint.name},
            {"device", device_name(context.placement.device)},
            {"dtype", dtype_name(context.placement.dtype)},
            {"seconds", picture.recipe.known.value("seconds", json())},
            {"it_per_s", picture.recipe.known.value("it_per_s", json())},
            {"peak_bytes", picture.recipe.known.value("peak_bytes", json())},
            {"id", picture.recipe.id()},
            {"skipped", batch.skipped}};
}

void record_what_is_known(const Context& context, const Denoised& denoised, Recipe& recipe) {
    const std::string device_model = libtorch::device_model(context.placement.device);
    recipe.known = {{"seconds", denoised.seconds},
                    {"it_per_s", static_cast<double>(denoised.turns) / denoised.seconds},
                    {"peak_bytes", peak_memory(context.placement.device)},
                    {"threads", at::get_num_threads()},
                    {"libtorch", libtorch::version()},
                    {"diffapple", DIFFAPPLE_VERSION},
                    {"date", current_date()}};
    if (!device_model.empty()) recipe.known["device_model"] = device_model;
}

void make_batch(const Context& context, DDPMPipeline& pipeline, Batch& batch, Reporter& reporter) {
    const auto scheduler = new_scheduler(context, batch);
    NoiseSource noise(batch.seed);
    const Denoised denoised =
        pipeline.sample({.batch_size = context.settings.batch_size,
                         .height = context.height,
                         .width = context.width,
                         .start_noise = context.latents},
                        *scheduler, noise, [&](size_t done, size_t total) { reporter.turn(done, total); });
    if (!context.settings.save_latents.empty())
        save_safetensors(context.settings.save_latents, {{"latents", denoised.sample.cpu().contiguous()}});
    const auto images = to_images(denoised.sample);
    for (size_t i = 0; i < images.size(); ++i) {
        Picture& picture = batch.pictures[i];
        record_what_is_known(context, denoised, picture.recipe);
        save_picture(picture.path, images[i], picture.recipe);
    }
}

/// Tells the reporter that a batch is over, also when it ends by an exception.
class BatchReport {
public:
    BatchReport(Reporter& reporter, const Batch& batch, size_t number, size_t count) : reporter_(reporter) {
        reporter.begin_batch(concat("seed ", batch.seed, ", ", batch.steps, " steps"), number, count);
    }
    ~BatchReport() { reporter_.end_batch(); }
    BatchReport(const BatchReport&) = delete;
    BatchReport& operator=(const BatchReport&) = delete;

private:
    Reporter& reporter_;
};

DDPMPipeline load(const Context& context, Reporter& reporter) {
    const auto start = std::chrono::steady_clock::now();
    DDPMPipeline pipeline(context.checkpoint, context.placement);
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    reporter.detail(concat("loaded ", context.checkpoint.name, " from ", context.checkpoint.folder.string(), " as ",
                           dtype_name(context.placement.dtype), " on ", device_name(context.placement.device), " in ",
                           elapsed.count(), " s"));
    return pipeline;
}

}  // namespace

void run_ddpm(const DDPMSettings& settings, Reporter& reporter) {
    check_settings(settings);
    const Context context = make_context(settings);
    std::vector<Batch> plan = make_plan(context);
    for (const Batch& batch : plan)
        if (!batch.skipped) require_writable(batch.pictures.front().path);
    if (!settings.save_latents.empty()) require_writable(settings.save_latents);
    explain_demo(context, reporter);

    std::optional<DDPMPipeline> pipeline;
    for (size_t i = 0; i < plan.size(); ++i) {
        Batch& batch = plan[i];
        if (!batch.skipped) {
            if (!pipeline) pipeline.emplace(load(context, reporter));
            const BatchReport report(reporter, batch, i + 1, plan.size());
            make_batch(context, *pipeline, batch, reporter);
        }
        for (const Picture& picture : batch.pictures) reporter.picture(make_report(context, batch, picture));
    }
}

}  // namespace diffapple
