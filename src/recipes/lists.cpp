#include "diffapple/recipes/lists.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <sstream>
#include <unordered_set>

#include "diffapple/core/error.h"
#include "diffapple/core/text.h"

namespace diffapple {
namespace {

/// What stands between the commas, without the blanks around it.
std::vector<std::string> split(const std::string& text) {
    std::vector<std::string> parts;
    std::istringstream stream(text + ',');
    for (std::string part; std::getline(stream, part, ',');) {
        const size_t first = part.find_first_not_of(' ');
        parts.push_back(first == std::string::npos ? "" : part.substr(first, part.find_last_not_of(' ') - first + 1));
    }
    return parts;
}

int64_t parse_integer(const std::string& option, const std::string& text, int64_t minimum, int64_t maximum) {
    int64_t value = 0;
    const char* const end = text.data() + text.size();
    const auto [parsed, error] = std::from_chars(text.data(), end, value);
    if (error == std::errc::result_out_of_range)
        fail_usage(option, " '", text, "': must be from ", minimum, " to ", maximum);
    if (error != std::errc() || parsed != end)
        fail_usage(option, " '", text, "': expected a whole number, a list 0,2,4 or a range 0..3");
    if (value < minimum || value > maximum) fail_usage(option, ' ', value, ": must be from ", minimum, " to ", maximum);
    return value;
}

}  // namespace

std::vector<int64_t> parse_integers(const std::string& option, const std::string& text, int64_t minimum,
                                    int64_t maximum) {
    constexpr int64_t max_values = 100'000;
    std::vector<int64_t> values;
    std::unordered_set<int64_t> seen;
    for (const auto& part : split(text)) {
        const size_t dots = part.find("..");
        const bool range = dots != std::string::npos;
        const int64_t first = parse_integer(option, range ? part.substr(0, dots) : part, minimum, maximum);
        const int64_t last = range ? parse_integer(option, part.substr(dots + 2), minimum, maximum) : first;
        if (last < first) fail_usage(option, " '", part, "': the range ends before it begins");
        if (last - first >= max_values - static_cast<int64_t>(values.size()))
            fail_usage(option, " '", part, "': more than ", max_values, " values");
        for (int64_t offset = 0; offset <= last - first; ++offset)  // a value may be the largest of its type
            if (seen.insert(first + offset).second) values.push_back(first + offset);
    }
    return values;
}

std::vector<double> parse_numbers(const std::string& option, const std::string& text, double minimum, double maximum) {
    std::vector<double> values;
    const auto add = [&](double value) {
        if (std::find(values.begin(), values.end(), value) == values.end()) values.push_back(value);
    };
    for (const auto& part : split(text)) {
        if (part.find("..") != std::string::npos) {
            for (const int64_t value : parse_integers(option, part, static_cast<int64_t>(std::ceil(minimum)),
                                                      static_cast<int64_t>(std::floor(maximum))))
                add(static_cast<double>(value));
            continue;
        }
        char* end = nullptr;  // std::from_chars of a double is missing in older versions of Apple's library
        const double value = std::strtod(part.c_str(), &end);
        if (part.empty() || *end != '\0' || !std::isfinite(value))
            fail_usage(option, " '", part, "': expected a number, a list 0,2.5,7 or a range 0..3");
        if (value < minimum || value > maximum)
            fail_usage(option, ' ', part, ": must be from ", minimum, " to ", maximum);
        add(value);
    }
    return values;
}

std::vector<std::string> parse_choices(const std::string& option, const std::string& text,
                                       const std::vector<std::string>& choices) {
    std::vector<std::string> words;
    for (const auto& word : split(text)) {
        if (std::find(choices.begin(), choices.end(), word) == choices.end())
            fail_usage(option, " '", word, "': must be one of ", join(choices, ", "));
        if (std::find(words.begin(), words.end(), word) == words.end()) words.push_back(word);
    }
    return words;
}

}  // namespace diffapple
