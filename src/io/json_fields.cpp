// JSON parsing with limits, and typed access to an object's fields.
#include "diffapple/io/json_fields.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>

#include "diffapple/core/error.h"
#include "diffapple/io/files.h"

namespace diffapple {

using nlohmann::json;

namespace {

constexpr uintmax_t largest_json_file = 16 << 20;

/// So many empty objects take 300 MB; the header of 300,000 tensors has fewer.
constexpr size_t most_json_values = 3'000'000;

/// Reads a text's structure before it is parsed: refuses deep nesting, very many values and, if asked, a key given
/// twice in one object (else the last one counts). A pass of its own: a parser with a callback looks through the whole
/// of an object whenever a part of it ends, which in a file of 300,000 tensors takes hours.
class StructureGuard final : public json::json_sax_t {
public:
    StructureGuard(const std::string& where, const JsonRules& rules) : where_(where), rules_(rules) {}

    bool null() override { return count(); }
    bool boolean(bool) override { return count(); }
    bool number_integer(number_integer_t) override { return count(); }
    bool number_unsigned(number_unsigned_t) override { return count(); }
    bool number_float(number_float_t, const string_t&) override { return count(); }
    bool string(string_t&) override { return count(); }
    bool binary(binary_t&) override { return count(); }
    bool start_object(size_t) override {
        enter();
        if (rules_.strict) keys_.emplace_back();
        return true;
    }
    bool key(string_t& key) override {
        if (rules_.strict && !keys_.back().insert(key).second) fail(where_, ": key ", shown(key), " is given twice");
        return true;
    }
    bool end_object() override {
        if (rules_.strict) keys_.pop_back();
        --depth_;
        return true;
    }
    bool start_array(size_t) override {
        enter();
        return true;
    }
    bool end_array() override {
        --depth_;
        return true;
    }
    /// The parser that follows meets it, too, and says it.
    bool parse_error(size_t, const std::string&, const json::exception&) override { return false; }

    /// A value for an error message: its JSON text, cut when long, without anything that is not printable ASCII.
    static std::string shown(const json& value) {
        if (value.is_structured() && value.size() > 16) return value.is_array() ? "a long list" : "an object";
        std::string text = value.dump(-1, ' ', true, json::error_handler_t::replace);
        return text.size() > 60 ? text.substr(0, 60) + "..." : text;
    }

private:
    bool count() {
        if (++values_ > most_json_values) fail(where_, ": JSON has more than ", most_json_values, " values");
        return true;
    }
    void enter() {
        count();
        if (++depth_ > rules_.depth) fail(where_, ": JSON is nested deeper than ", rules_.depth, " levels");
    }

    std::string where_;
    JsonRules rules_;
    int depth_ = 0;
    size_t values_ = 0;
    std::vector<std::set<std::string>> keys_;
};

/// The parser's message without its tag "[json.exception.parse_error.101] ", as one line of reasonable length.
std::string parser_message(const json::exception& error) {
    std::string text = first_line(error);
    if (const size_t end = text.find("] "); text.starts_with("[") && end != std::string::npos) text.erase(0, end + 2);
    std::replace_if(
        text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c >= 0x7f; }, '?');
    return text.size() > 200 ? text.substr(0, 200) + "..." : text;
}

/// The value as an integer, if it is one: 3 or 3.0, but neither 3.5 nor a number beyond 64 bits.
std::optional<int64_t> as_integer(const json& value) {
    if (value.is_number_unsigned() && value.get<uint64_t>() > INT64_MAX) return std::nullopt;
    if (value.is_number_integer()) return value.get<int64_t>();
    if (!value.is_number_float()) return std::nullopt;
    const double number = value.get<double>();
    // -2^63 <= number < 2^63, where the conversion is defined
    if (!(number >= -0x1p63 && number < 0x1p63) || number != std::trunc(number)) return std::nullopt;
    return static_cast<int64_t>(number);
}

/// Puts quotes around -Infinity outside of strings: Python writes it (the default of a key of diffusers' DPM-Solver
/// configs), though it is not JSON. What reads a number refuses the text.
std::string quote_negative_infinity(const std::string& text) {
    constexpr std::string_view infinity = "-Infinity";
    if (text.find(infinity) == std::string::npos) return text;
    std::string quoted;
    bool in_string = false;
    for (size_t i = 0; i < text.size(); ++i) {
        if (!in_string && text.compare(i, infinity.size(), infinity) == 0) {
            quoted += concat('"', infinity, '"');
            i += infinity.size() - 1;
            continue;
        }
        if (text[i] == '"') in_string = !in_string;
        quoted += text[i];
        if (in_string && text[i] == '\\' && i + 1 < text.size()) quoted += text[++i];
    }
    return quoted;
}

}  // namespace

json parse_json(const std::string& text, const std::string& where, const JsonRules& rules) {
    try {
        const std::string quoted = rules.strict ? text : quote_negative_infinity(text);
        StructureGuard guard(where, rules);
        json::sax_parse(quoted, &guard);
        json value = json::parse(quoted);
        if (!value.is_object()) fail(where, ": is not a JSON object");
        return value;
    } catch (const json::exception& error) {
        fail(where, ": is not valid JSON: ", parser_message(error));
    }
}

json read_json_file(const std::filesystem::path& path) {
    return parse_json(read_file(path, largest_json_file), path.string());
}

