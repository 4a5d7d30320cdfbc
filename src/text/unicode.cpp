#include "unicode.h"

#include <utf8proc.h>

#include <cstdlib>
#include <memory>
#include <new>

#include "unicode_versions.h"

namespace diffapple {
namespace {

const std::string_view replacement = "\xef\xbf\xbd";  // U+FFFD

struct Free {
    void operator()(utf8proc_uint8_t* text) const { std::free(text); }
};

/// How many bytes at the start of the text are one character; 0 when they are none, and then `damaged` of them are to
/// be replaced together: the longest prefix of some character, or one byte (Unicode, 3.9, table 3-7).
size_t character_length(std::string_view text, size_t& damaged) {
    const auto byte = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
    const unsigned first = byte(0);
    damaged = 1;
    if (first < 0x80) return 1;
    if (first < 0xc2 || first > 0xf4) return 0;
    const size_t length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    unsigned lowest = 0x80,
             highest = 0xbf;  // of the second byte: no overlong form, no surrogate, no more than U+10FFFF
    if (first == 0xe0) lowest = 0xa0;
    if (first == 0xed) highest = 0x9f;
    if (first == 0xf0) lowest = 0x90;
    if (first == 0xf4) highest = 0x8f;
    for (; damaged < length; ++damaged, lowest = 0x80, highest = 0xbf)
        if (byte(damaged) < lowest || byte(damaged) > highest) return 0;
    return length;
}

void append_utf8(std::string& text, char32_t character) {
    utf8proc_uint8_t bytes[4];
    const auto count = utf8proc_encode_char(static_cast<utf8proc_int32_t>(character), bytes);
    text.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(count));
}

void append_composed(std::string& result, const std::string& text) {
    utf8proc_uint8_t* composed = nullptr;
    const auto size =
        utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()), static_cast<utf8proc_ssize_t>(text.size()),
                     &composed, static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
    const std::unique_ptr<utf8proc_uint8_t, Free> owner(composed);
    if (size < 0) throw std::bad_alloc();  // of valid UTF-8, nothing else can fail
    result.append(reinterpret_cast<const char*>(composed), static_cast<size_t>(size));
}

/// NFC as of Unicode 9.
std::string compose(std::string_view text) {
    std::string result, run;
    for (const char32_t character : to_code_points(text)) {
        if (!unicode_versions::find(unicode_versions::not_composed, character)) {
            append_utf8(run, character);
            continue;
        }
        append_composed(result, run);
        run.clear();
        append_utf8(result, character);
    }
    append_composed(result, run);
    return result;
}

void append_lower(std::string& text, char32_t character) {
    if (character == U'\u0130') {  // the only letter whose lower case is two characters
        text += "i\xcc\x87";
    } else if (const auto* range = unicode_versions::find(unicode_versions::lower_cases, character)) {
        append_utf8(text, static_cast<char32_t>(static_cast<int>(character) + range->offset));
    } else {
        append_utf8(text, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(character))));
    }
}

}  // namespace

CharacterClass class_of(char32_t character) {
    if (const auto* range = unicode_versions::find(unicode_versions::classes, character))
        return range->name == 'L'   ? CharacterClass::letter
               : range->name == 'N' ? CharacterClass::number
                                    : CharacterClass::other;
    if ((character >= 9 && character <= 13) || character == 0x85) return CharacterClass::space;
    switch (utf8proc_category(static_cast<utf8proc_int32_t>(character))) {
        case UTF8PROC_CATEGORY_LU:
        case UTF8PROC_CATEGORY_LL:
        case UTF8PROC_CATEGORY_LT:
        case UTF8PROC_CATEGORY_LM:
        case UTF8PROC_CATEGORY_LO:
            return CharacterClass::letter;
        case UTF8PROC_CATEGORY_ND:
        case UTF8PROC_CATEGORY_NL:
        case UTF8PROC_CATEGORY_NO:
            return CharacterClass::number;
        case UTF8PROC_CATEGORY_ZS:
        case UTF8PROC_CATEGORY_ZL:
        case UTF8PROC_CATEGORY_ZP:
            return CharacterClass::space;
        default:
            return CharacterClass::other;
    }
}

bool is_word_character(char32_t character) {
    if (class_of(character) == CharacterClass::letter) return true;
    if (character == U'\u200c' || character == U'\u200d') return true;  // the joiners
    switch (utf8proc_category(static_cast<utf8proc_int32_t>(character))) {
        case UTF8PROC_CATEGORY_MN:
        case UTF8PROC_CATEGORY_MC:
        case UTF8PROC_CATEGORY_ME:
        case UTF8PROC_CATEGORY_ND:
        case UTF8PROC_CATEGORY_NL:
        case UTF8PROC_CATEGORY_PC:
            return true;
        default:
            return false;
    }
}

std::string valid_utf8(std::string_view text) {
    std::string valid;
    valid.reserve(text.size());
    while (!text.empty()) {
        size_t damaged = 0;
        const size_t length = character_length(text, damaged);
        valid += length ? text.substr(0, length) : replacement;
        text.remove_prefix(length ? length : damaged);
    }
    return valid;
}

std::u32string to_code_points(std::string_view text) {
    std::u32string code_points;
    code_points.reserve(text.size());
    const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
    for (auto left = static_cast<utf8proc_ssize_t>(text.size()); left > 0;) {
        utf8proc_int32_t code_point = 0;
        const auto length = utf8proc_iterate(bytes, left, &code_point);
        if (length <= 0) break;
        code_points += static_cast<char32_t>(code_point);
        bytes += length;
        left -= length;
    }
    return code_points;
}

std::string to_utf8(std::u32string_view code_points) {
    std::string text;
    for (const char32_t character : code_points) append_utf8(text, character);
    return text;
}

std::string normalize(std::string_view text) {
    std::string normal;
    bool in_space = false;
    for (const char32_t character : to_code_points(compose(text))) {
        const bool space = class_of(character) == CharacterClass::space;
        if (!space) append_lower(normal, character);
        if (space && !in_space) normal += ' ';
        in_space = space;
    }
    return normal;
}

}  // namespace diffapple
