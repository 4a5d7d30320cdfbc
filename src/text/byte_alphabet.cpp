#include "byte_alphabet.h"

#include <array>
#include <unordered_map>

#include "diffapple/core/utf8.h"

namespace diffapple {
namespace {

constexpr char32_t first_final_character = 0xe000;

bool is_printable(unsigned byte) {
    return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

/// GPT-2's table: printable bytes of Latin-1 are themselves, the others follow from U+0100 on.
struct Alphabet {
    std::array<std::string, 256> inner, final;
    std::unordered_map<char32_t, unsigned char> bytes;

    Alphabet() {
        char32_t next = 0x100;
        for (unsigned byte = 0; byte < 256; ++byte) {
            const char32_t character = is_printable(byte) ? byte : next++;
            inner[byte] = encode_utf8(character);
            const char32_t last = first_final_character + byte;
            final[byte] = encode_utf8(last);
            bytes[character] = static_cast<unsigned char>(byte);
        }
    }
};

const Alphabet& alphabet() {
    static const Alphabet table;
    return table;
}

}  // namespace

const std::string& inner_character(unsigned char byte) {
    return alphabet().inner[byte];
}

const std::string& final_character(unsigned char byte) {
    return alphabet().final[byte];
}

std::optional<std::string> to_piece(std::string_view token) {
    const bool ends = token.size() > end_of_word.size() && token.ends_with(end_of_word);
    const std::string_view body = ends ? token.substr(0, token.size() - end_of_word.size()) : token;
    std::string piece;
    unsigned char byte = 0;
    for (const char32_t character : decode_utf8(body)) {
        const auto found = alphabet().bytes.find(character);
        if (found == alphabet().bytes.end()) return std::nullopt;
        byte = found->second;
        piece += inner_character(byte);
    }
    if (ends) piece.replace(piece.size() - inner_character(byte).size(), std::string::npos, final_character(byte));
    return piece;
}

std::string from_piece(std::string_view piece) {
    std::string token;
    for (const char32_t character : decode_utf8(piece)) {
        if (character >= first_final_character && character < first_final_character + 256) {
            token += inner_character(static_cast<unsigned char>(character - first_final_character));
            token += end_of_word;
        } else {
            token += encode_utf8(character);
        }
    }
    return token;
}

std::optional<std::string> to_bytes(std::string_view token) {
    std::string bytes;
    for (const char32_t character : decode_utf8(token)) {
        const auto found = alphabet().bytes.find(character);
        if (found == alphabet().bytes.end()) return std::nullopt;
        bytes += static_cast<char>(found->second);
    }
    return bytes;
}

}  // namespace diffapple
