#include "diffapple/sheets/report.h"

#include <algorithm>
#include <numeric>
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

Report make_report(const std::vector<PictureFacts>& pictures) {
    std::vector<const PictureFacts*> rows = with_recipe(pictures);
    Report report{.without_recipe = pictures.size() - rows.size()};
    std::vector<std::map<std::string, std::string>> settings;
    for (const auto* picture : rows) settings.push_back(setting_texts(*picture->recipe));
    const std::vector<Axis> axes = varying_settings(settings);
    std::vector<size_t> order(rows.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
        for (const Axis& axis : axes)
            if (axis.value_of[a] != axis.value_of[b]) return axis.value_of[a] < axis.value_of[b];
        return false;
    });
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

std::vector<fs::path> find_pictures(const std::vector<fs::path>& places) {
    std::vector<fs::path> files;
    for (const auto& place : places) {
        std::error_code error;
        if (!fs::is_directory(place, error)) {
            files.push_back(place);
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
        files.insert(files.end(), found.begin(), found.end());
    }
    return files;
}

namespace {

/// A path as a relative URL: everything but plain characters as %xx.
std::string to_url(const fs::path& path) {
    std::string url;
    for (const char c : path.generic_string()) {
        const bool plain =
            std::isalnum(static_cast<unsigned char>(c)) || std::string("/._-").find(c) != std::string::npos;
        url += plain ? std::string(1, c) : '%' + format_hex(static_cast<unsigned char>(c), 2);
    }
    return url;
}

constexpr const char* html_head = R"(<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>diffapple report</title><style>
body { font: 14px/1.4 system-ui, sans-serif; margin: 2em; color: #222; background: #fff }
table { border-collapse: collapse } th, td { padding: .3em .8em .3em 0; text-align: left; vertical-align: middle }
thead th { position: sticky; top: 0; background: #fff; border-bottom: 1px solid #888 }
tbody tr { border-bottom: 1px solid #ddd } td { max-width: 24em; overflow-wrap: anywhere }
img { display: block; max-width: 128px; max-height: 128px } p { color: #666 }
</style></head><body>
)";

}  // namespace

std::string to_csv(const Report& report) {
    std::string csv = csv_line(report.header);
    for (const auto& row : report.rows) csv += csv_line(row);
    return csv;
}

std::string to_html(const Report& report, const fs::path& folder) {
    std::string html = html_head;
    html += "<p>" + escape_markup(report.shared) + "</p>\n<table>\n<thead><tr><th></th>";
    for (const auto& title : report.header) html += "<th>" + escape_markup(title) + "</th>";
    html += "</tr></thead>\n<tbody>\n";
    for (size_t i = 0; i < report.rows.size(); ++i) {
        const std::string url = to_url(fs::absolute(report.files[i]).lexically_relative(fs::absolute(folder)));
        html += "<tr><td><a href=\"" + url + "\"><img loading=\"lazy\" alt=\"\" src=\"" + url + "\"></a></td>";
        for (const auto& value : report.rows[i]) html += "<td>" + escape_markup(value) + "</td>";
        html += "</tr>\n";
    }
    return html + "</tbody>\n</table>\n</body></html>\n";
}

}  // namespace diffapple
