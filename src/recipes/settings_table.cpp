// The table of settings: its rows in order, and those of the model, of sampling and of the run.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "diffapple/core/dtype.h"
#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"
#include "diffapple/core/random.h"
#include "diffapple/core/text.h"
#include "diffapple/core/utf8.h"
#include "diffapple/io/picture_encoding.h"
#include "diffapple/io/sha256.h"
#include "diffapple/models/checkpoint.h"
#include "diffapple/recipes/lists.h"
#include "diffapple/recipes/output_names.h"
#include "diffapple/schedulers/scheduler.h"
#include "setting_kinds.h"

namespace diffapple {
namespace {

using namespace rows;  // NOLINT(google-build-using-namespace): the table is made of them

/// One of the two sides of a picture. The width's row decides and names the size.
Setting side_row(Setting row, std::optional<int64_t> BatchSettings::*member) {
    row.value = "N";
    row.usual = [](const auto&) { return "the model's, or of --image; one side alone keeps its shape"; };
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

/// One side alone: the other follows the picture that is started from.
void keep_aspect(BatchSettings& batch, const Circumstances& now) {
    if (!now.image_size || batch.width.has_value() == batch.height.has_value()) return;
    const auto other = [&](int64_t side, int64_t own, int64_t others) {
        const double wanted = static_cast<double>(side) * static_cast<double>(others) / static_cast<double>(own);
        const auto factor = static_cast<double>(now.traits.size_factor);
        return std::max(std::llround(wanted / factor), 1LL) * now.traits.size_factor;
    };
    if (batch.width)
        batch.height = other(*batch.width, now.image_size->width, now.image_size->height);
    else
        batch.width = other(*batch.height, now.image_size->height, now.image_size->width);
}

/// What a model takes from elsewhere. Recipes know its name, and its digests among those of the model's components.
Setting part_row(Setting row, std::string BatchSettings::*member) {
    row.topic = Topic::model;
    row.with_prompts = true;
    row.once = true;
    row.speed = -4;
    row.read = [option = row.option, member](const Texts& texts, RunSettings& run) {
        if (texts.front().empty()) fail_usage(option, ": the name is empty");
        run.batch.*member = texts.front();
    };
    row.settle = [member](BatchSettings& batch, const Circumstances&) { batch.*member = name_of_place(batch.*member); };
    row.write = [key = row.key, member](const BatchSettings& batch, json& recipe) {
        if (!(batch.*member).empty()) put(recipe, key, batch.*member);
    };
    row.restore = [key = row.key, member](const JsonFields& recipe, BatchSettings& batch) {
        const JsonFields fields = settings_of(recipe);
        if (fields.has(key)) batch.*member = bounded_text(fields, key, max_recipe_name);
    };
    row.suffix = [key = row.key, member](const BatchSettings& batch, const Circumstances&) {
        return (batch.*member).empty() ? "" : key + "-" + safe_name(batch.*member);
    };
    return row;
}

void add_model_rows(std::vector<Setting>& rows) {
    Setting model{.key = "model",
                  .option = "--model",
                  .value = "ID|DIR|FILE",
                  .help = "Folder, file, name under models/ or Hub id"};
    model.aliases = {"-m"};
    model.topic = Topic::model;
    model.once = true;
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
    rows.push_back(part_row({.key = "config",
                             .option = "--config",
                             .value = "ID|DIR",
                             .help = "Configs (and what it lacks) of a model in a single file"},
                            &BatchSettings::config));
    rows.push_back(
        part_row({.key = "vae", .option = "--vae", .value = "FILE|DIR", .help = "Another VAE"}, &BatchSettings::vae));

    Setting device{.key = "device",
                   .option = "--device",
                   .value = "auto|mps|cuda|cpu",
                   .help = "Where to compute; cuda:N is the N-th GPU"};
    device.topic = Topic::model;
    device.once = true;
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
    row.aliases = {"--sampler", "--sampling-method"};
    row.speed = 1;
    row.usual = [](const StudyExperiment& experiment) {
        return experiment.scheduler.empty() ? "the checkpoint's own" : experiment.scheduler;
    };
    read_as_list(row, &BatchSettings::scheduler, [](const std::string& option, const std::string& text) {
        std::vector<std::string> names;
        for (const auto& name : list_words(text)) names.push_back(scheduler_called(name).value_or(name));
        return parse_choices(option, join(names, ","), scheduler_names());
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
    width.aliases = {"-W"};
    width.speed = 2;
    width.settle = [](BatchSettings& batch, const Circumstances& now) {
        keep_aspect(batch, now);
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
    height.aliases = {"-H"};
    height.speed = 2;
    rows.push_back(height);

    Setting both{.option = "--size", .value = "WxH", .help = "Width and height in one, as 512x768"};
    both.read = [](const Texts& texts, RunSettings& run) {
        if (run.batch.width || run.batch.height) fail_usage("--size and --width or --height: give one of them");
        const auto [width, height] = two_integers("--size", texts.front(), 'x', 1);
        run.batch.width = width;
        run.batch.height = height;
    };
    rows.push_back(both);

    Setting count{
        .key = "batch_size", .option = "--batch-size", .value = "N", .help = "Pictures made together, of each prompt"};
    count.aliases = {"-b", "--num-images-per-prompt"};
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
    Setting row{.key = "dtype",
                .option = "--dtype",
                .value = "auto|fp32|fp16|bf16",
                .help = "Precision; auto is the best of the device"};
    row.topic = Topic::model;
    row.once = true;
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

void add_weights_row(std::vector<Setting>& rows) {
    Setting row = two_choice_row<WeightStorage>(
        {.key = "weights", .option = "--weights", .help = "Of UNet and text encoders; int8 takes less memory"},
        &BatchSettings::weights, {"as-is", WeightStorage::as_is}, {"int8", WeightStorage::int8}, "weights");
    row.topic = Topic::model;
    row.once = true;
    row.with_prompts = true;
    row.label_name = "weight storage";  // "weights" are the digests of the model's
    rows.push_back(row);
}

void add_tiling_row(std::vector<Setting>& rows) {
    Setting row{.key = "vae_tiling",
                .option = "--vae-tiling",
                .value = "auto|on|off",
                .help = "Pictures in tiles; auto is where memory is short"};
    row.topic = Topic::model;
    row.once = true;
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

void add_generator_row(std::vector<Setting>& rows) {
    rows.push_back(two_choice_row<GeneratorKind>(
        {.key = "rng", .option = "--rng", .help = "Whose random generator the seed is for, on whatever device"},
        &BatchSettings::generator, {"cpu", GeneratorKind::cpu}, {"cuda", GeneratorKind::cuda}, "rng"));
}

void add_eta_row(std::vector<Setting>& rows) {
    Setting row =
        number_row({.key = "eta", .option = "--eta", .help = "Noise of DDIM, 0 to 1"}, &BatchSettings::eta, 1, "eta");
    row.settle = [](BatchSettings& batch, const Circumstances&) {
        if (!scheduler_reads_eta(batch.scheduler)) batch.eta = 0;
    };
    row.has_no_effect = [](const BatchSettings& batch) { return !scheduler_reads_eta(batch.scheduler); };
    row.needs = "--scheduler ddim";
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
    for (size_t i = rows.size() - 3; i < rows.size(); ++i) {
        rows[i].only_xl = true;
        rows[i].usual = [i, last = rows.size() - 1](const auto&) { return i == last ? "0,0" : "the picture's"; };
    }
}

void add_safety_row(std::vector<Setting>& rows) {
    Setting row{.key = "safety", .option = "--safety", .value = "on|off", .help = "The model's safety checker"};
    row.once = true;
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
    guidance.aliases = {"--guidance-scale", "--cfg-scale"};
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
    steps.aliases = {"--num-inference-steps"};
    steps.speed = 4;
    steps.usual = [](const StudyExperiment& experiment) { return std::to_string(experiment.steps); };
    read_as_list(steps, &BatchSettings::steps, [](const std::string& option, const std::string& text) {
        return parse_integers(option, text, 1, max_steps);
    });
    steps.write = [](const BatchSettings& batch, json& recipe) { put(recipe, "steps", batch.steps); };
    steps.restore = [](const JsonFields& recipe, BatchSettings& batch) {
        batch.steps = settings_of(recipe).integer("steps", 1, max_recipe_steps);
    };

    Setting seed{.key = "seed", .option = "--seed", .help = "Seeds: 0,2,4 or 0..3; random, random:4: drawn ones"};
    seed.aliases = {"-s"};
    seed.speed = 6;
    seed.usual = [](const auto&) { return "42"; };
    read_as_list(seed, &BatchSettings::seed, parse_seeds);
    seed.read = [option = seed.option, read_list = seed.read](const Texts& texts, RunSettings& run) {
        const std::string list = with_drawn_seeds(option, texts.front(), draw_seed);
        if (list != texts.front()) run.drawn_seeds = list;
        read_list({list}, run);
    };
    seed.write = [](const BatchSettings& batch, json& recipe) { put(recipe, "seed", batch.seed); };
    seed.restore = [](const JsonFields& recipe, BatchSettings& batch) {
        batch.seed = settings_of(recipe).unsigned_integer("seed");
    };
    for (const Setting& row : {steps, guidance, seed}) rows.push_back(row);
}

/// "2/8": the second of eight parts.
Shard parse_shard(const std::string& text) {
    constexpr int64_t max_shards = 100'000;
    const size_t slash = text.find('/');
    if (slash == std::string::npos || text.find_first_not_of("0123456789/") != std::string::npos)
        fail_usage("--shard ", quote(text), ": expected I/N, as 1/8 to 8/8");
    Shard shard;
    shard.count = one_integer("--shard", text.substr(slash + 1), 1, max_shards);
    shard.number = one_integer("--shard", text.substr(0, slash), 1, shard.count);
    return shard;
}

bool names_a_picture(const std::string& file) {
    const std::string extension = std::filesystem::path(file).extension().string();
    return extension == ".png" || extension == ".jpg" || extension == ".jpeg" || extension == ".webp";
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
                            .help = "File of prompts, one a line, - for stdin; a line may be a JSON object of settings",
                            .topic = Topic::prompts,
                            .with_prompts = true},
                           [](const std::string& text, RunSettings& run) { run.prompts_file = text; }));
    rows.push_back(run_row({.option = "--wildcards",
                            .help = "{a|b} and __name__ in prompts are lists: every combination is a prompt",
                            .topic = Topic::prompts,
                            .with_prompts = true},
                           [](const std::string&, RunSettings& run) { run.wildcards = true; }));
    rows.push_back(run_row(
        {.option = "--wildcard-folder",
         .value = "DIR",
         .help = "Where --wildcards finds name.txt, one text a line",
         .topic = Topic::prompts,
         .with_prompts = true},
        [](const std::string& text, RunSettings& run) {
            run.wildcards = true;
            run.wildcard_folder = text;
        },
        "wildcards"));
    rows.push_back(run_row({.option = "--interactive",
                            .help = "Read prompts from stdin, with the models loaded once",
                            .topic = Topic::prompts,
                            .with_prompts = true},
                           [](const std::string&, RunSettings& run) { run.interactive = true; }));
    rows.push_back(run_row(
        {.option = "--keep-loaded", .help = "Keep all components in memory after their use", .topic = Topic::model},
        [](const std::string&, RunSettings& run) { run.keep_loaded = true; }));
    rows.push_back(run_row(
        {.option = "--out",
         .value = "DIR",
         .help = "Folder of all results",
         .topic = Topic::results,
         .aliases = {"-o", "--output"}},
        [](const std::string& text, RunSettings& run) {
            if (text.empty()) fail_usage("--out: the name of the folder is empty");
            if (std::error_code none; names_a_picture(text) && !std::filesystem::is_directory(text, none))
                fail_usage("--out ", text,
                           ": means the folder of all results, in which pictures get their names; give a "
                           "folder's name");
            run.out = text;
        },
        "out"));
    rows.push_back(run_row(
        {.option = "--format",
         .value = "NAME",
         .help = "Of the pictures' files: png, jpg, webp (lossless); each holds the recipe",
         .topic = Topic::results},
        [](const std::string& text, RunSettings& run) { run.format = one_choice("--format", text, picture_formats()); },
        "png"));
    rows.push_back(run_row({.option = "--force",
                            .help = "Make pictures that exist, replace those of other recipes",
                            .topic = Topic::results},
                           [](const std::string&, RunSettings& run) { run.force = true; }));
    rows.push_back(run_row(
        {.option = "--if-exists",
         .value = "refuse|rename|replace",
         .help = "What to do where a picture of another recipe has the name; rename appends _2, _3 ...",
         .topic = Topic::results},
        [](const std::string& text, RunSettings& run) {
            const std::string choice = one_choice("--if-exists", text, {"refuse", "rename", "replace"});
            run.if_exists = choice == "rename"    ? IfExists::rename
                            : choice == "replace" ? IfExists::replace
                                                  : IfExists::refuse;
        },
        "refuse"));
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
    rows.push_back(run_row({.option = "--preview",
                            .value = "N",
                            .help = "Every N steps, the picture so far as preview.png beside the pictures' folders",
                            .topic = Topic::results},
                           [](const std::string& text, RunSettings& run) {
                               run.preview = static_cast<size_t>(one_integer("--preview", text, 1, max_steps));
                           }));
    rows.push_back(run_row(
        {.option = "--sheet",
         .value = "on|off",
         .help = "A contact sheet at the end of a sweep",
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
        for (const auto add : {add_prompt_row,    add_model_rows,
                               add_scheduler_row, add_size_rows,
                               add_dtype_row,     add_generator_row,
                               add_latents_row,   add_negative_prompt_row,
                               add_guidance_rows, add_text_encoder_rows,
                               add_weights_row,   add_tiling_row,
                               add_eta_row,       add_size_conditioning_rows,
                               add_strength_row,  add_picture_rows,
                               add_mask_rows,     add_safety_row,
                               add_study_rows,    add_run_rows})
            add(rows);
        return rows;
    }();
    return table;
}

}  // namespace diffapple
