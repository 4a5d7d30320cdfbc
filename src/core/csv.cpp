#include "diffapple/core/csv.h"

#include <algorithm>
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

std::string csv_field(const std::string& text) {
    const bool is_formula = !text.empty() && std::string_view("=+-@\t\r").find(text[0]) != std::string_view::npos;
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
