#include "diffapple/core/csv.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string_view>

#include "diffapple/core/text.h"

namespace diffapple {
namespace {

/// As JSON writes one: no "-inf", which a spreadsheet takes for a formula, and no white space.
bool is_number(std::string_view text) {
    return text.find_first_not_of("0123456789.eE+-") == std::string_view::npos && nlohmann::json::accept(text);
}

/// What makes a spreadsheet compute the text behind it; some take the full-width forms, too.
bool begins_a_formula(std::string_view text) {
    constexpr std::array signs{"=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20"};
    return std::any_of(signs.begin(), signs.end(), [&](const char* sign) { return text.starts_with(sign); });
}

std::string csv_field(const std::string& text) {
    const bool is_formula = begins_a_formula(text);
    const std::string guarded = is_formula && !is_number(text) ? '\'' + text : text;
    if (guarded.find_first_of(",\"\r\n") == std::string::npos) return guarded;
    std::string quoted = "\"";
    for (const char c : guarded) quoted.append(c == '"' ? 2 : 1, c);
    return quoted + '"';
}

}  // namespace

std::string csv_line(const std::vector<std::string>& fields) {
    std::vector<std::string> written;
    std::transform(fields.begin(), fields.end(), std::back_inserter(written), csv_field);
    return join(written, ",") + '\n';
}

}  // namespace diffapple
