#include "diffapple/sheets/report_page.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <map>
#include <numeric>
#include <span>
#include <string_view>

#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"
#include "diffapple/core/text.h"
#include "diffapple/core/version.h"
#include "diffapple/io/base64.h"
#include "diffapple/io/files.h"
#include "diffapple/io/sha256.h"
#include "diffapple/recipes/recipe_command.h"
#include "diffapple/sheets/report.h"
#include "diffapple/sheets/varying_settings.h"

namespace diffapple {

extern const std::string_view report_page_html, report_page_css, report_page_js;  // cmake/EmbedText.cmake

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr uintmax_t most_to_send = 16'000'000;  ///< bytes of all pictures; base64 makes a third more of them
constexpr uintmax_t most_inside = 256'000'000;  ///< bytes: browsers end at texts of half a gigabyte

uintmax_t size_of_files(const std::vector<PictureFacts>& pictures) {
    return std::accumulate(pictures.begin(), pictures.end(), uintmax_t{0}, [](uintmax_t sum, const auto& picture) {
        std::error_code error;
        const uintmax_t size = picture.recipe ? fs::file_size(picture.path, error) : 0;
        return sum + (error ? 0 : size);
    });
}

/// A stranger's text as it may be shown, and no longer than a reader's patience.
std::string shown(const std::string& text) {
    constexpr size_t longest = 10'000;  // characters
    return printable(shorten(text, longest));
}

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

std::string to_data_url(const fs::path& path) {
    static const std::map<std::string, std::string> types = {
        {".jpg", "jpeg"}, {".jpeg", "jpeg"}, {".webp", "webp"}, {".bmp", "bmp"}};
    const auto type = types.find(lower_ascii(path.extension().string()));
    const std::string bytes = read_file(path, most_inside);
    return concat("data:image/", type == types.end() ? "png" : type->second, ";base64,",
                  base64(std::as_bytes(std::span(bytes))));
}

// --- what the page is told

json describe(const Axis& axis) {
    json values = json::array();
    for (const std::string& value : axis.values) values.push_back(shown(value));
    json object = {{"name", shown(axis.name)}, {"values", values}};
    if (axis.values.size() > 1) object["value_of"] = axis.value_of;
    return object;
}

/// What is known of a picture beside its settings: single values, and not endlessly many.
json describe_known(const json& known) {
    constexpr size_t most = 30, longest = 200;
    json texts = json::object();
    for (const auto& [key, value] : known.items()) {
        if (value.is_structured() || value.is_null() || texts.size() >= most) continue;
        const bool is_finite_number = value.is_number() && std::isfinite(value.get<double>());
        const std::string text =
            value.is_string() ? value.get<std::string>() : value.dump(-1, ' ', false, json::error_handler_t::replace);
        texts[shown(shorten(key, longest))] = is_finite_number ? value : json(shown(shorten(text, longest)));
    }
    return texts;
}

/// The command that compares the picture with one that is made anew.
std::string replay_command(const fs::path& path) {
    const std::string name = path.string();
    return "diffapple replay " + shell_word(name.starts_with('-') ? "./" + name : name);
}

json describe(const PictureFacts& picture, const std::string& url) {
    json object = {{"id", picture.id},
                   {"file", shown(picture.path.string())},
                   {"url", url},
                   {"width", picture.width},
                   {"height", picture.height},
                   {"known", describe_known(picture.recipe->known)}};
    if (picture.of_other_program) return object;
    object["command"] = command_of(*picture.recipe);
    object["replay"] = replay_command(picture.path);
    return object;
}

/// The pictures of one experiment, sorted by what varies among them, and the labels that tell them apart.
json describe_experiment(std::vector<PictureFacts>& group) {
    std::vector<std::map<std::string, std::string>> settings;
    for (const auto& picture : group) settings.push_back(setting_texts(*picture.recipe));
    std::vector<Axis> axes = varying_settings(settings);
    const std::vector<size_t> order = in_order_of(axes, group.size());
    json labels = json::array();
    for (Axis& axis : axes) {
        Axis sorted = axis;
        for (size_t i = 0; i < order.size(); ++i) sorted.value_of[i] = axis.value_of[order[i]];
        labels.push_back(describe(sorted));
    }
    std::vector<PictureFacts> pictures;
    for (const size_t i : order) pictures.push_back(std::move(group[i]));
    group = std::move(pictures);
    const std::string name = experiment_of(group.front());
    return {{"name", shown(name.empty() ? "other programs" : name)},
            {"shared", shown(shared_settings(settings))},
            {"pictures", group.size()},
            {"labels", labels}};
}

json describe_settings(const std::vector<PictureFacts>& pictures) {
    std::vector<std::map<std::string, std::string>> settings;
    for (const auto& picture : pictures) settings.push_back(setting_texts(*picture.recipe));
    json columns = json::array();
    for (const Axis& axis : all_settings(settings)) {
        json column = describe(axis);
        column["for_people"] = !is_derived_setting(axis.name) && !is_digest_setting(axis.name);
        columns.push_back(column);
    }
    return columns;
}

json collect_facts(const std::vector<PictureFacts>& pictures, const fs::path& folder, bool inside) {
    json facts = {{"program", concat("diffapple ", version)}, {"experiments", json::array()}};
    std::vector<PictureFacts> sorted;
    for (std::vector<PictureFacts>& group : by_experiment(pictures)) {
        facts["experiments"].push_back(describe_experiment(group));
        std::move(group.begin(), group.end(), std::back_inserter(sorted));
    }
    facts["settings"] = describe_settings(sorted);
    facts["pictures"] = json::array();
    for (const PictureFacts& picture : sorted) {
        const fs::path file = fs::absolute(picture.path).lexically_normal();
        const fs::path relative = file.lexically_relative(fs::absolute(folder).lexically_normal());
        facts["pictures"].push_back(describe(picture, inside ? to_data_url(picture.path) : to_url(relative)));
    }
    return facts;
}

// --- the page

/// JSON in which no text can end the element that it stands in, or open another.
std::string to_script_text(const json& facts) {
    const std::string text = facts.dump(-1, ' ', /*ensure_ascii=*/true, json::error_handler_t::replace);
    std::string safe;
    safe.reserve(text.size());
    for (const char c : text) {
        if (c == '<')
            safe += "\\u003c";
        else
            safe += c;
    }
    return safe;
}

/// As a policy names the one script, or style sheet, that it allows.
std::string policy_hash(std::string_view text) {
    const std::string hex = sha256(std::string(text));
    std::string bytes;
    for (size_t i = 0; i < hex.size(); i += 2)
        bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, /*base=*/16));
    return "'sha256-" + base64(std::as_bytes(std::span(bytes))) + "'";
}

