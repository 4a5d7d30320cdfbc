#include "diffapple/recipes/lists.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <sstream>
#include <string_view>
#include <unordered_set>

#include "diffapple/core/error.h"
#include "diffapple/core/nearest.h"
#include "diffapple/core/text.h"

namespace diffapple {
namespace {

template <typename Integer>
Integer parse_integer(const std::string& option, const std::string& text, Integer minimum, Integer maximum) {
    Integer value = 0;
    const char* const end = text.data() + text.size();
    const auto [parsed, error] = std::from_chars(text.data(), end, value);
    if (error == std::errc::result_out_of_range)
        fail_usage(option, ' ', quote(text), ": must be from ", minimum, " to ", maximum);
    if (error != std::errc() || parsed != end)
        fail_usage(option, ' ', quote(text), ": expected a whole number, a list 0,2,4 or a range 0..3");
    if (value < minimum || value > maximum) fail_usage(option, ' ', value, ": must be from ", minimum, " to ", maximum);
    return value;
}

constexpr size_t max_values = 100'000;

template <typename Integer>
std::vector<Integer> parse_integer_list(const std::string& option, const std::string& text, Integer minimum,
                                        Integer maximum) {
    std::vector<Integer> values;
    std::unordered_set<Integer> seen;
    for (const auto& part : list_words(text)) {
        const size_t dots = part.find("..");
        const bool range = dots != std::string::npos;
        const Integer first = parse_integer(option, range ? part.substr(0, dots) : part, minimum, maximum);
        const Integer last = range ? parse_integer(option, part.substr(dots + 2), minimum, maximum) : first;
        if (last < first) fail_usage(option, ' ', quote(part), ": the range ends before it begins");
        // What follows is sound for the largest value of its type, too.
        const uint64_t steps = static_cast<uint64_t>(last) - static_cast<uint64_t>(first);
        if (steps >= max_values - values.size())
            fail_usage(option, ' ', quote(part), ": more than ", max_values, " values");
        for (uint64_t step = 0; step <= steps; ++step) {
            const auto value = static_cast<Integer>(static_cast<uint64_t>(first) + step);
            if (seen.insert(value).second) values.push_back(value);
        }
    }
    return values;
}

}  // namespace

std::vector<std::string> list_words(const std::string& text) {
    std::vector<std::string> parts;
    std::istringstream stream(text + ',');
    for (std::string part; std::getline(stream, part, ',');) parts.emplace_back(trimmed(part, " "));
    return parts;
}

std::vector<int64_t> parse_integers(const std::string& option, const std::string& text, int64_t minimum,
                                    int64_t maximum) {
    return parse_integer_list(option, text, minimum, maximum);
}

std::vector<uint64_t> parse_seeds(const std::string& option, const std::string& text) {
    return parse_integer_list<uint64_t>(option, text, 0, std::numeric_limits<uint64_t>::max());
}

std::string with_drawn_seeds(const std::string& option, const std::string& text,
                             const std::function<uint64_t()>& draw) {
    constexpr std::string_view several = "random:";
    std::vector<std::string> parts;
    std::unordered_set<uint64_t> drawn;
    for (const auto& part : list_words(text)) {
        uint64_t count = 0;
        if (part == "random" || part == "-1")
            count = 1;
        else if (part.starts_with(several))
            count = parse_integer<uint64_t>(option, part.substr(several.size()), 1, max_values);
        else
            parts.push_back(part);
        for (const size_t wanted = drawn.size() + count; drawn.size() < wanted;)
            if (const uint64_t seed = draw(); drawn.insert(seed).second) parts.push_back(std::to_string(seed));
    }
    return drawn.empty() ? text : join(parts, ",");
}

std::vector<double> parse_numbers(const std::string& option, const std::string& text, double minimum, double maximum) {
    std::vector<double> values;
    const auto add = [&](double value) {
        if (std::find(values.begin(), values.end(), value) == values.end()) values.push_back(value);
    };
    for (const auto& part : list_words(text)) {
        if (part.find("..") != std::string::npos) {
            for (const int64_t value : parse_integers(option, part, static_cast<int64_t>(std::ceil(minimum)),
                                                      static_cast<int64_t>(std::floor(maximum))))
                add(static_cast<double>(value));
            continue;
        }
        char* end = nullptr;  // std::from_chars of a double is missing in older versions of Apple's library
        const double value = std::strtod(part.c_str(), &end);
        if (part.empty() || *end != '\0' || !std::isfinite(value))
            fail_usage(option, ' ', quote(part), ": expected a number, a list 0,2.5,7 or a range 0..3");
        if (value < minimum || value > maximum)
            fail_usage(option, ' ', part, ": must be from ", minimum, " to ", maximum);
        add(value);
    }
    return values;
}

std::vector<std::string> parse_choices(const std::string& option, const std::string& text,
                                       const std::vector<std::string>& choices) {
    std::vector<std::string> words;
    for (const auto& word : list_words(text)) {
        if (std::find(choices.begin(), choices.end(), word) == choices.end())
            fail_usage(option, ' ', quote(word), ": must be one of ", join(choices, ", "), did_you_mean(word, choices));
        if (std::find(words.begin(), words.end(), word) == words.end()) words.push_back(word);
    }
    return words;
}

}  // namespace diffapple
