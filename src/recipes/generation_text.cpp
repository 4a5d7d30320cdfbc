#include "diffapple/recipes/generation_text.h"

#include <algorithm>
#include <cctype>
#include <string_view>

namespace diffapple {
namespace {

using Settings = std::vector<std::pair<std::string, std::string>>;

bool is_word(char c) {
    const auto byte = static_cast<unsigned char>(c);
    return std::isalnum(byte) || byte == '_' || byte >= 0x80;
}

bool is_space(char c) {
    return std::isspace(static_cast<unsigned char>(c));
}

bool is_name_part(char c) {
    return is_word(c) || c == ' ' || c == '-' || c == '/';
}

size_t skip_spaces(std::string_view text, size_t begin) {
    while (begin < text.size() && is_space(text[begin])) ++begin;
    return begin;
}

std::string_view trim(std::string_view text) {
    const size_t begin = skip_spaces(text, 0);
    size_t end = text.size();
    while (end > begin && is_space(text[end - 1])) --end;
    return text.substr(begin, end - begin);
}

/// Where the text in quotation marks that begins here ends (after the closing mark); `npos` when this is none that a
/// comma or the line's end follows.
size_t end_of_quoted(std::string_view line, size_t begin) {
    if (begin >= line.size() || line[begin] != '"') return std::string_view::npos;
    size_t i = begin + 1;
    while (i < line.size() && line[i] != '"') i += line[i] == '\\' ? 2 : 1;
    const bool closed = i < line.size() && i > begin + 1;
    return closed && (i + 1 == line.size() || line[i + 1] == ',') ? i + 1 : std::string_view::npos;
}

/// Where the bracket that begins here closes (after it), texts in quotation marks left out; the end where it does not.
size_t end_of_bracket(std::string_view line, size_t begin) {
    int depth = 0;
    for (size_t i = begin; i < line.size(); ++i) {
        if (line[i] == '"')
            for (++i; i < line.size() && line[i] != '"'; ++i) i += line[i] == '\\';
        else if (line[i] == '[' || line[i] == '{')
            ++depth;
        else if ((line[i] == ']' || line[i] == '}') && --depth == 0)
            return i + 1;
    }
    return line.size();
}

/// Where the value that begins here ends: at a comma that is not inside quotation marks or brackets in front.
size_t end_of_value(std::string_view line, size_t begin) {
    size_t from = begin;
    if (begin < line.size() && line[begin] == '"') {
        for (++from; from < line.size() && line[from] != '"'; ++from) from += line[from] == '\\';
    } else if (begin < line.size() && (line[begin] == '[' || line[begin] == '{')) {
        from = end_of_bracket(line, begin);
    }
    return std::min(line.find(',', std::min(from, line.size())), line.size());
}

/// Without its marks; of the escapes of JSON, those of marks, backslashes and line breaks.
std::string unquote(std::string_view quoted) {
    std::string text;
    for (size_t i = 1; i + 1 < quoted.size(); ++i) {
        if (quoted[i] == '\\' && i + 2 < quoted.size()) ++i;
        text += quoted[i] == 'n' && quoted[i - 1] == '\\' ? '\n' : quoted[i];
    }
    return text;
}

void append_line(std::string& text, std::string_view line) {
    if (!text.empty()) text += '\n';
    text += line;
}

}  // namespace

std::optional<std::string> GenerationText::setting(const std::string& name) const {
    const auto found =
        std::find_if(settings.begin(), settings.end(), [&](const auto& setting) { return setting.first == name; });
    return found == settings.end() ? std::nullopt : std::optional(found->second);
}

Settings find_generation_settings(const std::string& line) {
    Settings settings;
    for (size_t i = 0; i < line.size();) {
        const size_t name = i = skip_spaces(line, i);
        if (i == line.size() || !is_word(line[i])) {
            ++i;
            continue;
        }
        while (i < line.size() && is_name_part(line[i])) ++i;
        // No later start in this run of characters has a colon behind it either.
        if (i == line.size() || line[i] != ':' || i - name < 2) continue;
        const size_t value = skip_spaces(line, i + 1), quoted = end_of_quoted(line, value);
        const size_t end = quoted != std::string::npos ? quoted : end_of_value(line, value);
        const std::string_view found = std::string_view(line).substr(value, end - value);
        settings.emplace_back(line.substr(name, i - name),
                              quoted != std::string::npos ? unquote(found) : std::string(found));
        i = end + 1;
    }
    return settings;
}

namespace {

constexpr size_t fewest_settings = 3;

std::string_view last_line_of(std::string_view text) {
    const size_t last = text.rfind('\n');
    return text.substr(last == std::string_view::npos ? 0 : last + 1);
}

/// Takes the lines of templates off the end of a text, where a line of settings stands before them.
Settings take_templates(std::string_view& text) {
    constexpr std::string_view names[] = {"Negative Template", "Template"};
    Settings found;
    std::string_view rest = text;
    for (const std::string_view name : names) {
        const size_t begin = rest.rfind(std::string("\n") + std::string(name) + ":");
        if (begin == std::string_view::npos) continue;
        const std::string_view value = rest.substr(begin + name.size() + 2);
        found.emplace(found.begin(), name, trim(value));
        rest = trim(rest.substr(0, begin));
    }
    if (find_generation_settings(std::string(last_line_of(rest))).size() < fewest_settings) return {};
    text = rest;
    return found;
}

}  // namespace

GenerationText parse_generation_text(const std::string& text) {
    GenerationText result{.program = "A1111", .keywords = {}, .prompt = {}, .negative_prompt = {}, .settings = {}};
    std::string_view rest = trim(text);
    Settings templates = take_templates(rest);
    const std::string_view last_line = last_line_of(rest);
    Settings settings = find_generation_settings(std::string(last_line));
    if (settings.size() >= fewest_settings) {
        result.settings = std::move(settings);
        result.settings.insert(result.settings.end(), templates.begin(), templates.end());
        rest = rest.substr(0, rest.size() - last_line.size());
        rest = rest.substr(0, rest.size() - (rest.ends_with('\n') ? 1 : 0));
    }
    constexpr std::string_view negative = "Negative prompt:";
    bool in_negative = false;
    while (!rest.empty()) {
        const size_t end = std::min(rest.find('\n'), rest.size());
        std::string_view line = trim(rest.substr(0, end));
        rest.remove_prefix(std::min(end + 1, rest.size()));
        if (line.starts_with(negative)) {
            in_negative = true;
            line = trim(line.substr(negative.size()));
        }
        append_line(in_negative ? result.negative_prompt : result.prompt, line);
    }
    return result;
}

}  // namespace diffapple
