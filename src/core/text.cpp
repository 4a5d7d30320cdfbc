#include "diffapple/core/text.h"

#include <utf8proc.h>

#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"
#include "diffapple/core/utf8.h"

namespace diffapple {

std::string lower_ascii(std::string text) {
    for (char& c : text)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return text;
}

std::string_view trimmed(std::string_view text, std::string_view blanks) {
    const size_t begin = text.find_first_not_of(blanks);
    return begin == std::string_view::npos ? "" : text.substr(begin, text.find_last_not_of(blanks) - begin + 1);
}

std::string escape_markup(std::string_view text) {
    std::string escaped;
    for (const char c : text) {
        switch (c) {
            case '&':
                escaped += "&amp;";
                break;
            case '<':
                escaped += "&lt;";
                break;
            case '>':
                escaped += "&gt;";
                break;
            case '"':
                escaped += "&quot;";
                break;
            case '\'':
                escaped += "&#39;";
                break;
            default:
                escaped += c;
        }
    }
    return escaped;
}

std::string shorten(const std::string& utf8, size_t most) {
    std::string_view rest = utf8;
    for (size_t i = 0; i < most && !rest.empty(); ++i) rest.remove_prefix(first_character(rest).bytes);
    return rest.empty() ? utf8 : utf8.substr(0, utf8.size() - rest.size()) + "\u2026";
}

std::string quote(std::string_view text) {
    const std::string_view shown = cut_utf8(text, 100);
    std::string result = "'";
    for (const char character : shown) {
        const auto byte = static_cast<unsigned char>(character);
        result += byte < 0x20 || byte == 0x7f ? '?' : character;
    }
    return result + (shown.size() < text.size() ? "...'" : "'");
}

namespace {

/// Control and format characters (escape, U+009B, direction marks, U+FEFF), Unicode's own line ends, and what is drawn
/// as nothing (Hangul's fillers, variation selectors but those of text and emoji).
bool is_control(char32_t c) {
    if (c == U'\n' || c == U'\t' || c == U'\u200c' || c == U'\u200d' || c == U'\ufe0e' || c == U'\ufe0f') return false;
    if (utf8proc_get_property(static_cast<utf8proc_int32_t>(c))->ignorable) return true;
    switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
        case UTF8PROC_CATEGORY_CC:
        case UTF8PROC_CATEGORY_CF:
        case UTF8PROC_CATEGORY_ZL:
        case UTF8PROC_CATEGORY_ZP:
            return true;
        default:
            return false;
    }
}

}  // namespace

std::string printable(std::string_view text) {
    std::string shown;
    while (!text.empty()) {
        const Utf8Character character = first_character(text);
        const std::string_view bytes = text.substr(0, character.bytes);
        text.remove_prefix(character.bytes);
        if (character.malformed)
            for (const char byte : bytes) shown += concat("\\x", format_hex(static_cast<unsigned char>(byte), 2));
        else if (!is_control(character.code_point))
            shown += bytes;
        else if (character.code_point < 0xa0)
            shown += concat("\\x", format_hex(character.code_point, 2));
        else
            shown += concat("\\u{", format_hex(character.code_point, 2), '}');
    }
    return shown;
}

namespace {

/// "\033"
std::string octal(unsigned byte) {
    std::string text = "\\";
    for (const unsigned digit : {byte / 64, byte / 8 % 8, byte % 8}) text += static_cast<char>('0' + digit);
    return text;
}

/// Between $' and ': the bytes of what is not plain in octal, of which every shell reads three digits at most (a digit
/// may follow), and "!", by which a shell may mean its history there.
std::string with_escapes(std::string_view text) {
    std::string escaped;
    while (!text.empty()) {
        const Utf8Character character = first_character(text);
        const std::string_view bytes = text.substr(0, character.bytes);
        text.remove_prefix(character.bytes);
        const bool special = bytes == "'" || bytes == "\\" || bytes == "!" || bytes == "\n" || bytes == "\t";
        if (!special && !character.malformed && !is_control(character.code_point))
            escaped += bytes;
        else
            for (const char byte : bytes) escaped += octal(static_cast<unsigned char>(byte));
    }
    return escaped;
}

}  // namespace

std::string shell_word(std::string_view text) {
    text = text.substr(0, text.find('\0'));
    constexpr std::string_view plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./:,+@%-";
    if (!text.empty() && text.find_first_not_of(plain) == std::string_view::npos) return std::string(text);
    if (text.find_first_of("\n\t") != std::string_view::npos || printable(text) != text)
        return "$'" + with_escapes(text) + "'";
    std::string word = "'";
    for (const char c : text) word += c == '\'' ? "'\\''" : std::string(1, c);
    return word + "'";
}

}  // namespace diffapple