/// No network, no forms, no frames; pictures from data and from files, or from where the page itself is.
std::string policy() {
    return concat("default-src 'none'; base-uri 'none'; form-action 'none'; img-src data: file: 'self'; style-src ",
                  policy_hash(report_page_css), "; script-src ", policy_hash(report_page_js));
}

/// The template with its marks replaced, in one pass: what is put in may hold marks.
std::string fill(std::string_view page, const std::map<std::string_view, std::string_view>& parts) {
    std::string filled;
    while (!page.empty()) {
        const size_t begin = page.find("{{"), end = page.find("}}", begin);
        filled += page.substr(0, begin);
        if (end == std::string_view::npos) break;
        filled += parts.at(page.substr(begin + 2, end - begin - 2));
        page.remove_prefix(end + 2);
    }
    return filled;
}

}  // namespace

bool fit_into_page(const std::vector<PictureFacts>& pictures) {
    return size_of_files(pictures) <= most_to_send;
}

std::string make_report_page(const std::vector<PictureFacts>& pictures, const fs::path& folder, bool inside) {
    if (const uintmax_t size = size_of_files(pictures); inside && size > most_inside)
        fail_usage("--pictures inside: they have ", format_bytes(size), ", and a page holds ",
                   format_bytes(most_inside), ": choose beside, or fewer with --where");
    const std::string facts = to_script_text(collect_facts(pictures, folder, inside)), allowed = policy();
    return fill(report_page_html,
                {{"policy", allowed}, {"style", report_page_css}, {"facts", facts}, {"script", report_page_js}});
}

}  // namespace diffapple
