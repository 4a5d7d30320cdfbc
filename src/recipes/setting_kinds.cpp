#include "setting_kinds.h"

#include "diffapple/core/numbers.h"
#include "diffapple/core/text.h"
#include "diffapple/core/utf8.h"
#include "diffapple/io/sha256.h"
#include "diffapple/recipes/lists.h"

namespace diffapple::rows {

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

std::string bounded_text(const JsonFields& fields, const std::string& key, size_t limit) {
    std::string text = fields.text(key);
    if (text.size() > limit) fields.reject(key, concat("is longer than ", limit, " bytes"));
    return text;
}

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
    if (middle == std::string::npos)
        fail_usage(option, ' ', quote(text), ": takes two numbers, as in 512", separator, "768");
    return {one_integer(option, text.substr(0, middle), minimum, max_size),
            one_integer(option, text.substr(middle + 1), minimum, max_size)};
}

std::string digits(const std::string& sha256) {
    return sha256.substr(0, 6);
}

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

}  // namespace diffapple::rows
