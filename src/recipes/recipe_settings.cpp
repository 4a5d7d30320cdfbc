#include "diffapple/recipes/recipe_settings.h"

#include <algorithm>
#include <limits>

#include "diffapple/core/error.h"
#include "diffapple/io/json_fields.h"
#include "diffapple/schedulers/scheduler.h"

namespace diffapple {
namespace {

/// The pixels are those of a whole batch.
constexpr int64_t max_size = 8192, max_pixels = int64_t{4096} * 4096, max_steps = 10'000, max_pictures = 64;
constexpr size_t max_text = 20'000, max_name = 300;
constexpr double max_guidance = 1000;

std::string read_text(const JsonFields& fields, const std::string& key, const std::optional<std::string>& fallback,
                      size_t limit = max_text) {
    std::string text = fields.text(key, fallback);
    if (text.size() > limit) fields.reject(key, concat("is longer than ", limit, " bytes"));
    return text;
}

double read_number(const JsonFields& fields, const std::string& key, double fallback, double maximum) {
    const double value = fields.number(key, fallback);
    if (value < 0 || value > maximum) fields.reject(key, concat("is ", value, ", but must be from 0 to ", maximum));
    return value;
}

std::optional<std::string> read_optional_text(const JsonFields& fields, const std::string& key) {
    if (!fields.has(key)) return std::nullopt;
    return read_text(fields, key, "");
}

std::optional<PixelPair> read_pair(const JsonFields& fields, const std::string& key, int64_t minimum) {
    if (!fields.has(key)) return std::nullopt;
    const auto values = fields.integers(key, minimum, max_size);
    if (values.size() != 2) fields.reject(key, "must be two numbers");
    return PixelPair{values[0], values[1]};
}

void read_sizes(const JsonFields& fields, RunSettings& settings) {
    settings.width = fields.integer("width", 1, max_size);
    settings.height = fields.integer("height", 1, max_size);
    settings.original_size = read_pair(fields, "original_size", 1);
    settings.target_size = read_pair(fields, "target_size", 1);
    settings.crop = read_pair(fields, "crop_top_left", 0);
    settings.batch_size = fields.integer("batch_size", 1, max_pictures);
}

void read_prompts(const JsonFields& fields, RunSettings& settings) {
    settings.prompts = fields.texts("batch");
    if (settings.prompts.empty() || static_cast<int64_t>(settings.prompts.size()) * settings.batch_size > max_pictures)
        fields.reject("batch", concat("must make 1 to ", max_pictures, " pictures"));
    for (const auto& prompt : settings.prompts)
        if (prompt.size() > max_text) fields.reject("batch", concat("has a text longer than ", max_text, " bytes"));
    settings.prompt_2 = read_optional_text(fields, "prompt_2");
    if (!fields.boolean("zero_negative_prompt", false))
        settings.negative_prompt = read_text(fields, "negative_prompt", "");
    settings.negative_prompt_2 = read_optional_text(fields, "negative_prompt_2");
    settings.guidance_rescale = read_number(fields, "guidance_rescale", 0, 1);
    settings.eta = read_number(fields, "eta", 0, 1);
    settings.vae_tiling = fields.boolean("vae_tiling", false);
    if (fields.has("weights")) {
        fields.choice("weights", {"int8"});
        settings.weights = WeightStorage::int8;
    }
    settings.clip_skip = fields.integer("clip_skip", 0, 100, 0);
    settings.safety = fields.boolean("safety", false);
    settings.mask_blur = read_number(fields, "mask_blur", 0, max_size);
    if (fields.has("padding_mask_crop")) settings.padding_mask_crop = fields.integer("padding_mask_crop", 0, max_size);
    settings.keep_unmasked = fields.boolean("keep_unmasked", false);
}

/// The place of the picture in its batch, whose pictures must not be too many together.
int64_t read_index(const JsonFields& fields, const RunSettings& settings) {
    const auto prompts = std::max<int64_t>(static_cast<int64_t>(settings.prompts.size()), 1);
    const int64_t pictures = prompts * settings.batch_size;
    if (pictures * *settings.width * *settings.height > max_pixels)
        fields.reject("width",
                      concat("times height times ", pictures, " pictures is more than ", max_pixels, " pixels"));
    return fields.integer("index", 0, pictures - 1);
}

}  // namespace

RecipeRun read_recipe_run(const Recipe& recipe, const std::string& where) {
    const JsonFields determining(recipe.determining, where);
    const JsonFields fields = determining.object("settings");
    RecipeRun run{.kind = find_study_experiment(determining.choice("experiment", study_experiment_names()))};
    run.device = determining.choice("device", {"cpu", "cuda", "mps"});
    run.dtype = determining.object("dtypes").choice("unet", {"fp32", "fp16", "bf16"});
    run.image_sha256 = read_optional_text(fields, "image");
    run.mask_sha256 = read_optional_text(fields, "mask");
    run.latents_sha256 = read_optional_text(fields, "latents");
    RunSettings& settings = run.settings;
    settings.model = read_text(determining.object("model"), "name", std::nullopt, max_name);
    read_sizes(fields, settings);
    run.batch = {.seed = static_cast<uint64_t>(fields.integer("seed", 0, std::numeric_limits<int64_t>::max())),
                 .steps = fields.integer("steps", 1, max_steps),
                 .scheduler = determining.object("scheduler").choice("name", scheduler_names())};
    if (run.kind.has_prompts()) {
        read_prompts(fields, settings);
        run.batch.guidance = read_number(fields, "guidance", run.kind.guidance, max_guidance);
        settings.guidance = {*run.batch.guidance};
    }
    if (fields.has("strength")) {
        run.batch.strength = read_number(fields, "strength", 1, 1);
        settings.strengths = {*run.batch.strength};
    }
    settings.seeds = {run.batch.seed};
    settings.steps = {run.batch.steps};
    settings.schedulers = {run.batch.scheduler};
    run.index = read_index(fields, settings);
    return run;
}

}  // namespace diffapple
