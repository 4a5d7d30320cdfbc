#include "diffapple/io/utf8.h"

#include <array>

namespace diffapple {
namespace {

bool is_code_point(char32_t c) {
    return c <= 0x10ffff && !(c >= 0xd800 && c < 0xe000);
}

/// Bytes after a lead byte; -1 when it is none.
int continuation_bytes(unsigned char lead) {
    if (lead < 0x80) return 0;
    if (lead >> 5 == 0x6) return 1;
    if (lead >> 4 == 0xe) return 2;
    return lead >> 3 == 0x1e ? 3 : -1;
}

/// Takes one code point from the front, or one malformed byte.
char32_t take_code_point(std::string_view& rest) {
    const auto lead = static_cast<unsigned char>(rest[0]);
    const int count = continuation_bytes(lead);
    const std::string_view bytes = rest.substr(0, 1 + static_cast<size_t>(count < 0 ? 0 : count));
    rest.remove_prefix(1);
    if (count < 0 || bytes.size() != 1 + static_cast<size_t>(count)) return replacement_character;
    char32_t code_point = count == 0 ? lead : lead & (0x3f >> count);
    for (const char byte : bytes.substr(1)) {
        if ((static_cast<unsigned char>(byte) >> 6) != 2) return replacement_character;
        code_point = code_point << 6 | (static_cast<unsigned char>(byte) & 0x3f);
    }
    constexpr std::array<char32_t, 4> smallest = {0, 0x80, 0x800, 0x10000};
    if (code_point < smallest[static_cast<size_t>(count)] || !is_code_point(code_point)) return replacement_character;
    rest.remove_prefix(static_cast<size_t>(count));
    return code_point;
}

}  // namespace

std::u32string decode_utf8_replacing(std::string_view text) {
    std::u32string code_points;
    while (!text.empty()) code_points += take_code_point(text);
    return code_points;
}

std::string encode_utf8(std::u32string_view text) {
    std::string bytes;
    for (char32_t c : text) {
        if (!is_code_point(c)) c = replacement_character;
        if (c < 0x80) {
            bytes += static_cast<char>(c);
            continue;
        }
        const int count = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
        bytes += static_cast<char>((0xff00 >> (count + 1) & 0xff) | c >> (6 * count));
        for (int i = count - 1; i >= 0; --i) bytes += static_cast<char>(0x80 | (c >> (6 * i) & 0x3f));
    }
    return bytes;
}

}  // namespace diffapple
