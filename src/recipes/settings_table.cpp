// The rows of the table of settings, by topic.
#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "diffapple/core/dtype.h"
#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"
#include "diffapple/core/text.h"
#include "diffapple/core/utf8.h"
#include "diffapple/io/sha256.h"
#include "diffapple/recipes/lists.h"
#include "diffapple/recipes/output_names.h"
#include "diffapple/recipes/settings.h"
#include "diffapple/schedulers/scheduler.h"

namespace diffapple {
namespace {

using nlohmann::json;
using Texts = std::vector<std::string>;

/// What a recipe may ask for: it is a stranger's text. The pixels are those of a whole batch.
constexpr int64_t max_recipe_size = 8192, max_recipe_pixels = int64_t{4096} * 4096, max_recipe_steps = 10'000,
                  max_recipe_pictures = 64;
constexpr size_t max_recipe_text = 20'000, max_recipe_name = 300;
/// What the command line may ask for.
constexpr int64_t max_size = 16384, max_steps = 100'000, max_clip_skip = 100;
constexpr double max_guidance = 1000, max_blur = 1000;

// --- where a value stands in a recipe

void put(json& recipe, const std::string& key, json value) {
    recipe["settings"][key] = std::move(value);
}

JsonFields settings_of(const JsonFields& recipe) {
    return recipe.object("settings");
}

double bounded_number(const JsonFields& fields, const std::string& key, double fallback, double maximum) {
    const double value = fields.number(key, fallback);
    if (value < 0 || value > maximum) fields.reject(key, concat("is ", value, ", but must be from 0 to ", maximum));
    return value;
}

std::string bounded_text(const JsonFields& fields, const std::string& key, size_t limit = max_recipe_text) {
    std::string text = fields.text(key);
    if (text.size() > limit) fields.reject(key, concat("is longer than ", limit, " bytes"));
    return text;
}

// --- how the command line says a value

int64_t one_integer(const std::string& option, const std::string& text, int64_t minimum, int64_t maximum) {
    const auto values = parse_integers(option, text, minimum, maximum);
    if (values.size() != 1) fail_usage(option, ": takes one number");
    return values.front();
}

double one_number(const std::string& option, const std::string& text, double maximum) {
    const auto values = parse_numbers(option, text, 0, maximum);
    if (values.size() != 1) fail_usage(option, ": takes one number");
    return values.front();
}

std::string one_choice(const std::string& option, const std::string& text, const Texts& choices) {
    const auto values = parse_choices(option, text, choices);
    if (values.size() != 1) fail_usage(option, ": takes one of ", join(choices, ", "));
    return values.front();
}

std::pair<int64_t, int64_t> two_integers(const std::string& option, const std::string& text, char separator,
                                         int64_t minimum) {
    const size_t middle = text.find(separator);
    if (middle == std::string::npos) fail_usage(option, " '", text, "': takes two numbers as in 64", separator, "64");
    return {one_integer(option, text.substr(0, middle), minimum, max_size),
            one_integer(option, text.substr(middle + 1), minimum, max_size)};
}

/// Six digits that stand for a text or a file in a name.
std::string digits(const std::string& sha256) {
    return sha256.substr(0, 6);
}

// --- rows of a kind: a value of the batch that is read, written, restored and named in the usual way

/// A list; more than one value is an axis of the sweep. `parse` gets the option and its text.
template <typename Member, typename Parse>
void read_as_list(Setting& row, Member member, Parse parse) {
    row.value = "LIST";
    row.read = [key = row.key, option = row.option, member, parse](const Texts& texts, RunSettings& run) {
        std::vector<Change> changes;
        for (const auto& value : parse(option, texts.front()))
            changes.emplace_back([member, value](BatchSettings& batch) { batch.*member = value; });
        changes.front()(run.batch);
        if (changes.size() > 1) run.axes.push_back({&setting(key), std::move(changes)});
    };
}

/// A number from 0 to `maximum`; 0 means nothing.
Setting number_row(Setting row, double BatchSettings::*member, double maximum, const std::string& name) {
    row.value = "NUMBER";
    row.usual = [](const auto&) { return "0"; };
    row.read = [option = row.option, member, maximum](const Texts& texts, RunSettings& run) {
        run.batch.*member = one_number(option, texts.front(), maximum);
    };
    row.write = [key = row.key, member](const BatchSettings& batch, json& recipe) {
        if (batch.*member > 0) put(recipe, key, batch.*member);
    };
    row.restore = [key = row.key, member, maximum](const JsonFields& recipe, BatchSettings& batch) {
        batch.*member = bounded_number(settings_of(recipe), key, 0, maximum);
    };
    row.suffix = [member, name](const BatchSettings& batch, const Circumstances&) {
        return batch.*member > 0 ? name + "-" + python_float(batch.*member) : "";
    };
    return row;
}

/// A text that may be absent; a name has its digest's first digits.
Setting text_row(Setting row, std::optional<std::string> BatchSettings::*member, const std::string& name) {
    row.value = "TEXT";
    row.topic = Topic::prompts;
    row.with_prompts = true;
    row.read = [member](const Texts& texts, RunSettings& run) { run.batch.*member = valid_utf8(texts.front()); };
    row.write = [key = row.key, member](const BatchSettings& batch, json& recipe) {
        if (batch.*member) put(recipe, key, *(batch.*member));
    };
    row.restore = [key = row.key, member](const JsonFields& recipe, BatchSettings& batch) {
        const JsonFields fields = settings_of(recipe);
        if (fields.has(key)) batch.*member = bounded_text(fields, key);
    };
    row.suffix = [member, name](const BatchSettings& batch, const Circumstances&) {
        return batch.*member ? name + "-" + digits(sha256(*(batch.*member))) : "";
    };
    return row;
}

/// A file; recipe and name have its digest.
Setting file_row(Setting row, InputFile BatchSettings::*member) {
    row.value = "FILE";
    row.read = [option = row.option, member](const Texts& texts, RunSettings& run) {
        if (texts.front().empty()) fail_usage(option, ": the name of the file is empty");
        (run.batch.*member).path = texts.front();
    };
    row.write = [key = row.key, member](const BatchSettings& batch, json& recipe) {
        if ((batch.*member).given()) put(recipe, key, (batch.*member).sha256);
    };
    row.restore = [key = row.key, member](const JsonFields& recipe, BatchSettings& batch) {
        const JsonFields fields = settings_of(recipe);
        if (fields.has(key)) (batch.*member).sha256 = bounded_text(fields, key, max_recipe_name);
    };
    row.suffix = [key = row.key, member](const BatchSettings& batch, const Circumstances&) {
        return (batch.*member).given() ? key + "-" + digits((batch.*member).sha256) : "";
    };
    return row;
}

/// SDXL's conditioning on a pair of numbers. `Pair` is Size or Point; `own` is the value that is no news.
template <typename Pair, typename Own>
Setting pair_row(Setting row, std::optional<Pair> BatchSettings::*member, char separator, int64_t minimum,
                 const std::string& name, Own own) {
    const auto numbers = [](const Pair& pair) {
        const auto& [first, second] = pair;
        return std::vector<int64_t>{first, second};
    };
    row.value = separator == 'x' ? "WxH" : "X,Y";
    row.with_prompts = true;
    row.read = [option = row.option, member, separator, minimum](const Texts& texts, RunSettings& run) {
        const auto [first, second] = two_integers(option, texts.front(), separator, minimum);
        run.batch.*member = Pair{first, second};
    };
    row.settle = [option = row.option, member, own](BatchSettings& batch, const Circumstances& now) {
        if (batch.*member && !now.traits.is_xl)
            fail_usage(option, ": this model has no conditioning on sizes (SDXL has)");
        if (batch.*member == own(batch)) (batch.*member).reset();
    };
    row.write = [key = row.key, member, numbers](const BatchSettings& batch, json& recipe) {
        if (batch.*member) put(recipe, key, numbers(*(batch.*member)));
    };
    row.restore = [key = row.key, member, minimum](const JsonFields& recipe, BatchSettings& batch) {
        const JsonFields fields = settings_of(recipe);
        if (!fields.has(key)) return;
        const auto values = fields.integers(key, minimum, max_recipe_size);
        if (values.size() != 2) fields.reject(key, "must be two numbers");
        batch.*member = Pair{values[0], values[1]};
    };
    row.suffix = [member, numbers, name](const BatchSettings& batch, const Circumstances&) {
        if (!(batch.*member)) return std::string();
        const auto values = numbers(*(batch.*member));
        return concat(name, '-', values[0], 'x', values[1]);
    };
    return row;
}

/// One of the two sides of a picture. The width's row decides and names the size.
Setting side_row(Setting row, std::optional<int64_t> BatchSettings::*member) {
    row.value = "N";
    row.usual = [](const auto&) { return "the model's"; };
    row.read = [option = row.option, member](const Texts& texts, RunSettings& run) {
        run.batch.*member = one_integer(option, texts.front(), 1, max_size);
    };
    row.write = [key = row.key, member](const BatchSettings& batch, json& recipe) {
        put(recipe, key, *(batch.*member));
    };
    row.restore = [key = row.key, member](const JsonFields& recipe, BatchSettings& batch) {
        batch.*member = settings_of(recipe).integer(key, 1, max_recipe_size);
    };
    return row;
}

/// Needs a mask; what is off its default without one is a wrong call.
void require_mask(Setting& row, bool (*is_given)(const BatchSettings&)) {
    row.with_prompts = true;
    row.topic = Topic::pictures;
    row.settle = [option = row.option, is_given](BatchSettings& batch, const Circumstances&) {
        if (is_given(batch) && !batch.mask.given()) fail_usage(option, ": belongs to a mask; give --image and --mask");
    };
}

// --- the rows

void add_model_rows(std::vector<Setting>& rows) {
    Setting model{
        .key = "model", .option = "--model", .value = "ID|DIR", .help = "Folder, name under models/ or Hub id"};
    model.topic = Topic::model;
    model.speed = -5;
    model.usual = [](const StudyExperiment& experiment) { return experiment.model(); };
    model.read = [](const Texts& texts, RunSettings& run) {
        if (texts.front().empty()) fail_usage("--model: the name is empty");
        run.batch.model = texts.front();
    };
    model.settle = [](BatchSettings& batch, const Circumstances& now) { batch.model = now.model; };
    model.write = [](const BatchSettings& batch, json& recipe) { recipe["model"]["name"] = batch.model; };
    model.restore = [](const JsonFields& recipe, BatchSettings& batch) {
        batch.model = bounded_text(recipe.object("model"), "name", max_recipe_name);
    };
    model.suffix = [](const BatchSettings& batch, const Circumstances& now) {
        return now.experiment.has_hub_id(batch.model) || now.is_demo ? "" : "model-" + safe_name(batch.model);
    };
    rows.push_back(model);

    Setting device{.key = "device", .option = "--device", .value = "NAME", .help = "auto, mps, cuda, cuda:N or cpu"};
    device.topic = Topic::model;
    device.speed = -2;
    device.in_name = false;
    device.usual = [](const auto&) { return "auto"; };
    device.read = [](const Texts& texts, RunSettings& run) { run.batch.device = texts.front(); };
    device.settle = [](BatchSettings& batch, const Circumstances& now) { batch.device = now.device; };
    device.write = [](const BatchSettings& batch, json& recipe) { recipe["device"] = batch.device; };
    device.restore = [](const JsonFields& recipe, BatchSettings& batch) {
        batch.device = recipe.choice("device", {"cpu", "cuda", "mps"});
    };
    rows.push_back(device);
}

void add_scheduler_row(std::vector<Setting>& rows) {
    Setting row{.key = "scheduler", .option = "--scheduler", .help = "Samplers: " + join(scheduler_names(), ", ")};
    row.speed = 1;
    row.usual = [](const StudyExperiment& experiment) {
        return experiment.scheduler.empty() ? "the checkpoint's own" : experiment.scheduler;
    };
    read_as_list(row, &BatchSettings::scheduler, [](const std::string& option, const std::string& text) {
        return parse_choices(option, text, scheduler_names());
    });
    const auto usual = [](const Circumstances& now) {
        return now.experiment.scheduler.empty() ? now.own_scheduler : now.experiment.scheduler;
    };
    row.settle = [usual](BatchSettings& batch, const Circumstances& now) {
        if (batch.scheduler.empty()) batch.scheduler = usual(now).value();
    };
    row.write = [](const BatchSettings& batch, json& recipe) { recipe["scheduler"]["name"] = batch.scheduler; };
    row.restore = [](const JsonFields& recipe, BatchSettings& batch) {
        batch.scheduler = recipe.object("scheduler").choice("name", scheduler_names());
    };
    row.suffix = [usual](const BatchSettings& batch, const Circumstances& now) {
        return batch.scheduler == usual(now) ? "" : "scheduler-" + batch.scheduler;
    };
    rows.push_back(row);
}

void add_size_rows(std::vector<Setting>& rows) {
    Setting width =
        side_row({.key = "width", .option = "--width", .help = "Width of a picture"}, &BatchSettings::width);
    width.speed = 2;
    width.settle = [](BatchSettings& batch, const Circumstances& now) {
        const Size size = picture_size(now.traits, now.default_size, batch.width, batch.height);
        batch.width = size.width;
        batch.height = size.height;
    };
    width.suffix = [](const BatchSettings& batch, const Circumstances& now) {
        return batch.size() == now.default_size ? "" : concat("size-", *batch.width, 'x', *batch.height);
    };
    rows.push_back(width);
    Setting height =
        side_row({.key = "height", .option = "--height", .help = "Height of a picture"}, &BatchSettings::height);
    height.speed = 2;
    rows.push_back(height);

    Setting count{
        .key = "batch_size", .option = "--batch-size", .value = "N", .help = "Pictures made together, of each prompt"};
    count.in_name = false;
    count.usual = [](const auto&) { return "1"; };
    count.read = [](const Texts& texts, RunSettings& run) {
        run.batch.batch_size = one_integer("--batch-size", texts.front(), 1, max_size);
    };
    count.write = [](const BatchSettings& batch, json& recipe) { put(recipe, "batch_size", batch.batch_size); };
    count.restore = [](const JsonFields& recipe, BatchSettings& batch) {
        const JsonFields fields = settings_of(recipe);
        batch.batch_size = fields.integer("batch_size", 1, max_recipe_pictures);
        if (batch.pictures() > max_recipe_pictures)
            fields.reject("batch", concat("must make 1 to ", max_recipe_pictures, " pictures"));
        if (batch.pictures() * *batch.width * *batch.height > max_recipe_pixels)
            fields.reject("width", concat("times height times ", batch.pictures(), " pictures is more than ",
                                          max_recipe_pixels, " pixels"));
    };
    rows.push_back(count);
}

void add_dtype_row(std::vector<Setting>& rows) {
    Setting row{.key = "dtype", .option = "--dtype", .value = "NAME", .help = "auto, fp32, fp16 or bf16"};
    row.topic = Topic::model;
    row.speed = -1;
    row.usual = [](const auto&) { return "auto"; };
    row.read = [](const Texts& texts, RunSettings& run) { run.batch.dtype = texts.front(); };
    row.settle = [](BatchSettings& batch, const Circumstances& now) { batch.dtype = now.dtype; };
    row.write = [](const BatchSettings& batch, json& recipe) { recipe["dtypes"]["unet"] = batch.dtype; };
    row.restore = [](const JsonFields& recipe, BatchSettings& batch) {
        batch.dtype = recipe.object("dtypes").choice("unet", {"fp32", "fp16", "bf16"});
    };
    row.suffix = [](const BatchSettings& batch, const Circumstances& now) {
        return batch.dtype == now.default_dtype ? "" : "dtype-" + batch.dtype;
    };
    rows.push_back(row);
}

void add_latents_row(std::vector<Setting>& rows) {
    Setting row = file_row({.key = "latents",
                            .option = "--latents",
                            .help = "Start noise instead of the seed's: safetensors, fp32, tensor `latents`"},
                           &BatchSettings::latents);
    row.topic = Topic::pictures;
    rows.push_back(row);
}

void add_prompt_row(std::vector<Setting>& rows) {
    Setting prompt{.key = "batch", .option = "--prompt", .value = "TEXT", .help = "What to show; may be repeated"};
    prompt.topic = Topic::prompts;
    prompt.with_prompts = prompt.repeatable = true;
    prompt.in_name = false;  // its own prompt is, those of the other pictures are not
    prompt.usual = [](const auto&) { return "the study's prompts"; };
    prompt.read = [](const Texts& texts, RunSettings& run) {
        for (const auto& text : texts) run.batch.prompts.push_back(valid_utf8(text));
    };
    prompt.write = [](const BatchSettings& batch, json& recipe) { put(recipe, "batch", batch.prompts); };
    prompt.restore = [](const JsonFields& recipe, BatchSettings& batch) {
        const JsonFields fields = settings_of(recipe);
        batch.prompts = fields.texts("batch");
        if (batch.prompts.empty() || batch.prompts.size() > static_cast<size_t>(max_recipe_pictures))
            fields.reject("batch", concat("must make 1 to ", max_recipe_pictures, " pictures"));
        for (const auto& text : batch.prompts)
            if (text.size() > max_recipe_text)
                fields.reject("batch", concat("has a text longer than ", max_recipe_text, " bytes"));
    };
    rows.push_back(prompt);
}

void add_negative_prompt_row(std::vector<Setting>& rows) {
    Setting negative = text_row({.key = "negative_prompt", .option = "--negative-prompt", .help = "What not to show"},
                                &BatchSettings::negative_prompt, "neg");
    negative.speed = -8;
    negative.usual = [](const auto&) { return "of the study's prompts: the study's; else empty"; };
    negative.settle = [](BatchSettings& batch, const Circumstances& now) {
        if (!batch.is_guided()) batch.negative_prompt.reset();
        // None at all is an empty text, except where it is an embedding of zeros (SDXL).
        else if (!batch.negative_prompt && !now.traits.zeros_for_no_prompt)
            batch.negative_prompt = "";
    };
    negative.write = [](const BatchSettings& batch, json& recipe) {
        if (!batch.is_guided()) return;
        put(recipe, "negative_prompt", batch.negative_prompt.value_or(""));
        if (!batch.negative_prompt) put(recipe, "zero_negative_prompt", true);
    };
    negative.restore = [](const JsonFields& recipe, BatchSettings& batch) {
        const JsonFields fields = settings_of(recipe);
        if (fields.has("negative_prompt") && !fields.boolean("zero_negative_prompt", false))
            batch.negative_prompt = bounded_text(fields, "negative_prompt");
    };
    negative.suffix = [](const BatchSettings& batch, const Circumstances& now) {
        if (!batch.negative_prompt) return std::string();  // no guidance, or zeros, where nothing was given
        const bool study = batch.prompts == now.experiment.prompts;
        const bool usual = *batch.negative_prompt == (study ? now.experiment.negative_prompt : "") &&
                           (study || !now.traits.zeros_for_no_prompt);
        return usual ? "" : "neg-" + digits(sha256(*batch.negative_prompt));
    };
    rows.push_back(negative);
}

/// What only a guided batch has.
void settle_with_guidance(Setting& row, std::function<void(BatchSettings&)> take_away) {
    row.settle = [inner = row.settle, take_away](BatchSettings& batch, const Circumstances& now) {
        if (inner) inner(batch, now);
        if (!batch.is_guided()) take_away(batch);
    };
}

/// A text of SDXL's second encoder.
void require_second_encoder(Setting& row, std::optional<std::string> BatchSettings::*member) {
    row.settle = [option = row.option, member](BatchSettings& batch, const Circumstances& now) {
        if (batch.*member && !now.traits.is_xl) fail_usage(option, ": this model has one text encoder");
    };
}

void add_guidance_rows(std::vector<Setting>& rows) {
    Setting negative_2 = text_row(
        {.key = "negative_prompt_2", .option = "--negative-prompt-2", .help = "For the second text encoder (SDXL)"},
        &BatchSettings::negative_prompt_2, "neg2");
    negative_2.speed = -7;
    negative_2.usual = [](const auto&) { return "--negative-prompt"; };
    require_second_encoder(negative_2, &BatchSettings::negative_prompt_2);
    settle_with_guidance(negative_2, [](BatchSettings& batch) { batch.negative_prompt_2.reset(); });
    rows.push_back(negative_2);

    Setting rescale = number_row({.key = "guidance_rescale",
                                  .option = "--guidance-rescale",
                                  .help = "Rescaling of guidance, 0 to 1",
                                  .with_prompts = true},
                                 &BatchSettings::guidance_rescale, 1, "rescale");
    settle_with_guidance(rescale, [](BatchSettings& batch) { batch.guidance_rescale = 0; });
    rows.push_back(rescale);
}

void add_text_encoder_rows(std::vector<Setting>& rows) {
    Setting prompt_2 =
        text_row({.key = "prompt_2", .option = "--prompt-2", .help = "For the second text encoder (SDXL)"},
                 &BatchSettings::prompt_2, "prompt2");
    prompt_2.speed = -9;
    prompt_2.usual = [](const auto&) { return "--prompt"; };
    require_second_encoder(prompt_2, &BatchSettings::prompt_2);
    rows.push_back(prompt_2);

    Setting skip{.key = "clip_skip",
                 .option = "--clip-skip",
                 .value = "N",
                 .help = "Last layers of the text encoder to leave out"};
    skip.topic = Topic::prompts;
    skip.with_prompts = true;
    skip.usual = [](const auto&) { return "0"; };
    skip.read = [](const Texts& texts, RunSettings& run) {
        run.batch.clip_skip = one_integer("--clip-skip", texts.front(), 0, max_clip_skip);
    };
    skip.settle = [](BatchSettings& batch, const Circumstances& now) {
        if (batch.clip_skip > now.traits.skippable_text_layers)
            fail_usage("--clip-skip ", batch.clip_skip, ": this model's text encoder has ",
                       now.traits.skippable_text_layers, " layers to leave out");
    };
    skip.write = [](const BatchSettings& batch, json& recipe) {
        if (batch.clip_skip > 0) put(recipe, "clip_skip", batch.clip_skip);
    };
    skip.restore = [](const JsonFields& recipe, BatchSettings& batch) {
        batch.clip_skip = settings_of(recipe).integer("clip_skip", 0, max_clip_skip, 0);
    };
    skip.suffix = [](const BatchSettings& batch, const Circumstances&) {
        return batch.clip_skip > 0 ? concat("clip-skip-", batch.clip_skip) : "";
    };
    rows.push_back(skip);
}

void add_weights_row(std::vector<Setting>& rows) {
    Setting row{.key = "weights",
                .option = "--weights",
                .value = "NAME",
                .help = "Of UNet and text encoders: as-is, or int8 (less memory)"};
    row.topic = Topic::model;
    row.with_prompts = true;
    row.label_name = "weight storage";  // "weights" are the digests of the model's
    row.usual = [](const auto&) { return "as-is"; };
    row.read = [](const Texts& texts, RunSettings& run) {
        const bool int8 = one_choice("--weights", texts.front(), {"as-is", "int8"}) == "int8";
        run.batch.weights = int8 ? WeightStorage::int8 : WeightStorage::as_is;
    };
    row.write = [](const BatchSettings& batch, json& recipe) {
        if (batch.weights == WeightStorage::int8) put(recipe, "weights", "int8");
    };
    row.restore = [](const JsonFields& recipe, BatchSettings& batch) {
        const JsonFields fields = settings_of(recipe);
        if (!fields.has("weights")) return;
        fields.choice("weights", {"int8"});
        batch.weights = WeightStorage::int8;
    };
    row.suffix = [](const BatchSettings& batch, const Circumstances&) {
        return batch.weights == WeightStorage::int8 ? "weights-int8" : "";
    };
    rows.push_back(row);
}

void add_tiling_row(std::vector<Setting>& rows) {
    Setting row{.key = "vae_tiling",
                .option = "--vae-tiling",
                .value = "NAME",
                .help = "auto (where memory is short), on or off"};
    row.topic = Topic::model;
    row.with_prompts = true;
    row.usual = [](const auto&) { return "auto"; };
    row.read = [](const Texts& texts, RunSettings& run) {
        const auto choice = one_choice("--vae-tiling", texts.front(), {"auto", "on", "off"});
        run.batch.vae_tiling = choice == "auto" ? std::nullopt : std::optional(choice == "on");
    };
    // Pictures of one tile are the same with and without.
    row.settle = [](BatchSettings& batch, const Circumstances& now) {
        const auto tile = now.traits.tile;
        batch.vae_tiling = now.tiles && tile && std::max(*batch.width, *batch.height) > *tile;
    };
    row.write = [](const BatchSettings& batch, json& recipe) {
        if (batch.vae_tiling == true) put(recipe, "vae_tiling", true);
    };
    row.restore = [](const JsonFields& recipe, BatchSettings& batch) {
        batch.vae_tiling = settings_of(recipe).boolean("vae_tiling", false);
    };
    row.suffix = [](const BatchSettings& batch, const Circumstances&) {
        return batch.vae_tiling == true ? "vae-tiling-on" : "";
    };
    rows.push_back(row);
}

void add_eta_row(std::vector<Setting>& rows) {
    Setting row =
        number_row({.key = "eta", .option = "--eta", .help = "Noise of DDIM, 0 to 1"}, &BatchSettings::eta, 1, "eta");
    row.settle = [](BatchSettings& batch, const Circumstances&) {
        if (!scheduler_reads_eta(batch.scheduler)) batch.eta = 0;
    };
    rows.push_back(row);
}

void add_size_conditioning_rows(std::vector<Setting>& rows) {
    const auto own_size = [](const BatchSettings& batch) { return batch.size(); };
    rows.push_back(pair_row<Size>({.key = "original_size", .option = "--original-size", .help = "SDXL's conditioning"},
                                  &BatchSettings::original_size, 'x', 1, "original", own_size));
    rows.push_back(pair_row<Size>({.key = "target_size", .option = "--target-size", .help = "SDXL's conditioning"},
                                  &BatchSettings::target_size, 'x', 1, "target", own_size));
    rows.push_back(
        pair_row<Point>({.key = "crop_top_left", .option = "--crop", .help = "SDXL's conditioning: the crop's corner"},
                        &BatchSettings::crop, ',', 0, "crop-at", [](const BatchSettings&) { return Point{}; }));
    for (size_t i = rows.size() - 3; i < rows.size(); ++i)
        rows[i].usual = [i, last = rows.size() - 1](const auto&) { return i == last ? "0,0" : "the picture's"; };
}

Task task_of(const BatchSettings& batch) {
    return batch.mask.given() ? Task::inpaint : batch.image.given() ? Task::image_to_image : Task::text_to_image;
}

void add_strength_row(std::vector<Setting>& rows) {
    Setting row{.key = "strength", .option = "--strength", .help = "How far to leave the picture: 0.5,0.8; at most 1"};
    row.topic = Topic::pictures;
    row.with_prompts = true;
    row.speed = 3;
    read_as_list(row, &BatchSettings::strength,
                 [](const std::string& option, const std::string& text) { return parse_numbers(option, text, 0, 1); });
    row.settle = [](BatchSettings& batch, const Circumstances& now) {
        if (batch.strength && !batch.image.given())
            fail_usage("--strength: says how far to leave a picture; give --image");
        if (!batch.strength) batch.strength = default_strength(task_of(batch), now.traits.is_xl);
    };
    row.write = [](const BatchSettings& batch, json& recipe) {
        if (batch.strength) put(recipe, "strength", *batch.strength);
    };
    row.restore = [](const JsonFields& recipe, BatchSettings& batch) {
        const JsonFields fields = settings_of(recipe);
        if (fields.has("strength")) batch.strength = bounded_number(fields, "strength", 1, 1);
    };
    row.suffix = [](const BatchSettings& batch, const Circumstances& now) {
        return batch.strength == default_strength(task_of(batch), now.traits.is_xl)
                   ? ""
                   : "strength-" + python_float(*batch.strength);
    };
    rows.push_back(row);
}

/// The study's names are for one picture and one mask.
void leave_out_of_study_names(Setting& row) {
    row.suffix = [suffix = row.suffix](const BatchSettings& batch, const Circumstances& now) {
        return now.experiment.inpaints ? "" : suffix(batch, now);
    };
}

void add_picture_rows(std::vector<Setting>& rows) {
    Setting image = file_row({.key = "image", .option = "--image", .help = "Picture to start from (PNG, JPEG, BMP)"},
                             &BatchSettings::image);
    image.topic = Topic::pictures;
    image.with_prompts = true;
    image.settle = [](BatchSettings& batch, const Circumstances& now) {
        if (now.experiment.inpaints && !batch.mask.given())
            fail_usage(now.experiment.name,
                       ": needs --image FILE and --mask FILE (white is painted anew); "
                       "scripts/experiments/sd2_inpaint.sh has an example");
        if (now.traits.reads_mask && !batch.mask.given())
            fail_usage("this model was trained for inpainting: give --image FILE and --mask FILE, or another --model");
    };
    leave_out_of_study_names(image);
    rows.push_back(image);

    Setting mask =
        file_row({.key = "mask", .option = "--mask", .help = "What of it to paint anew: white"}, &BatchSettings::mask);
    mask.topic = Topic::pictures;
    mask.with_prompts = true;
    mask.settle = [](BatchSettings& batch, const Circumstances&) {
        if (batch.mask.given() && !batch.image.given())
            fail_usage("--mask: belongs to a picture; give it with --image");
    };
    leave_out_of_study_names(mask);
    rows.push_back(mask);
}

void add_mask_rows(std::vector<Setting>& rows) {
    Setting blur = number_row({.key = "mask_blur", .option = "--mask-blur", .help = "Blur of the mask, in pixels"},
                              &BatchSettings::mask_blur, max_blur, "mask-blur");
    require_mask(blur, [](const BatchSettings& batch) { return batch.mask_blur > 0; });
    rows.push_back(blur);

    Setting crop{.key = "padding_mask_crop",
                 .option = "--padding-mask-crop",
                 .value = "N",
                 .help = "Paint only the mask's surroundings, so many pixels wide, at full size"};
    crop.read = [](const Texts& texts, RunSettings& run) {
        run.batch.padding_mask_crop = one_integer("--padding-mask-crop", texts.front(), 0, max_size);
    };
    require_mask(crop, [](const BatchSettings& batch) { return batch.padding_mask_crop.has_value(); });
    crop.write = [](const BatchSettings& batch, json& recipe) {
        if (batch.padding_mask_crop) put(recipe, "padding_mask_crop", *batch.padding_mask_crop);
    };
    crop.restore = [](const JsonFields& recipe, BatchSettings& batch) {
        const JsonFields fields = settings_of(recipe);
        if (fields.has("padding_mask_crop"))
            batch.padding_mask_crop = fields.integer("padding_mask_crop", 0, max_recipe_size);
    };
    crop.suffix = [](const BatchSettings& batch, const Circumstances&) {
        return batch.padding_mask_crop ? concat("crop-", *batch.padding_mask_crop) : "";
    };
    rows.push_back(crop);

    Setting keep{
        .key = "keep_unmasked", .option = "--keep-unmasked", .help = "Put back the very pixels outside the mask"};
    keep.read = [](const Texts&, RunSettings& run) { run.batch.keep_unmasked = true; };
    require_mask(keep, [](const BatchSettings& batch) { return batch.keep_unmasked; });
    keep.write = [](const BatchSettings& batch, json& recipe) {
        if (batch.keep_unmasked) put(recipe, "keep_unmasked", true);
    };
    keep.restore = [](const JsonFields& recipe, BatchSettings& batch) {
        batch.keep_unmasked = settings_of(recipe).boolean("keep_unmasked", false);
    };
    keep.suffix = [](const BatchSettings& batch, const Circumstances&) {
        return batch.keep_unmasked ? "keep-unmasked" : "";
    };
    rows.push_back(keep);
}

void add_safety_row(std::vector<Setting>& rows) {
    Setting row{
        .key = "safety", .option = "--safety", .value = "NAME", .help = "on or off: the model's safety checker"};
    row.topic = Topic::results;
    row.with_prompts = true;
    row.usual = [](const auto&) { return "on where it has one"; };
    row.read = [](const Texts& texts, RunSettings& run) {
        run.batch.safety = one_choice("--safety", texts.front(), {"on", "off"}) == "on";
    };
    row.settle = [](BatchSettings& batch, const Circumstances& now) {
        if (batch.safety == true && !now.traits.has_safety_checker)
            fail_usage("--safety on: this model has no safety checker");
        batch.safety = batch.safety.value_or(true) && now.traits.has_safety_checker;
    };
    row.write = [](const BatchSettings& batch, json& recipe) {
        if (batch.safety == true) put(recipe, "safety", true);
    };
    row.restore = [](const JsonFields& recipe, BatchSettings& batch) {
        batch.safety = settings_of(recipe).boolean("safety", false);
    };
    row.suffix = [](const BatchSettings& batch, const Circumstances& now) {
        return now.traits.has_safety_checker && batch.safety == false ? "safety-off" : "";
    };
    rows.push_back(row);
}

/// These stand in the study's names.
void add_study_rows(std::vector<Setting>& rows) {
    Setting guidance{.key = "guidance", .option = "--guidance", .help = "Guidance scales: 0,2,4,8; up to 1: none"};
    guidance.with_prompts = true;
    guidance.speed = 5;
    guidance.usual = [](const StudyExperiment& experiment) { return python_float(experiment.guidance); };
    read_as_list(guidance, &BatchSettings::guidance, [](const std::string& option, const std::string& text) {
        return parse_numbers(option, text, 0, max_guidance);
    });
    guidance.write = [](const BatchSettings& batch, json& recipe) {
        if (batch.guidance) put(recipe, "guidance", *batch.guidance);
    };
    guidance.restore = [](const JsonFields& recipe, BatchSettings& batch) {
        batch.guidance = bounded_number(settings_of(recipe), "guidance", *batch.guidance, max_guidance);
    };

    Setting steps{.key = "steps", .option = "--steps", .help = "Numbers of steps: 100 or 50,100"};
    steps.speed = 4;
    steps.usual = [](const StudyExperiment& experiment) { return std::to_string(experiment.steps); };
    read_as_list(steps, &BatchSettings::steps, [](const std::string& option, const std::string& text) {
        return parse_integers(option, text, 1, max_steps);
    });
    steps.write = [](const BatchSettings& batch, json& recipe) { put(recipe, "steps", batch.steps); };
    steps.restore = [](const JsonFields& recipe, BatchSettings& batch) {
        batch.steps = settings_of(recipe).integer("steps", 1, max_recipe_steps);
    };

    Setting seed{.key = "seed", .option = "--seed", .help = "Seeds: 0,2,4 or 0..3"};
    seed.speed = 6;
    seed.usual = [](const auto&) { return "42"; };
    read_as_list(seed, &BatchSettings::seed, [](const std::string& option, const std::string& text) {
        return parse_integers(option, text, 0, std::numeric_limits<int64_t>::max());
    });
    seed.write = [](const BatchSettings& batch, json& recipe) { put(recipe, "seed", batch.seed); };
    seed.restore = [](const JsonFields& recipe, BatchSettings& batch) {
        batch.seed = static_cast<uint64_t>(settings_of(recipe).integer("seed", 0, std::numeric_limits<int64_t>::max()));
    };
    for (const Setting& row : {steps, guidance, seed}) rows.push_back(row);
}

/// "2/8": the second of eight parts.
Shard parse_shard(const std::string& text) {
    constexpr int64_t max_shards = 100'000;
    const size_t slash = text.find('/');
    if (slash == std::string::npos || text.find_first_not_of("0123456789/") != std::string::npos)
        fail_usage("--shard '", text, "': expected I/N, as 1/8 to 8/8");
    Shard shard;
    shard.count = one_integer("--shard", text.substr(slash + 1), 1, max_shards);
    shard.number = one_integer("--shard", text.substr(0, slash), 1, shard.count);
    return shard;
}

/// A setting of the run that changes no picture.
Setting run_row(Setting row, std::function<void(const std::string&, RunSettings&)> read,
                const std::string& usual = "") {
    row.read = [read](const Texts& texts, RunSettings& run) { read(texts.front(), run); };
    if (!usual.empty()) row.usual = [usual](const auto&) { return usual; };
    return row;
}

void add_run_rows(std::vector<Setting>& rows) {
    rows.push_back(run_row({.option = "--prompts",
                            .value = "FILE",
                            .help = "File of prompts, one a line, - for stdin; each is a run",
                            .topic = Topic::prompts,
                            .with_prompts = true},
                           [](const std::string& text, RunSettings& run) { run.prompts_file = text; }));
    rows.push_back(run_row({.option = "--interactive",
                            .help = "Read prompts from stdin, with the models loaded once",
                            .topic = Topic::prompts,
                            .with_prompts = true},
                           [](const std::string&, RunSettings& run) { run.interactive = true; }));
    rows.push_back(run_row(
        {.option = "--keep-loaded", .help = "Keep all components in memory after their use", .topic = Topic::model},
        [](const std::string&, RunSettings& run) { run.keep_loaded = true; }));
    rows.push_back(run_row(
        {.option = "--out", .value = "DIR", .help = "Folder of all results", .topic = Topic::results},
        [](const std::string& text, RunSettings& run) { run.out = text; }, "out"));
    rows.push_back(run_row({.option = "--force",
                            .help = "Make pictures that exist, replace those of other recipes",
                            .topic = Topic::results},
                           [](const std::string&, RunSettings& run) { run.force = true; }));
    rows.push_back(run_row({.option = "--save-latents",
                            .value = "FILE",
                            .help = "Where the final sample goes (safetensors)",
                            .topic = Topic::results},
                           [](const std::string& text, RunSettings& run) { run.save_latents = text; }));
    rows.push_back(run_row({.option = "--shard",
                            .value = "I/N",
                            .help = "Part I of N of a sweep, as 1/8: every N-th batch, for job arrays",
                            .topic = Topic::results},
                           [](const std::string& text, RunSettings& run) { run.shard = parse_shard(text); }));
    rows.push_back(run_row(
        {.option = "--sheet",
         .value = "NAME",
         .help = "on or off: a contact sheet at the end of a sweep",
         .topic = Topic::results},
        [](const std::string& text, RunSettings& run) {
            run.sheet = one_choice("--sheet", text, {"on", "off"}) == "on";
        },
        "on"));
}

}  // namespace

const std::vector<Setting>& settings() {
    static const std::vector<Setting> table = [] {
        std::vector<Setting> rows;
        for (const auto add :
             {add_prompt_row, add_model_rows, add_scheduler_row, add_size_rows, add_dtype_row, add_latents_row,
              add_negative_prompt_row, add_guidance_rows, add_text_encoder_rows, add_weights_row, add_tiling_row,
              add_eta_row, add_size_conditioning_rows, add_strength_row, add_picture_rows, add_mask_rows,
              add_safety_row, add_study_rows, add_run_rows})
            add(rows);
        return rows;
    }();
    return table;
}

}  // namespace diffapple
