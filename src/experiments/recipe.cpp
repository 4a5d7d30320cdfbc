#include "diffapple/experiments/recipe.h"

#include <algorithm>
#include <cctype>
#include <chrono>
#include <ctime>
#include <vector>

#include "diffapple/core/error.h"
#include "diffapple/io/sha256.h"

namespace diffapple {

using nlohmann::json;

std::string Recipe::id() const {
    return sha256(determining.dump()).substr(0, 16);
}

std::string Recipe::to_text() const {
    return json{{"schema", recipe_schema}, {"id", id()}, {"recipe", determining}, {"known", known}}.dump(
        -1, ' ', /*ensure_ascii=*/true);
}

namespace {

/// Deep nesting in a stranger's file would otherwise exhaust the stack.
json parse_shallow(const std::string& text) {
    constexpr int max_depth = 32;
    return json::parse(text, [](int depth, json::parse_event_t, json&) {
        if (depth > max_depth) fail("is nested too deeply");
        return true;
    });
}

}  // namespace

Recipe Recipe::from_text(const std::string& text, const std::string& where) {
    try {
        const json parsed = parse_shallow(text);
        if (const int schema = parsed.at("schema").get<int>(); schema != recipe_schema)
            fail("has schema ", schema, ", but this program reads schema ", recipe_schema);
        Recipe recipe{.determining = parsed.at("recipe"), .known = parsed.at("known")};
        if (!recipe.determining.is_object() || !recipe.known.is_object()) fail("is not made of objects");
        if (parsed.at("id").get<std::string>() != recipe.id()) fail("was changed: its id does not belong to it");
        return recipe;
    } catch (const std::exception& error) {
        fail(where, ": its recipe cannot be read: ", first_line(error));
    }
}

namespace {

void collect_differences(const json& existing, const json& wanted, const std::string& path,
                         std::vector<std::string>& differences) {
    if (existing == wanted) return;
    if (!existing.is_object() || !wanted.is_object()) {
        differences.push_back(concat(path, ' ', wanted.dump(), " instead of ", existing.dump()));
        return;
    }
    json keys = existing;
    keys.update(wanted);
    for (const auto& [key, unused] : keys.items())
        collect_differences(existing.value(key, json()), wanted.value(key, json()),
                            path.empty() ? key : path + "." + key, differences);
}

}  // namespace

std::string describe_difference(const Recipe& existing, const Recipe& wanted) {
    std::vector<std::string> differences;
    collect_differences(existing.determining, wanted.determining, "", differences);
    std::string text;
    for (const auto& difference : differences) text += (text.empty() ? "" : "; ") + difference;
    return text;
}

std::string a1111_parameters(const Recipe& recipe) {
    const json& settings = recipe.determining.at("settings");
    const auto number = [&](const char* key) { return std::to_string(settings.at(key).get<int64_t>()); };
    std::string sampler = recipe.determining.at("scheduler").at("name").get<std::string>();
    std::transform(sampler.begin(), sampler.end(), sampler.begin(), [](unsigned char c) { return std::toupper(c); });
    std::string model = recipe.determining.at("model").at("name").get<std::string>();
    std::replace_if(
        model.begin(), model.end(), [](char c) { return c == ',' || c == '\n'; }, '_');
    return "Steps: " + number("steps") + ", Sampler: " + sampler + ", Seed: " + number("seed") +
           ", Size: " + number("width") + "x" + number("height") + ", Model: " + model +
           ", RNG: CPU, Version: diffapple " + DIFFAPPLE_VERSION;
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