json without_notes(const json& config) {
    json relevant = json::object();
    for (const auto& [key, value] : config.items())
        if (!key.starts_with("_")) relevant[key] = value;
    return relevant;
}

JsonFields::JsonFields(const json& object, std::string where) : JsonFields(object, std::move(where), "") {}

JsonFields::JsonFields(const json& object, std::string where, std::string prefix)
    : object_(&object), where_(std::move(where)), prefix_(std::move(prefix)) {
    if (!object.is_object()) fail(where_, ": is not a JSON object");
}

void JsonFields::reject(const std::string& key, const std::string& problem) const {
    fail(where_, ": key '", prefix_, key, "' ", problem);
}

const json* JsonFields::find(const std::string& key) const {
    const auto found = object_->find(key);
    return found == object_->end() || found->is_null() ? nullptr : &*found;
}

bool JsonFields::given(const std::string& key) const {
    return object_->contains(key);
}

bool JsonFields::has(const std::string& key) const {
    return find(key) != nullptr;
}

const json& JsonFields::value(const std::string& key) const {
    const json* found = find(key);
    if (!found) reject(key, "is missing");
    return *found;
}

JsonFields JsonFields::object(const std::string& key) const {
    const json& found = value(key);
    if (!found.is_object()) reject_value(key, "an object", found);
    return JsonFields(found, where_, prefix_ + key + ".");
}

void JsonFields::reject_value(const std::string& key, const std::string& wanted, const json& got) const {
    reject(key, concat("must be ", wanted, ", not ", StructureGuard::shown(got)));
}

int64_t JsonFields::to_integer(const std::string& key, const json& value, int64_t minimum, int64_t maximum) const {
    const auto number = as_integer(value);
    if (!number || *number < minimum || *number > maximum) {
        reject_value(key, concat("an integer from ", minimum, " to ", maximum), value);
    }
    return *number;
}

double JsonFields::to_number(const std::string& key, const json& value) const {
    if (!value.is_number() || !std::isfinite(value.get<double>())) reject_value(key, "a number", value);
    return value.get<double>();
}

std::string JsonFields::to_text(const std::string& key, const json& value) const {
    if (!value.is_string()) reject_value(key, "a text", value);
    return value.get<std::string>();
}

/// The converted items of a list.
template <typename Convert>
auto JsonFields::to_list(const std::string& key, const std::string& wanted, Convert convert) const {
    const json& list = value(key);
    if (!list.is_array()) reject_value(key, wanted, list);
    std::vector<decltype(convert(key, list))> items;
    items.reserve(list.size());
    for (size_t i = 0; i < list.size(); ++i) items.push_back(convert(concat(key, "[", i, "]"), list[i]));
    return items;
}

int64_t JsonFields::integer(const std::string& key, int64_t minimum, int64_t maximum,
                            std::optional<int64_t> fallback) const {
    if (fallback && !has(key)) return *fallback;
    return to_integer(key, value(key), minimum, maximum);
}

uint64_t JsonFields::unsigned_integer(const std::string& key) const {
    const json& found = value(key);
    if (found.is_number_unsigned()) return found.get<uint64_t>();
    const auto number = as_integer(found);
    if (!number || *number < 0) reject_value(key, concat("an integer from 0 to ", UINT64_MAX), found);
    return static_cast<uint64_t>(*number);
}

double JsonFields::number(const std::string& key, std::optional<double> fallback) const {
    if (fallback && !has(key)) return *fallback;
    return to_number(key, value(key));
}

bool JsonFields::boolean(const std::string& key, std::optional<bool> fallback) const {
    if (fallback && !has(key)) return *fallback && !given(key);
    const json& found = value(key);
    if (!found.is_boolean()) reject_value(key, "true or false", found);
    return found.get<bool>();
}

std::string JsonFields::text(const std::string& key, std::optional<std::string> fallback) const {
    if (fallback && !has(key)) return *fallback;
    return to_text(key, value(key));
}

std::string JsonFields::choice(const std::string& key, const std::vector<std::string>& choices,
                               std::optional<std::string> fallback) const {
    if (fallback && !has(key)) return *fallback;
    const json& found = value(key);
    if (found.is_string() && std::count(choices.begin(), choices.end(), found.get<std::string>())) {
        return found.get<std::string>();
    }
    std::string wanted = choices.size() > 1 ? "one of " : "";
    for (size_t i = 0; i < choices.size(); ++i) wanted += (i ? ", " : "") + choices[i];
    reject_value(key, wanted, found);
}

std::vector<int64_t> JsonFields::integers(const std::string& key, int64_t minimum, int64_t maximum,
                                          std::optional<std::vector<int64_t>> fallback) const {
    if (fallback && !has(key)) return *fallback;
    return to_list(key, "a list of integers", [&](const std::string& item, const json& value) {
        return to_integer(item, value, minimum, maximum);
    });
}

std::vector<double> JsonFields::numbers(const std::string& key, std::optional<std::vector<double>> fallback) const {
    if (fallback && !has(key)) return *fallback;
    return to_list(key, "a list of numbers",
                   [&](const std::string& item, const json& value) { return to_number(item, value); });
}

std::vector<std::string> JsonFields::texts(const std::string& key,
                                           std::optional<std::vector<std::string>> fallback) const {
    if (fallback && !has(key)) return *fallback;
    return to_list(key, "a list of texts",
                   [&](const std::string& item, const json& value) { return to_text(item, value); });
}

}  // namespace diffapple
