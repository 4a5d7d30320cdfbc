#include "diffapple/sheets/report.h"

#include <algorithm>
#include <set>
#include <sstream>

#include "diffapple/core/csv.h"
#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"
#include "diffapple/core/text.h"
#include "diffapple/recipes/output_names.h"
#include "diffapple/sheets/picture_filter.h"
#include "diffapple/sheets/varying_settings.h"

namespace diffapple {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

/// A column of what is known of a picture beside its recipe.
struct KnownColumn {
    const char* title;
    const char* key;
    std::string (*show)(double number);  ///< null: a text
};

constexpr KnownColumn known_columns[] = {
    {"seconds", "seconds", [](double seconds) { return format_fixed(seconds, 2); }},
    {"it/s", "it_per_s", [](double rate) { return format_significant(rate, 3); }},
    {"peak MB", "peak_bytes", [](double bytes) { return format_fixed(bytes / 1e6, 0); }},
    {"device model", "device_model", nullptr}};

std::string known_text(const Recipe& recipe, const KnownColumn& column) {
    const auto found = recipe.known.find(column.key);
    if (found == recipe.known.end()) return "";
    if (found->is_number() && column.show) return column.show(found->get<double>());
    return found->is_string() ? found->get<std::string>() : "";
}

std::vector<const PictureFacts*> with_recipe(const std::vector<PictureFacts>& pictures) {
    std::vector<const PictureFacts*> found;
    for (const auto& picture : pictures)
        if (picture.recipe) found.push_back(&picture);
    return found;
}

/// Adds a column, unless it is empty throughout.
void add_column(Report& report, const std::string& title, const std::vector<std::string>& values,
                bool for_people = true) {
    if (std::all_of(values.begin(), values.end(), [](const std::string& value) { return value.empty(); })) return;
    report.header.push_back(title);
    report.for_people.push_back(for_people);
    for (size_t i = 0; i < values.size(); ++i) report.rows[i].push_back(values[i]);
}

/// Whether an axis, or each of those that were joined to it, is one of digests.
bool is_for_people(const Axis& axis) {
    std::istringstream names(axis.name);
    for (std::string name; std::getline(names >> std::ws, name, ',');)
        if (!is_digest_setting(name)) return true;
    return false;
}

json describe(const PictureFacts& picture, const std::map<std::string, std::string>& settings) {
    json object = {
        {"path", picture.path.string()}, {"id", picture.id}, {"settings", settings}, {"known", picture.recipe->known}};
    return object;
}

}  // namespace

std::string experiment_of(const PictureFacts& picture) {
    if (!picture.recipe) return "";
    const auto found = picture.recipe->determining.find("experiment");
    return found != picture.recipe->determining.end() && found->is_string() ? found->get<std::string>() : "";
}

Report make_report(const std::vector<PictureFacts>& pictures) {
    std::vector<const PictureFacts*> rows = with_recipe(pictures);
    Report report{.without_recipe = pictures.size() - rows.size()};
    std::vector<std::map<std::string, std::string>> settings;
    for (const auto* picture : rows) settings.push_back(setting_texts(*picture->recipe));
    const std::vector<Axis> axes = varying_settings(settings);
    const std::vector<size_t> order = in_order_of(axes, rows.size());
    report.rows.resize(rows.size());
    const auto column = [&](const auto& value_of) {
        std::vector<std::string> values;
        for (const size_t i : order) values.push_back(value_of(i));
        return values;
    };
    for (const Axis& axis : axes)
        add_column(report, axis.name, column([&](size_t i) { return axis.values[axis.value_of[i]]; }),
                   is_for_people(axis));
    for (const KnownColumn& known : known_columns)
        add_column(report, known.title, column([&](size_t i) { return known_text(*rows[i]->recipe, known); }));
    add_column(report, "id", column([&](size_t i) { return rows[i]->id; }), /*for_people=*/false);
    add_column(report, "file", column([&](size_t i) { return rows[i]->path.string(); }));
    for (const size_t i : order) {
        report.files.push_back(rows[i]->path);
        report.objects.push_back(describe(*rows[i], settings[i]));
    }
    report.shared = rows.empty() ? "" : shared_settings(settings);
    return report;
}

namespace {

/// Of the kinds that are written.
bool is_picture(const fs::path& path) {
    const std::string ending = path.extension().string();
    return ending == ".png" || ending == ".jpg" || ending == ".webp";
}

}  // namespace

std::vector<std::vector<PictureFacts>> by_experiment(const std::vector<PictureFacts>& pictures) {
    std::vector<std::vector<PictureFacts>> groups;
    for (const PictureFacts& picture : pictures) {
        if (!picture.recipe) continue;
        const auto group = std::find_if(groups.begin(), groups.end(), [&](const auto& other) {
            return experiment_of(other.front()) == experiment_of(picture);
        });
        if (group == groups.end())
            groups.push_back({picture});
        else
            group->push_back(picture);
    }
    return groups;
}

std::vector<fs::path> find_pictures(const std::vector<fs::path>& places) {
    std::vector<fs::path> files;
    std::set<fs::path> known;
    const auto add = [&](const fs::path& file) {  // places overlap: each file once
        std::error_code error;
        const fs::path same = fs::weakly_canonical(file, error);
        if (known.insert(error ? file : same).second) files.push_back(file);
    };
    for (const auto& place : places) {
        std::error_code error;
        if (!fs::is_directory(place, error)) {
            add(place);
            continue;
        }
        std::vector<fs::path> found;
        auto entry = fs::recursive_directory_iterator(place, fs::directory_options::skip_permission_denied, error);
        if (error) fail(place.string(), ": ", error.message());
        for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
            const std::string name = entry->path().filename().string();
            const bool shown =
                !name.starts_with('.') && !entry->path().stem().string().ends_with("_comp") && name != preview_name;
            if (shown && is_picture(entry->path()) && entry->is_regular_file(error)) found.push_back(entry->path());
        }
        std::sort(found.begin(), found.end(),
                  [](const fs::path& a, const fs::path& b) { return natural_less(a.string(), b.string()); });
        for (const auto& file : found) add(file);
    }
    return files;
}

std::string to_csv(const Report& report) {
    std::string csv = csv_line(report.header);
    for (const auto& row : report.rows) csv += csv_line(row);
    return csv;
}

}  // namespace diffapple
