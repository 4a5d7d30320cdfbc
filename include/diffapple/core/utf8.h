// UTF-8, read and written: the one place that knows how characters are made of bytes.
//
// Foreign text may hold any bytes. Malformed ones are read as U+FFFD, one for each longest prefix of a character, as
// Python and Rust do it (Unicode, section 3.9, "substitution of maximal subparts").
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace diffapple {

/// U+FFFD, what stands for bytes that are no UTF-8.
constexpr char32_t replacement_character = 0xfffd;

/// The start of a text, as far as it belongs together.
struct Utf8Character {
    char32_t code_point;     ///< U+FFFD where `malformed`
    size_t bytes;            ///< at least 1
    bool malformed = false;  ///< these bytes are no character, at most the beginning of one
};

/// What a text that is not empty begins with.
Utf8Character first_character(std::string_view text);

/// What valid UTF-8 that is not empty ends with.
Utf8Character last_character(std::string_view text);

/// Whether all bytes belong to characters: no overlong forms, no surrogates, nothing above U+10FFFF.
bool is_utf8(std::string_view text);

/// The text with U+FFFD for malformed bytes.
std::string valid_utf8(std::string_view text);

/// The code points of a text.
std::u32string decode_utf8(std::string_view text);

/// The reverse; a value that is no code point becomes U+FFFD.
std::string encode_utf8(std::u32string_view code_points);
std::string encode_utf8(char32_t code_point);

/// Latin-1, in which every byte is a character, as UTF-8.
std::string latin1_to_utf8(std::string_view latin1);

size_t count_characters(std::string_view text);

/// As much of the start of a text as `most` bytes can hold without a part of a character.
std::string_view cut_utf8(std::string_view text, size_t most);

}  // namespace diffapple
