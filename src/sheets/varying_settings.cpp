#include "diffapple/sheets/varying_settings.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <numeric>
#include <optional>
#include <set>

#include "diffapple/core/text.h"
#include "diffapple/recipes/picture_facts.h"
#include "diffapple/sheets/picture_filter.h"

namespace diffapple {
namespace {

using Settings = std::map<std::string, std::string>;

constexpr const char* no_value = "-";

std::optional<double> number(const std::string& text) {
    if (text.empty() || text.find_first_not_of("0123456789+-.e") != std::string::npos) return std::nullopt;
    char* end = nullptr;
    const double value = std::strtod(text.c_str(), &end);
    if (end != text.c_str() + text.size()) return std::nullopt;
    return value;
}

std::string value_in(const Settings& picture, const std::string& name) {
    const auto found = picture.find(name);
    return found == picture.end() ? no_value : found->second;
}

/// Numbers by size where all values are numbers (or none).
void order_values(std::vector<std::string>& values) {
    const bool numeric = std::all_of(values.begin(), values.end(),
                                     [](const std::string& value) { return value == no_value || number(value); });
    const bool counted = std::all_of(values.begin(), values.end(), [](const std::string& value) {
        return value == no_value || (!value.empty() && std::isdigit(static_cast<unsigned char>(value[0])));
    });
    if (!numeric) {
        if (counted) std::stable_sort(values.begin(), values.end(), natural_less);
        return;
    }
    std::stable_sort(values.begin(), values.end(), [](const std::string& a, const std::string& b) {
        return number(a).value_or(-1e308) < number(b).value_or(-1e308);
    });
}

/// True when equal values of all of `axes` mean equal values of `axis`.
bool follows_from(const Axis& axis, const std::vector<Axis>& axes) {
    std::map<std::vector<size_t>, size_t> seen;
    for (size_t i = 0; i < axis.value_of.size(); ++i) {
        std::vector<size_t> others;
        for (const Axis& other : axes) others.push_back(other.value_of[i]);
        if (seen.emplace(others, axis.value_of[i]).first->second != axis.value_of[i]) return false;
    }
    return true;
}

bool change_together(const Axis& a, const Axis& b) {
    return a.values.size() == b.values.size() && follows_from(a, {b}) && follows_from(b, {a});
}

/// A setting that has one value, and is absent exactly where another setting has it so: one that does not apply there
/// (a negative prompt without guidance), and tells nothing that the other does not.
bool is_switched_off(const Axis& axis, const std::vector<Axis>& axes) {
    const auto lacks = [](const Axis& some) {
        return std::find(some.values.begin(), some.values.end(), no_value) != some.values.end();
    };
    return axis.values.size() == 2 && lacks(axis) && std::any_of(axes.begin(), axes.end(), [&](const Axis& other) {
               return !lacks(other) && follows_from(axis, {other});
           });
}

/// Whether a setting that people can read tells what this one does.
bool is_told(const Axis& axis, const std::vector<Axis>& axes) {
    return std::any_of(axes.begin(), axes.end(), [&](const Axis& other) {
        return !is_digest_setting(other.name) && follows_from(axis, {other});
    });
}

/// One axis for two that change together, its values in the first one's order.
void merge_into(Axis& axis, const Axis& other) {
    axis.name += ", " + other.name;
    std::vector<bool> merged(axis.values.size());
    for (size_t i = 0; i < axis.value_of.size(); ++i) {
        const size_t value = axis.value_of[i];
        if (!merged[value]) axis.values[value] += ", " + other.values[other.value_of[i]];
        merged[value] = true;
    }
}

/// Numbers pictures that no axis tells apart.
void add_copies(std::vector<Axis>& axes, size_t pictures) {
    std::map<std::vector<size_t>, size_t> count;
    std::vector<Settings> numbers(pictures);
    for (size_t i = 0; i < pictures; ++i) {
        std::vector<size_t> place;
        for (const Axis& axis : axes) place.push_back(axis.value_of[i]);
        numbers[i]["copy"] = std::to_string(++count[place]);
    }
    if (count.size() < pictures) axes.push_back(make_axis("copy", numbers));
}

std::vector<std::string> names_by_speed(const std::vector<Settings>& pictures) {
    std::set<std::string> names;
    for (const Settings& picture : pictures)
        for (const auto& [name, value] : picture) names.insert(name);
    std::vector<std::string> sorted(names.begin(), names.end());
    std::stable_sort(sorted.begin(), sorted.end(),
                     [](const std::string& a, const std::string& b) { return label_speed(a) < label_speed(b); });
    return sorted;
}

}  // namespace

bool Axis::is_text() const {
    constexpr size_t longest_word = 24;
    return std::any_of(values.begin(), values.end(),
                       [](const std::string& value) { return value.size() > longest_word; });
}

std::string setting_called(std::string name) {
    std::replace_if(
        name.begin(), name.end(), [](char c) { return c == '_' || c == '-'; }, ' ');
    return name;
}

Axis make_axis(const std::string& name, const std::vector<Settings>& pictures) {
    Axis axis{.name = name};
    std::set<std::string> seen;
    for (const Settings& picture : pictures)
        if (const std::string value = value_in(picture, name); seen.insert(value).second) axis.values.push_back(value);
    order_values(axis.values);
    std::map<std::string, size_t> place;
    for (size_t i = 0; i < axis.values.size(); ++i) place[axis.values[i]] = i;
    for (const Settings& picture : pictures) axis.value_of.push_back(place[value_in(picture, name)]);
    return axis;
}

std::vector<Axis> varying_settings(const std::vector<Settings>& pictures) {
    std::vector<Axis> axes, derived;
    for (const auto& name : names_by_speed(pictures)) {
        Axis axis = make_axis(name, pictures);
        if (axis.values.size() < 2) continue;
        (is_derived_setting(name) ? derived : axes).push_back(std::move(axis));
    }
    for (const Axis& axis : derived)
        if (!follows_from(axis, axes)) axes.push_back(axis);
    std::erase_if(axes, [all = axes](const Axis& axis) { return is_switched_off(axis, all); });
    std::erase_if(axes, [all = axes](const Axis& axis) { return is_digest_setting(axis.name) && is_told(axis, all); });
    for (size_t i = 0; i < axes.size(); ++i)
        for (size_t j = i + 1; j < axes.size();) {
            if (!change_together(axes[i], axes[j])) {
                ++j;
                continue;
            }
            merge_into(axes[i], axes[j]);
            axes.erase(axes.begin() + static_cast<int64_t>(j));
        }
    add_copies(axes, pictures.size());
    return axes;
}

std::vector<Axis> all_settings(const std::vector<Settings>& pictures) {
    std::vector<Axis> axes;
    for (const auto& name : names_by_speed(pictures)) axes.push_back(make_axis(name, pictures));
    return axes;
}

std::vector<size_t> in_order_of(const std::vector<Axis>& axes, size_t pictures) {
    std::vector<size_t> order(pictures);
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
        for (const Axis& axis : axes)
            if (axis.value_of[a] != axis.value_of[b]) return axis.value_of[a] < axis.value_of[b];
        return false;
    });
    return order;
}

std::string shared_settings(const std::vector<Settings>& pictures) {
    constexpr size_t longest = 1'000;  // characters of a value: recipes may hold megabytes
    std::vector<std::string> texts;
    for (const auto& name : names_by_speed(pictures)) {
        const Axis axis = make_axis(name, pictures);
        const bool for_people = !is_derived_setting(name) && !is_digest_setting(name);
        if (axis.values.size() != 1 || !for_people || axis.values[0].empty()) continue;
        const bool says_itself = name == "prompt" || name == "experiment";
        texts.push_back((says_itself ? "" : name + " ") + shorten(axis.values[0], longest));
    }
    return join(texts, ", ");
}

}  // namespace diffapple
