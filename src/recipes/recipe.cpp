#include "diffapple/recipes/recipe.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <string_view>
#include <vector>

#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"
#include "diffapple/core/text.h"
#include "diffapple/core/version.h"
#include "diffapple/io/json_fields.h"
#include "diffapple/io/sha256.h"
#include "diffapple/schedulers/scheduler.h"

namespace diffapple {

using nlohmann::json;

std::string Recipe::id() const {
    return sha256(determining.dump()).substr(0, 16);
}

std::string Recipe::to_text() const {
    return json{{"schema", schema()}, {"id", id()}, {"recipe", determining}, {"known", known}}.dump(
        -1, ' ', /*ensure_ascii=*/true);
}

Recipe Recipe::from_text(const std::string& text, const std::string& where) {
    try {
        const json parsed = parse_json(text, "its text", {.depth = 32, .strict = true});
        if (const int schema = parsed.at("schema").get<int>(); schema < 1 || schema > recipe_schema)
            fail("has schema ", schema, ", but this program reads schemas 1 to ", recipe_schema);
        Recipe recipe{.determining = parsed.at("recipe"), .known = parsed.at("known")};
        if (!recipe.determining.is_object() || !recipe.known.is_object()) fail("is not made of objects");
        if (recipe.determining.at("schema") != parsed.at("schema")) fail("names two schemas");
        if (parsed.at("id").get<std::string>() != recipe.id()) fail("was changed: its id does not belong to it");
        return recipe;
    } catch (const std::exception& error) {
        fail(where, ": its recipe cannot be read: ", first_line(error));
    }
}

namespace {

/// A difference in words: digests and lists of prompts are none.
std::string describe_change(const std::string& path, const json& existing, const json& wanted) {
    if (path == "settings.batch") return "other prompts in the batch";
    const auto is_digest = [](const json& value) { return value.is_string() && is_sha256(value.get<std::string>()); };
    const std::string name = path.substr(path.rfind('.') + 1);
    if (is_digest(existing) && is_digest(wanted)) {
        if (path.starts_with("model.weights.")) return "other weights of the " + name;
        if (path.starts_with("model.configs.")) return "another config of the " + name;
        return "another file for " + path;
    }
    const auto text = [&](const json& value) {
        return value.is_null()    ? std::string("nothing")
               : is_digest(value) ? std::string("a file")
                                  : shorten(value.dump(), 200);
    };
    return concat(path, ' ', text(wanted), " instead of ", text(existing));
}

void collect_differences(const json& existing, const json& wanted, const std::string& path,
                         std::vector<std::string>& differences) {
    if (existing == wanted) return;
    if (!existing.is_object() || !wanted.is_object()) {
        differences.push_back(describe_change(path, existing, wanted));
        return;
    }
    json keys = existing;
    keys.update(wanted);
    for (const auto& [key, unused] : keys.items())
        collect_differences(existing.value(key, json()), wanted.value(key, json()),
                            path.empty() ? key : path + "." + key, differences);
}

/// What a recipe of schema 1 says, in the words of the present schema.
json upgraded(json determining) {
    determining["schema"] = recipe_schema;
    if (determining.contains("/scheduler/config"_json_pointer))
        determining["scheduler"]["config"] = without_notes(determining["scheduler"]["config"]);
    const auto zeros = "/settings/zero_negative_prompt"_json_pointer;
    if (determining.contains(zeros) && determining.at(zeros) == false)
        determining["settings"].erase("zero_negative_prompt");
    return determining;
}

}  // namespace

json current_weights(const Recipe& existing, const Recipe& wanted) {
    const auto path = "/model/weights"_json_pointer;
    if (!existing.determining.contains(path) || !existing.determining.at(path).is_object()) return {};
    json weights = existing.determining.at(path);
    for (const auto& [component, before] : wanted.weights_before.items())
        if (weights.contains(component) && weights[component] == before)
            weights[component] = wanted.determining.at(path).at(component);
    return weights;
}

std::string describe_difference(const Recipe& existing, const Recipe& wanted) {
    json one = existing.determining, other = wanted.determining;
    if (existing.schema() == 1) {
        one = upgraded(std::move(one));
        if (!wanted.configs_of_schema_1.empty()) other["model"]["configs"] = wanted.configs_of_schema_1;
    }
    if (const json weights = current_weights(existing, wanted); !weights.is_null()) one["model"]["weights"] = weights;
    std::vector<std::string> differences;
    collect_differences(one, other, "", differences);
    return join(differences, "; ");
}

namespace {

/// A value on the line of settings, where a comma ends it and quotation marks change how it is read.
std::string one_value(std::string text) {
    const auto is_special = [](unsigned char c) { return c == ',' || c == '"' || c < 0x20; };
    std::replace_if(text.begin(), text.end(), is_special, '_');
    return text;
}

std::string sampler_name(const json& scheduler) {
    return one_value(a1111_sampler_name(scheduler.at("name").get<std::string>(), scheduler.at("config")));
}

constexpr std::string_view negative_beginning = "Negative prompt:";

/// A prompt as lines of the text. A line that begins as the negative prompt does would be taken for it: it gets a space
/// before its colon. PNG text has no NUL.
std::string prompt_lines(const json& settings, const char* key) {
    const auto prompt = settings.value(key, std::string());
    std::string lines;
    for (size_t begin = 0; begin < prompt.size();) {
        const size_t end = std::min(prompt.find('\n', begin), prompt.size() - 1) + 1;
        std::string line = prompt.substr(begin, end - begin);
        const size_t text = line.find_first_not_of(" \t\r\v\f");
        if (text != std::string::npos && line.compare(text, negative_beginning.size(), negative_beginning) == 0)
            line.insert(text + negative_beginning.size() - 1, " ");
        lines += line;
        begin = end;
    }
    std::replace(lines.begin(), lines.end(), '\0', ' ');
    return lines;
}

/// "Name: value, " when the settings have the key.
std::string optional_number(const json& settings, const char* key, const std::string& name, double offset = 0) {
    const auto found = settings.find(key);
    if (found == settings.end() || !found->is_number()) return "";
    const double value = found->get<double>() + offset;
    return name + ": " + (found->is_number_float() ? python_float(value) : std::to_string(std::llround(value))) + ", ";
}

}  // namespace

std::string a1111_parameters(const Recipe& recipe) {
    const json& settings = recipe.determining.at("settings");
    const auto number = [&](const char* key) { return settings.at(key).dump(); };
    std::string text = prompt_lines(settings, "prompt");
    if (!text.empty()) text += '\n';
    if (const auto negative = prompt_lines(settings, "negative_prompt"); !negative.empty())
        text += concat(negative_beginning, ' ', negative, '\n');
    const auto model = recipe.determining.at("model").at("name").get<std::string>();
    // A1111 counts the layer that is used (1: the last), diffusers the layers that are skipped.
    return text + "Steps: " + number("steps") + ", Sampler: " + sampler_name(recipe.determining.at("scheduler")) +
           ", " + optional_number(settings, "guidance", "CFG scale") + "Seed: " + number("seed") +
           ", Size: " + number("width") + "x" + number("height") + ", Model: " + one_value(model) + ", " +
           optional_number(settings, "strength", "Denoising strength") +
           optional_number(settings, "clip_skip", "Clip skip", 1) +
           "RNG: " + (settings.contains("rng") ? "NV" : "CPU") + ", Version: diffapple " + version;
}

std::string current_date() {
    const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
    std::tm utc{};
    gmtime_r(&now, &utc);
    char text[32];
    std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
    return text;
}

}  // namespace diffapple
