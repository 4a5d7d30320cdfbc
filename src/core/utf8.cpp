#include "diffapple/core/utf8.h"

#include <utf8proc.h>

#include <algorithm>

namespace diffapple {
namespace {

/// How many bytes at the start of the text are one character; 0 when they are none.
size_t character_length(std::string_view text, char32_t& code_point) {
    utf8proc_int32_t value = 0;
    const auto length = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                         static_cast<utf8proc_ssize_t>(std::min(text.size(), size_t{4})), &value);
    code_point = static_cast<char32_t>(value);
    return length > 0 ? static_cast<size_t>(length) : 0;
}

/// How many bytes at the start of malformed text are replaced together: the longest prefix of some character, or one
/// byte. Two bytes of a character decide which bytes may follow: any continuation bytes, so that these complete it.
size_t malformed_length(std::string_view text) {
    char32_t ignored = 0;
    for (size_t length = std::min(text.size(), size_t{3}); length > 1; --length)
        if (character_length(std::string(text.substr(0, length)) + "\x80\x80", ignored) > length) return length;
    return 1;
}

bool is_continuation(char byte) {
    return (static_cast<unsigned char>(byte) & 0xc0) == 0x80;
}

void append_utf8(std::string& text, char32_t code_point) {
    const auto value = static_cast<utf8proc_int32_t>(code_point);
    utf8proc_uint8_t bytes[4];
    const auto count = utf8proc_encode_char(
        utf8proc_codepoint_valid(value) ? value : static_cast<utf8proc_int32_t>(replacement_character), bytes);
    text.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(count));
}

/// Calls `use` with every character, and with its bytes.
template <typename Use>
void for_each_character(std::string_view text, const Use& use) {
    while (!text.empty()) {
        const Utf8Character character = first_character(text);
        use(character, text.substr(0, character.bytes));
        text.remove_prefix(character.bytes);
    }
}

}  // namespace

Utf8Character first_character(std::string_view text) {
    char32_t code_point = 0;
    if (const size_t length = character_length(text, code_point)) return {code_point, length};
    return {replacement_character, malformed_length(text), true};
}

Utf8Character last_character(std::string_view text) {
    size_t start = text.size() - 1;
    while (start > 0 && is_continuation(text[start])) --start;
    return first_character(text.substr(start));
}

bool is_utf8(std::string_view text) {
    bool valid = true;
    for_each_character(text, [&](const Utf8Character& character, auto) { valid = valid && !character.malformed; });
    return valid;
}

std::string valid_utf8(std::string_view text) {
    const std::string replacement = encode_utf8(replacement_character);
    std::string valid;
    valid.reserve(text.size());
    for_each_character(text, [&](const Utf8Character& character, std::string_view bytes) {
        valid += character.malformed ? std::string_view(replacement) : bytes;
    });
    return valid;
}

std::u32string decode_utf8(std::string_view text) {
    std::u32string code_points;
    code_points.reserve(text.size());
    for_each_character(text, [&](const Utf8Character& character, auto) { code_points += character.code_point; });
    return code_points;
}

std::string encode_utf8(std::u32string_view code_points) {
    std::string text;
    text.reserve(code_points.size());
    for (const char32_t code_point : code_points) append_utf8(text, code_point);
    return text;
}

std::string encode_utf8(char32_t code_point) {
    return encode_utf8(std::u32string_view(&code_point, 1));
}

std::string latin1_to_utf8(std::string_view latin1) {
    std::string text;
    text.reserve(latin1.size());
    for (const char byte : latin1) append_utf8(text, static_cast<unsigned char>(byte));
    return text;
}

size_t count_characters(std::string_view text) {
    size_t count = 0;
    for_each_character(text, [&](auto, auto) { ++count; });
    return count;
}

std::string_view cut_utf8(std::string_view text, size_t most) {
    size_t end = std::min(text.size(), most);
    if (end < text.size())
        while (end > 0 && is_continuation(text[end])) --end;
    return text.substr(0, end);
}

}  // namespace diffapple
