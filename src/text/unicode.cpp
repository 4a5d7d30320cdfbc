#include "unicode.h"

#include <utf8proc.h>

#include <cstdlib>
#include <memory>
#include <new>

#include "diffapple/core/utf8.h"
#include "unicode_versions.h"

namespace diffapple {
namespace {

struct Free {
    void operator()(utf8proc_uint8_t* text) const { std::free(text); }
};

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
    for (const char32_t character : decode_utf8(text)) {
        if (!unicode_versions::find(unicode_versions::not_composed, character)) {
            run += encode_utf8(character);
            continue;
        }
        append_composed(result, run);
        run.clear();
        result += encode_utf8(character);
    }
    append_composed(result, run);
    return result;
}

void append_lower(std::string& text, char32_t character) {
    if (character == U'\u0130') {  // the only letter whose lower case is two characters
        text += "i\xcc\x87";
    } else if (const auto* range = unicode_versions::find(unicode_versions::lower_cases, character)) {
        text += encode_utf8(static_cast<char32_t>(static_cast<int>(character) + range->offset));
    } else {
        text += encode_utf8(static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(character))));
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

std::string normalize(std::string_view text) {
    std::string normal;
    bool in_space = false;
    for (const char32_t character : decode_utf8(compose(text))) {
        const bool space = class_of(character) == CharacterClass::space;
        if (!space) append_lower(normal, character);
        if (space && !in_space) normal += ' ';
        in_space = space;
    }
    return normal;
}

}  // namespace diffapple
