#include "label_layout.h"

#include <algorithm>

#include "diffapple/core/utf8.h"

namespace diffapple {
namespace {

const std::u32string ellipsis = U"...";
constexpr size_t longest_label = 1000;  // characters: more are never seen

/// Words, with what separates them made one space.
std::vector<std::u32string> split_words(const std::string& text) {
    std::vector<std::u32string> words;
    bool in_word = false;
    for (const char32_t c : decode_utf8(cut_utf8(text, 4 * longest_label))) {
        const bool space = c == U' ' || (c >= U'\t' && c <= U'\r') || c == U'\u3000';
        if (!space && !in_word) words.emplace_back();
        if (!space) words.back() += c;
        in_word = !space;
    }
    return words;
}

/// As many characters from the front as fit, at least one.
size_t fitting(Font& font, const std::u32string& text, int64_t width) {
    size_t count = 1;
    while (count < text.size() && font.width(text.substr(0, count + 1)) <= width) ++count;
    return count;
}

std::u32string with_ellipsis(Font& font, std::u32string line, int64_t width) {
    while (line.size() > 1 && font.width(line + ellipsis) > width) line.pop_back();
    while (line.size() > 1 && (line.back() == U' ' || line.back() == U',')) line.pop_back();
    return line + ellipsis;
}

}  // namespace

std::vector<std::u32string> wrap_label(Font& font, const std::string& text, int64_t width, size_t max_lines) {
    std::vector<std::u32string> lines;
    std::u32string line;
    for (std::u32string word : split_words(text)) {
        if (lines.size() > max_lines) break;
        const std::u32string joined = line.empty() ? word : line + U' ' + word;
        if (font.width(joined) <= width) {
            line = joined;
            continue;
        }
        if (!line.empty()) lines.push_back(line);
        while (lines.size() <= max_lines && font.width(word) > width) {
            const size_t count = fitting(font, word, width);
            if (count == word.size()) break;
            lines.push_back(word.substr(0, count));
            word.erase(0, count);
        }
        line = word;
    }
    if (!line.empty()) lines.push_back(line);
    if (lines.size() <= max_lines) return lines;
    lines.resize(max_lines);
    if (!lines.empty()) lines.back() = with_ellipsis(font, lines.back(), width);
    return lines;
}

std::vector<std::u32string> wrap_labels(Font& font, const std::vector<std::string>& texts, int64_t width,
                                        size_t max_lines) {
    std::vector<std::u32string> lines;
    for (size_t i = 0; i < texts.size() && lines.size() < max_lines; ++i) {
        const size_t texts_after = texts.size() - i - 1, room = max_lines - lines.size();
        const auto wrapped = wrap_label(font, texts[i], width, std::max<size_t>(1, room - std::min(room, texts_after)));
        lines.insert(lines.end(), wrapped.begin(), wrapped.end());
    }
    return lines;
}

int64_t label_width(Font& font, const std::vector<std::u32string>& lines) {
    int64_t widest = 0;
    for (const auto& line : lines) widest = std::max(widest, font.width(line));
    return widest;
}

}  // namespace diffapple
