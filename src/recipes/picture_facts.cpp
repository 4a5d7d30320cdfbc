#include "diffapple/recipes/picture_facts.h"

#include <algorithm>
#include <cctype>
#include <set>

#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"
#include "diffapple/core/stop.h"
#include "diffapple/core/text.h"
#include "diffapple/io/image.h"
#include "diffapple/io/picture_info.h"
#include "diffapple/io/sha256.h"
#include "diffapple/recipes/generation_text.h"
#include "diffapple/recipes/output_names.h"
#include "diffapple/recipes/picture_file.h"
#include "diffapple/recipes/settings.h"

namespace diffapple {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr size_t id_digits = 16;

bool may_hold_text(const fs::path& path) {
    const std::string ending = lower_ascii(path.extension().string());
    return ending == ".png" || ending == ".jpg" || ending == ".jpeg" || ending == ".webp";
}

/// The names of a recipe's settings, as far as other programs' are the same.
std::optional<Recipe> recipe_of_others(const PngInfo& info) {
    static const std::map<std::string, std::string> keys{
        {"Steps", "steps"}, {"CFG scale", "guidance"},          {"Seed", "seed"},
        {"Size", "size"},   {"Denoising strength", "strength"}, {"Clip skip", "clip_skip"}};
    const auto found = find_generation_text(info.text);
    if (!found) return std::nullopt;
    Recipe recipe;
    json& settings = recipe.determining["settings"];
    settings["prompt"] = found->prompt;
    if (!found->negative_prompt.empty()) settings["negative_prompt"] = found->negative_prompt;
    settings["program"] = found->program;
    for (const auto& [key, name] : keys)
        if (const auto value = found->setting(key)) settings[name] = *value;
    if (const auto model = found->setting("Model")) recipe.determining["model"]["name"] = *model;
    if (const auto sampler = found->setting("Sampler")) recipe.determining["scheduler"]["name"] = *sampler;
    return recipe;
}

}  // namespace

PictureFacts read_picture_facts(const fs::path& path) {
    PictureFacts facts{.path = path};
    if (may_hold_text(path)) {
        const PngInfo info = read_picture_info(path);
        facts.width = info.width;
        facts.height = info.height;
        facts.is_sheet = is_contact_sheet(info);
        if (!facts.is_sheet) facts.recipe = find_recipe(info, path);
        if (!facts.is_sheet && !facts.recipe) {
            facts.recipe = recipe_of_others(info);
            facts.of_other_program = facts.recipe.has_value();
        }
    } else {
        const Image image = read_image(path);
        facts.width = image.width;
        facts.height = image.height;
    }
    facts.id = facts.recipe && !facts.of_other_program ? facts.recipe->id() : sha256_of_file(path).substr(0, id_digits);
    return facts;
}

PictureList read_picture_list(const std::vector<fs::path>& files) {
    PictureList list;
    for (const auto& file : files) {
        check_stop();
        try {
            PictureFacts facts = read_picture_facts(file);
            facts.is_sheet ? void(++list.sheets) : list.pictures.push_back(std::move(facts));
        } catch (const Interrupted&) {
            throw;
        } catch (const Error& error) {
            list.problems.emplace_back(error.what());
        }
    }
    return list;
}

namespace {

std::string value_text(const json& value) {
    if (value.is_number_float()) return python_float(value.get<double>());
    if (!value.is_string()) return value.dump(-1, ' ', false, json::error_handler_t::replace);
    const auto text = value.get<std::string>();
    return is_sha256(text) ? text.substr(0, 8) : text;
}

/// How a key of a recipe's settings is called in labels: as the table says, or as it is (the picture's own facts).
std::string label_of(const std::string& key) {
    for (const Setting& row : settings())
        if (row.key == key) return row.label();
    return Setting{.key = key}.label();
}

/// "fp16", or "unet fp16, vae fp32" where components differ.
std::string components_text(const json& by_component) {
    std::set<std::string> values;
    std::vector<std::string> all;
    for (const auto& [component, value] : by_component.items()) {
        values.insert(value_text(value));
        all.push_back(component + " " + value_text(value));
    }
    return values.size() == 1 ? *values.begin() : join(all, ", ");
}

void add_text(std::map<std::string, std::string>& texts, const std::string& name, const json& object, const char* key) {
    if (object.is_object() && object.contains(key)) texts[name] = value_text(object[key]);
}

void add_size(std::map<std::string, std::string>& texts) {
    const auto width = texts.find("width"), height = texts.find("height");
    if (width == texts.end() || height == texts.end()) return;
    texts["size"] = width->second + "x" + height->second;
    texts.erase("width");
    texts.erase("height");
}

/// The place in the batch is prompt-major: what is left of it within a prompt.
void add_picture_number(std::map<std::string, std::string>& texts, const json& settings) {
    const auto index = settings.find("index"), batch_size = settings.find("batch_size");
    if (index == settings.end() || batch_size == settings.end() || !index->is_number_integer() ||
        !batch_size->is_number_integer() || batch_size->get<int64_t>() < 1)
        return;
    texts.erase("index");
    texts["picture"] = std::to_string(index->get<int64_t>() % batch_size->get<int64_t>());
}

}  // namespace

std::map<std::string, std::string> setting_texts(const Recipe& recipe) {
    std::map<std::string, std::string> texts;
    const json& all = recipe.determining;
    const json nothing = json::object();
    const auto part = [&](const json& object, const char* key) -> const json& {
        const auto found = object.find(key);
        return found != object.end() && found->is_object() ? *found : nothing;
    };
    const json& settings = part(all, "settings");
    for (const auto& [key, value] : settings.items())
        if (key != "batch") texts[label_of(key)] = value_text(value);
    // Zeros in its place: no text at all, also where a recipe holds an empty one beside.
    if (texts.erase(label_of("zero_negative_prompt")) > 0 && settings.value("zero_negative_prompt", json()) == true)
        texts.erase(label_of("negative_prompt"));
    add_size(texts);
    add_picture_number(texts, settings);
    add_text(texts, "experiment", all, "experiment");
    add_text(texts, "device", all, "device");
    add_text(texts, "model", part(all, "model"), "name");
    add_text(texts, "scheduler", part(all, "scheduler"), "name");
    for (const auto& [key, value] : part(part(all, "scheduler"), "config").items())
        if (!key.starts_with("_")) texts["scheduler " + key] = value_text(value);
    for (const auto& [name, object] : {std::pair{"dtype", &part(all, "dtypes")},
                                       {"weights", &part(part(all, "model"), "weights")},
                                       {"configs", &part(part(all, "model"), "configs")}})
        if (!object->empty()) texts[name] = components_text(*object);
    return texts;
}

int label_speed(const std::string& label) {
    static const std::map<std::string, int> of_the_picture = {{"prompt", -10}, {"experiment", -6}, {"weights", -4},
                                                              {"configs", -3}, {"size", 2},        {"picture", 7}};
    if (const auto found = of_the_picture.find(label); found != of_the_picture.end()) return found->second;
    for (const Setting& row : settings())
        if (row.label() == label) return row.speed;
    return 0;
}

bool is_derived_setting(const std::string& name) {
    static const std::set<std::string> names = {"index", "picture", "weights", "configs", "batch size"};
    return names.contains(name) || name.starts_with("scheduler ");
}

bool is_digest_setting(const std::string& name) {
    static const std::set<std::string> names = {"image", "mask", "latents", "weights", "configs"};
    return names.contains(name);
}

}  // namespace diffapple
