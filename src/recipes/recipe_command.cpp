#include "diffapple/recipes/recipe_command.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <vector>

#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"
#include "diffapple/core/text.h"
#include "diffapple/recipes/settings.h"

namespace diffapple {

using nlohmann::json;

namespace {

/// What a row writes into a recipe is what its option is given. Null: nothing, or more than an option can say (a
/// negative prompt that is an embedding of zeros).
json written_by(const Setting& row, const BatchSettings& batch) {
    json value = json::object();
    if (row.write) row.write(batch, value);
    while (value.is_object()) {
        if (value.size() != 1) return nullptr;
        value = json(value.front());
    }
    return value;
}

std::string option_text(const json& value) {
    if (value.is_string()) return value.get<std::string>();
    if (value.is_boolean()) return value.get<bool>() ? "on" : "off";
    return value.is_number_float() ? python_float(value.get<double>()) : value.dump();
}

/// A Hub id or a folder's own name; what leads elsewhere is for the user to say.
bool is_model_name(const std::string& name) {
    const auto is_odd = [](char c) { return !std::isalnum(static_cast<unsigned char>(c)) && !std::strchr("._-/", c); };
    return !name.empty() && std::none_of(name.begin(), name.end(), is_odd) &&
           std::isalnum(static_cast<unsigned char>(name.front())) && name.find("..") == std::string::npos &&
           std::count(name.begin(), name.end(), '/') <= 1;
}

/// A word in the place of a file that only the user has: IMAGE.
std::string stand_in(const Setting& row) {
    std::string name = row.key;
    for (char& c : name) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    return name;
}

bool is_users_own(const Setting& row, const json& value) {
    if (row.key == "model") return !is_model_name(value.get<std::string>());
    return row.value.starts_with("FILE") || row.value.starts_with("DIR");
}

/// The words of one option; none where the recipe says nothing of it.
std::vector<std::string> words_of(const Setting& row, const json& value) {
    if (value.is_null()) return {};
    if (is_users_own(row, value)) return {row.option, stand_in(row)};
    if (row.value.empty()) return {row.option};
    std::vector<std::string> texts;
    for (const json& part : value.is_array() ? value : json::array({value})) texts.push_back(option_text(part));
    if (!row.repeatable) texts = {join(texts, row.value == "X,Y" ? "," : "x")};
    std::vector<std::string> words;
    for (const std::string& text : texts) {
        const bool looks_like_an_option = text.starts_with('-');
        if (looks_like_an_option) {
            words.push_back(row.option + "=" + shell_word(text));
        } else {
            words.push_back(row.option);
            words.push_back(shell_word(text));
        }
    }
    return words;
}

/// A recipe tells that there was a safety checker, and is silent where there was none.
json value_of(const Setting& row, const BatchSettings& batch, const StudyExperiment& experiment) {
    json value = written_by(row, batch);
    if (row.key == "safety" && value.is_null() && !experiment.is_xl()) return false;
    return value;
}

bool has_nul(const BatchSettings& batch) {
    std::vector<std::string> texts = batch.prompts;
    for (const auto& text : {batch.negative_prompt, batch.prompt_2, batch.negative_prompt_2})
        texts.push_back(text.value_or(""));
    return std::any_of(texts.begin(), texts.end(),
                       [](const std::string& text) { return text.find('\0') != std::string::npos; });
}

}  // namespace

std::string command_of(const Recipe& recipe) try {
    const JsonFields determining(recipe.determining, "recipe");
    const auto& experiment = find_study_experiment(determining.choice("experiment", study_experiment_names()));
    const BatchSettings batch = restore_settings(determining, experiment);
    if (has_nul(batch)) return "";
    std::vector<std::string> words{"diffapple", experiment.name};
    for (const Setting& row : settings()) {
        if (row.option.empty() || !row.applies_to(experiment)) continue;
        for (const std::string& word : words_of(row, value_of(row, batch, experiment))) words.push_back(word);
    }
    return join(words, " ");
} catch (const Error&) {
    return "";
}

}  // namespace diffapple
