#include "diffapple/sheets/sheet_plan.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "diffapple/core/error.h"
#include "diffapple/core/nearest.h"
#include "diffapple/core/numbers.h"
#include "diffapple/core/text.h"
#include "diffapple/sheets/varying_settings.h"

namespace diffapple {
namespace {

using Settings = std::map<std::string, std::string>;

std::vector<Settings> all_settings(const std::vector<SheetPicture>& pictures) {
    std::vector<Settings> settings;
    for (const auto& picture : pictures) settings.push_back(picture.settings);
    return settings;
}

/// How many characters all values of a setting begin with, to the end of a word, where they are many: long prompts
/// that differ at their ends would be cut before the difference.
size_t common_beginning(const std::vector<std::string>& values) {
    constexpr size_t many = 60;
    size_t common = values.front().size();
    for (const auto& value : values)
        common = std::min(
            common, static_cast<size_t>(
                        std::mismatch(value.begin(), value.end(), values.front().begin(), values.front().end()).first -
                        value.begin()));
    const size_t blank = values.front().rfind(' ', common);
    return values.size() < 2 || blank == std::string::npos || blank < many ? 0 : blank;
}

/// Sentences, and values that were combined, speak for themselves; "7.5" needs its setting's name.
std::string label_line(const Axis& axis, size_t picture) {
    const std::string& value = axis.values[axis.value_of[picture]];
    if (value.empty()) return "no " + axis.name;
    if (!axis.is_text()) return axis.name + " " + value;
    const size_t common = common_beginning(axis.values);
    return common > 0 ? "..." + value.substr(common) : value;
}

/// Takes the setting that a user names out of the axes that vary; one that is the same everywhere is an axis too.
Axis take_axis(std::vector<Axis>& axes, const std::vector<Settings>& pictures, const std::string& option,
               std::string name) {
    name = setting_called(name);
    for (auto axis = axes.begin(); axis != axes.end(); ++axis)
        if (axis->name == name || (", " + axis->name + ", ").find(", " + name + ", ") != std::string::npos) {
            Axis taken = *axis;
            axes.erase(axis);
            return taken;
        }
    std::set<std::string> known;
    for (const auto& picture : pictures)
        for (const auto& [setting, value] : picture) known.insert(setting);
    if (known.contains(name)) return make_axis(name, pictures);
    std::vector<std::string> varying;
    for (const Axis& axis : axes) varying.push_back(axis.name);
    fail_usage(option, ' ', quote(name), ": the pictures have no such setting; they differ in ",
               varying.empty() ? "none" : join(varying, "; "), did_you_mean(name, {known.begin(), known.end()}));
}

/// Of equally long axes: what readers compare side by side comes first.
int column_rank(const Axis& axis) {
    constexpr const char* order[] = {"guidance", "steps",  "scheduler", "strength",
                                     "dtype",    "device", "seed",      "picture"};
    const std::string first = axis.name.substr(0, axis.name.find(','));
    return static_cast<int>(std::find(std::begin(order), std::end(order), first) - std::begin(order));
}

/// The axis for the columns, taken out of the others; none when no axis suits.
std::optional<Axis> choose_columns(std::vector<Axis>& axes, size_t max_columns) {
    auto best = axes.end();
    for (auto axis = axes.begin(); axis != axes.end(); ++axis) {
        if (axis->is_text() || axis->values.size() > max_columns) continue;
        const bool better = best == axes.end() || axis->values.size() > best->values.size() ||
                            (axis->values.size() == best->values.size() && column_rank(*axis) < column_rank(*best));
        if (better) best = axis;
    }
    if (best == axes.end()) return std::nullopt;
    Axis chosen = *best;
    axes.erase(best);
    return chosen;
}

/// Pictures one after the other.
SheetPlan captioned(const std::vector<SheetPicture>& pictures, const std::vector<Axis>& axes, size_t max_columns) {
    SheetPlan plan;
    const size_t count = pictures.size();
    const size_t square = static_cast<size_t>(std::ceil(std::sqrt(static_cast<double>(count) * 4 / 3)));
    plan.columns = std::clamp<size_t>(square, 1, std::min(max_columns, count));
    plan.rows = (count + plan.columns - 1) / plan.columns;
    plan.cells.resize(plan.rows * plan.columns);
    const std::vector<size_t> order = in_order_of(axes, count);
    for (size_t place = 0; place < count; ++place) {
        const size_t i = order[place];
        plan.cells[place] = i;
        std::vector<std::string> lines;
        if (pictures[i].settings.empty())
            lines.push_back(pictures[i].file);
        else
            for (const Axis& axis : axes) lines.push_back(label_line(axis, i));
        plan.captions.push_back(lines);
    }
    return plan;
}

/// Rows for every combination of `row_axes` that is there, in the axes' order.
SheetPlan table(size_t pictures, const std::vector<Axis>& row_axes, const std::optional<Axis>& column_axis) {
    SheetPlan plan{.is_table = true, .columns = column_axis ? column_axis->values.size() : 1};
    std::map<std::vector<size_t>, size_t> row_of;  // sorted by the values' places
    const auto place = [&](size_t picture) {
        std::vector<size_t> values;
        for (const Axis& axis : row_axes) values.push_back(axis.value_of[picture]);
        return values;
    };
    std::map<std::vector<size_t>, size_t> example;
    for (size_t i = 0; i < pictures; ++i) example.emplace(place(i), i);
    for (const auto& [values, picture] : example) {
        row_of[values] = plan.rows++;
        std::vector<std::string> lines;
        for (const Axis& axis : row_axes) lines.push_back(label_line(axis, picture));
        plan.row_labels.push_back(lines);
    }
    plan.cells.resize(plan.rows * plan.columns);
    for (size_t i = 0; i < pictures; ++i)
        plan.cells[row_of[place(i)] * plan.columns + (column_axis ? column_axis->value_of[i] : 0)] = i;
    if (column_axis) {
        plan.column_name = column_axis->name;
        plan.column_labels = column_axis->values;
    }
    return plan;
}

bool is_mostly_blank(const SheetPlan& plan, size_t pictures) {
    return plan.cells.size() > 2 * pictures;
}

/// Two settings as one, whose values are the pairs that there are, in their order.
Axis pair_of(const Axis& a, const Axis& b) {
    std::set<std::pair<size_t, size_t>> pairs;
    for (size_t i = 0; i < a.value_of.size(); ++i) pairs.emplace(a.value_of[i], b.value_of[i]);
    Axis pair{.name = a.name + ", " + b.name};
    std::map<std::pair<size_t, size_t>, size_t> place;
    for (const auto& values : pairs) {
        place[values] = pair.values.size();
        pair.values.push_back(a.values[values.first] + ", " + b.values[values.second]);
    }
    for (size_t i = 0; i < a.value_of.size(); ++i) pair.value_of.push_back(place[{a.value_of[i], b.value_of[i]}]);
    return pair;
}

/// Of two sweeps, one over steps and one over guidance: a full table with the pairs that were made in its columns.
std::optional<SheetPlan> table_of_pairs(size_t pictures, const std::vector<Axis>& axes, size_t max_columns) {
    for (size_t i = 0; i < axes.size(); ++i)
        for (size_t j = i + 1; j < axes.size(); ++j) {
            if (axes[i].is_text() || axes[j].is_text()) continue;
            const Axis pair = pair_of(axes[i], axes[j]);
            if (pair.values.size() > max_columns || pair.values.size() == pictures) continue;
            std::vector<Axis> others;
            for (size_t k = 0; k < axes.size(); ++k)
                if (k != i && k != j) others.push_back(axes[k]);
            SheetPlan plan = table(pictures, others, pair);
            if (plan.cells.size() == pictures) return plan;
        }
    return std::nullopt;
}

/// The condition that leaves most of the pictures and makes a full table of them: "--where steps=4 (8 pictures)".
std::string suggest_condition(const std::vector<Settings>& settings, const std::vector<Axis>& axes,
                              size_t max_columns) {
    constexpr size_t least_pictures = 4, most_values = 50;
    std::string suggestion;
    size_t most = least_pictures - 1;
    for (const Axis& axis : axes) {
        if (axis.is_text() || axis.values.size() > most_values || axis.name.find(',') != std::string::npos) continue;
        for (size_t value = 0; value < axis.values.size(); ++value) {
            std::vector<Settings> left;
            for (size_t i = 0; i < settings.size(); ++i)
                if (axis.value_of[i] == value) left.push_back(settings[i]);
            if (left.size() <= most || !settings.front().contains(axis.name)) continue;
            std::vector<Axis> rest = varying_settings(left);
            const auto columns = choose_columns(rest, max_columns);
            if (!columns || table(left.size(), rest, columns).cells.size() != left.size()) continue;
            most = left.size();
            std::string name = axis.name;
            std::replace(name.begin(), name.end(), ' ', '_');
            suggestion = concat("--where ", name, "=", axis.values[value], " makes a full table of ", most, " of them");
        }
    }
    return suggestion;
}

std::string describe_blanks(const SheetPlan& plan, size_t pictures) {
    const size_t blank = plan.cells.size() - pictures;
    return concat(blank, " of the ", counted(plan.cells.size(), "place"), " of a table with ",
                  counted(plan.rows, "row"), " and ", counted(plan.columns, "column"), ' ', is_or_are(blank), " blank");
}

}  // namespace

SheetPlan plan_sheet(const std::vector<SheetPicture>& pictures, const std::optional<std::string>& rows,
                     const std::optional<std::string>& columns, size_t max_columns) {
    const std::vector<Settings> settings = all_settings(pictures);
    const auto without_recipe = std::find_if(pictures.begin(), pictures.end(),
                                             [](const SheetPicture& picture) { return picture.settings.empty(); });
    const bool chosen = rows || columns;
    if (chosen && without_recipe != pictures.end())
        fail_usage("--rows and --columns need pictures with recipes, and ", without_recipe->file, " has none");
    const bool all_have_recipes = without_recipe == pictures.end();
    std::vector<Axis> axes = varying_settings(settings);
    const std::vector<Axis> all_axes = axes;
    std::optional<Axis> row_axis, column_axis;
    if (rows) row_axis = take_axis(axes, settings, "--rows", *rows);
    column_axis =
        columns ? std::optional(take_axis(axes, settings, "--columns", *columns)) : choose_columns(axes, max_columns);
    if (row_axis) axes.insert(axes.begin(), *row_axis);
    SheetPlan plan = table(pictures.size(), axes, column_axis);
    const bool long_column = plan.columns == 1 && plan.rows > 6, blank = is_mostly_blank(plan, pictures.size());
    std::string note;
    if (all_have_recipes && blank) {
        const std::string suggestion = suggest_condition(settings, all_axes, max_columns);
        note = describe_blanks(plan, pictures.size()) + (chosen ? "" : ", so the pictures stand one after the other") +
               (suggestion.empty() ? "" : "; " + suggestion);
    }
    const auto pairs =
        !chosen && all_have_recipes && blank ? table_of_pairs(pictures.size(), all_axes, max_columns) : std::nullopt;
    if (pairs)
        plan = *pairs;
    else if (!chosen && (!all_have_recipes || all_axes.empty() || long_column || blank))
        plan = captioned(pictures, all_axes, max_columns);
    if (!pairs) plan.note = note;
    if (all_have_recipes) plan.shared = shared_settings(settings);
    return plan;
}

}  // namespace diffapple
