#include "words.h"

#include <array>

#include "diffapple/core/utf8.h"
#include "unicode.h"

namespace diffapple {
namespace {

constexpr std::array<std::u32string_view, 7> contractions = {U"'s", U"'t", U"'re", U"'ve", U"'m", U"'ll", U"'d"};
/// Written where they are not special tokens: each is three words.
constexpr std::array<std::u32string_view, 2> markers = {U"startoftext", U"endoftext"};

/// The length of "<|startoftext|>" or "<|endoftext|>" at the start of the text, less the 4 of its brackets; else 0.
size_t marker_length(std::u32string_view text) {
    for (const auto& marker : markers)
        if (text.starts_with(U"<|") && text.substr(2).starts_with(marker) &&
            text.substr(2 + marker.size()).starts_with(U"|>"))
            return marker.size();
    return 0;
}

/// The length of the word at the start of the text, which is no space and no marker.
size_t word_length(std::u32string_view text) {
    for (const auto& contraction : contractions)
        if (text.starts_with(contraction)) return contraction.size();
    const CharacterClass kind = class_of(text.front());
    size_t length = 1;
    if (kind == CharacterClass::number) return length;
    while (length < text.size() && class_of(text[length]) == kind) ++length;
    return length;
}

}  // namespace

std::vector<std::string> split_words(std::string_view text) {
    const std::u32string code_points = decode_utf8(text);
    std::u32string_view left = code_points;
    std::vector<std::string> words;
    const auto take = [&](size_t length) {
        words.push_back(encode_utf8(left.substr(0, length)));
        left.remove_prefix(length);
    };
    while (!left.empty()) {
        if (class_of(left.front()) == CharacterClass::space) {
            left.remove_prefix(1);
        } else if (const size_t length = marker_length(left)) {
            take(2);
            take(length);
            take(2);
        } else {
            take(word_length(left));
        }
    }
    return words;
}

}  // namespace diffapple
