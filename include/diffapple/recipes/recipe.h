// A recipe: everything that determines a picture, as data, and what is only known about it.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace diffapple {

/// Version of the recipe's JSON. A change of what a recipe says raises it, and older ones are still read:
///   1  the scheduler's config with diffusers' notes (keys beginning with _); `zero_negative_prompt` also where false;
///      tokenizers without added_tokens.json and tokenizer.model, and no feature_extractor, in `configs`
///   2  without those notes, with those files
constexpr int recipe_schema = 2;

/// The two parts of a recipe. `determining` holds whatever changes the picture:
///   schema, experiment, model {name, weights {component: sha256}, configs {component: sha256}}, dtypes {component:
///   fp32|fp16|bf16}, device (type), scheduler {name, config}, settings {index, prompt and what the table of settings
///   puts there}.
/// `known` holds the rest: seconds, it_per_s, peak_bytes, device model, threads, versions, date.
struct Recipe {
    nlohmann::json determining = nlohmann::json::object();
    nlohmann::json known = nlohmann::json::object();
    /// Not written: what schema 1 says of the model's configs, to compare this recipe with one of that schema.
    nlohmann::json configs_of_schema_1 = nlohmann::json::object();
    /// Not written: digests of weights that earlier versions wrote for this very picture, by component.
    nlohmann::json weights_before = nlohmann::json::object();

    int schema() const { return determining.value("schema", recipe_schema); }

    /// 16 hex digits of the sha256 of `determining` as compact JSON with sorted keys.
    std::string id() const;

    /// {"schema", "id", "recipe": determining, "known": known} as one line of JSON.
    std::string to_text() const;
    /// Reads to_text's form. Throws Error (starting with `where`) when it is not a recipe, its schema is newer than
    /// this program, or its id does not belong to it.
    static Recipe from_text(const std::string& text, const std::string& where);
};

/// The digests of a recipe's weights, with those of `wanted` in the place of what earlier versions wrote for them.
nlohmann::json current_weights(const Recipe& existing, const Recipe& wanted);

/// The settings in which two recipes differ, as "settings.steps 50 instead of 100; ..." (the second's value first); ""
/// where they describe one picture. `existing` may have an older schema: what that leaves out is no difference.
std::string describe_difference(const Recipe& existing, const Recipe& wanted);

/// The text of A1111's web UI: the prompt, "Negative prompt: ..." where there is one, and settings on the last line,
/// `Steps` first, no comma inside a value. Whatever a prompt holds, the last line is that of the settings.
std::string a1111_parameters(const Recipe& recipe);

/// Today in UTC as 2026-11-23T04:05:06Z.
std::string current_date();

}  // namespace diffapple
