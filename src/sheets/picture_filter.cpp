#include "diffapple/sheets/picture_filter.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <set>

#include "diffapple/core/error.h"
#include "diffapple/core/nearest.h"
#include "diffapple/core/text.h"
#include "diffapple/recipes/lists.h"
#include "diffapple/sheets/varying_settings.h"

namespace diffapple {
namespace {

bool same_value(const std::string& a, const std::string& b) {
    if (a == b) return true;
    if (a.empty() || b.empty()) return false;
    char *end_a = nullptr, *end_b = nullptr;
    const double one = std::strtod(a.c_str(), &end_a), other = std::strtod(b.c_str(), &end_b);
    return *end_a == '\0' && *end_b == '\0' && one == other;
}

struct Condition {
    std::string name;
    std::vector<std::string> values;
};

Condition parse_condition(const std::string& text) {
    const size_t equals = text.find('=');
    if (equals == 0 || equals == std::string::npos)
        fail_usage("--where '", text, "': takes a setting and its value, as steps=4 or steps=4,8");
    const std::string value = text.substr(equals + 1);
    Condition condition{setting_called(text.substr(0, equals)), list_words(value)};
    condition.values.push_back(value);  // a prompt has commas of its own
    return condition;
}

void require_known(const Condition& condition, const std::vector<std::map<std::string, std::string>>& settings) {
    std::set<std::string> names, values;
    for (const auto& picture : settings)
        for (const auto& [name, value] : picture) {
            names.insert(name);
            if (name == condition.name) values.insert(value);
        }
    if (!names.contains(condition.name))
        fail_usage("--where ", condition.name, ": the pictures have no such setting",
                   did_you_mean(condition.name, {names.begin(), names.end()}));
    for (const auto& value : values)
        for (const auto& wanted : condition.values)
            if (same_value(value, wanted)) return;
    constexpr size_t most = 12;
    std::vector<std::string> some(values.begin(), values.end());
    std::sort(some.begin(), some.end(), natural_less);
    if (some.size() > most) some.resize(most);
    fail_usage("--where ", condition.name, "=", condition.values.back(), ": no picture has that; there are ",
               join(some, ", "), some.size() < values.size() ? ", ..." : "");
}

}  // namespace

std::vector<PictureFacts> filter_pictures(std::vector<PictureFacts> pictures, const std::vector<std::string>& where) {
    for (const auto& text : where) {
        const Condition condition = parse_condition(text);
        std::vector<std::map<std::string, std::string>> settings;
        for (const auto& picture : pictures)
            settings.push_back(picture.recipe ? setting_texts(*picture.recipe) : decltype(settings)::value_type());
        require_known(condition, settings);
        std::vector<PictureFacts> kept;
        for (size_t i = 0; i < pictures.size(); ++i) {
            const auto found = settings[i].find(condition.name);
            if (found != settings[i].end() &&
                std::any_of(condition.values.begin(), condition.values.end(),
                            [&](const std::string& value) { return same_value(found->second, value); }))
                kept.push_back(std::move(pictures[i]));
        }
        pictures = std::move(kept);
    }
    return pictures;
}

bool natural_less(const std::string& a, const std::string& b) {
    const auto digit = [](char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; };
    size_t i = 0, j = 0;
    while (i < a.size() && j < b.size()) {
        if (!digit(a[i]) || !digit(b[j])) {
            if (a[i] != b[j]) return static_cast<unsigned char>(a[i]) < static_cast<unsigned char>(b[j]);
            ++i, ++j;
            continue;
        }
        const auto number = [&](const std::string& text, size_t& at) {
            while (at < text.size() && text[at] == '0') ++at;
            const size_t begin = at;
            while (at < text.size() && digit(text[at])) ++at;
            return text.substr(begin, at - begin);
        };
        const std::string one = number(a, i), other = number(b, j);
        if (one.size() != other.size()) return one.size() < other.size();
        if (one != other) return one < other;
    }
    return a.size() - i == b.size() - j ? a < b : i == a.size();
}

}  // namespace diffapple
