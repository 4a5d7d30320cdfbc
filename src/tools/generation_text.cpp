#include "diffapple/tools/generation_text.h"

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
        const size_t end = quoted != std::string::npos ? quoted : std::min(line.find(',', value), line.size());
        const std::string_view found = std::string_view(line).substr(value, end - value);
        settings.emplace_back(line.substr(name, i - name),
                              quoted != std::string::npos ? unquote(found) : std::string(found));
        i = end + 1;
    }
    return settings;
}

GenerationText parse_generation_text(const std::string& text) {
    GenerationText result;
    std::string_view rest = trim(text);
    const size_t last = rest.rfind('\n');
    const std::string_view last_line = rest.substr(last == std::string_view::npos ? 0 : last + 1);
    Settings settings = find_generation_settings(std::string(last_line));
    constexpr size_t fewest_settings = 3;
    if (settings.size() >= fewest_settings) {
        result.settings = std::move(settings);
        rest = last == std::string_view::npos ? std::string_view() : rest.substr(0, last);
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
