// Rows of the table of settings that are made in the usual way: a value of the batch that is read from the command
// line, written into a recipe, restored from it and named. Private to the table.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "diffapple/core/error.h"
#include "diffapple/recipes/settings.h"

namespace diffapple::rows {

using nlohmann::json;
using Texts = std::vector<std::string>;

/// What a recipe may ask for: it is a stranger's text. The pixels are those of a whole batch.
inline constexpr int64_t max_recipe_size = 8192, max_recipe_pixels = int64_t{4096} * 4096, max_recipe_steps = 10'000,
                         max_recipe_pictures = 64;
inline constexpr size_t max_recipe_text = 20'000, max_recipe_name = 300;
/// What the command line may ask for.
inline constexpr int64_t max_size = 16384, max_steps = 100'000, max_clip_skip = 100;
inline constexpr double max_guidance = 1000, max_blur = 1000;

/// Puts a value among a recipe's settings.
void put(json& recipe, const std::string& key, json value);

/// A recipe's settings.
JsonFields settings_of(const JsonFields& recipe);

/// A number from 0 to `maximum` in a recipe.
double bounded_number(const JsonFields& fields, const std::string& key, double fallback, double maximum);

/// A text of a recipe, at most so many bytes long.
std::string bounded_text(const JsonFields& fields, const std::string& key, size_t limit = max_recipe_text);

/// What the option's text says, where it is one value; else a wrong call.
int64_t one_integer(const std::string& option, const std::string& text, int64_t minimum, int64_t maximum);

double one_number(const std::string& option, const std::string& text, double maximum);

std::string one_choice(const std::string& option, const std::string& text, const Texts& choices);

std::pair<int64_t, int64_t> two_integers(const std::string& option, const std::string& text, char separator,
                                         int64_t minimum);

/// Six digits that stand for a text or a file in a name.
std::string digits(const std::string& sha256);

/// A number from 0 to `maximum`; 0 means nothing.
Setting number_row(Setting row, double BatchSettings::*member, double maximum, const std::string& name);

/// A text that may be absent; a name has its digest's first digits.
Setting text_row(Setting row, std::optional<std::string> BatchSettings::*member, const std::string& name);

/// A file; recipe and name have its digest.
Setting file_row(Setting row, InputFile BatchSettings::*member);

/// One of two values by their names, the usual one first. Recipe and name tell the other one alone; `part` begins what
/// stands in the name.
template <typename Value>
Setting two_choice_row(Setting row, Value BatchSettings::*member, const std::pair<std::string, Value>& usual,
                       const std::pair<std::string, Value>& other, const std::string& part) {
    const Texts names{usual.first, other.first};
    const auto value_of = [usual, other](const std::string& name) {
        return name == other.first ? other.second : usual.second;
    };
    row.value = usual.first + "|" + other.first;
    row.usual = [name = usual.first](const auto&) { return name; };
    row.read = [option = row.option, member, names, value_of](const Texts& texts, RunSettings& run) {
        run.batch.*member = value_of(one_choice(option, texts.front(), names));
    };
    row.write = [key = row.key, member, other](const BatchSettings& batch, json& recipe) {
        if (batch.*member == other.second) put(recipe, key, other.first);
    };
    row.restore = [key = row.key, member, names, value_of](const JsonFields& recipe, BatchSettings& batch) {
        batch.*member = value_of(settings_of(recipe).choice(key, names, names.front()));
    };
    row.suffix = [part, member, other](const BatchSettings& batch, const Circumstances&) {
        return batch.*member == other.second ? part + "-" + other.first : "";
    };
    return row;
}

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

// The rows that stand in files of their own; settings_table.cpp puts all in order.
void add_latents_row(std::vector<Setting>& rows);
void add_prompt_row(std::vector<Setting>& rows);
void add_negative_prompt_row(std::vector<Setting>& rows);
void add_guidance_rows(std::vector<Setting>& rows);
void add_text_encoder_rows(std::vector<Setting>& rows);
void add_strength_row(std::vector<Setting>& rows);
void add_picture_rows(std::vector<Setting>& rows);
void add_mask_rows(std::vector<Setting>& rows);

}  // namespace diffapple::rows
