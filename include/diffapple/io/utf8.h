// UTF-8 text as code points, whatever bytes it holds.
#pragma once

#include <string>
#include <string_view>

namespace diffapple {

/// U+FFFD, what stands for bytes that are no UTF-8.
constexpr char32_t replacement_character = 0xfffd;

/// The code points of a text. Malformed bytes (overlong forms and surrogates too) become one U+FFFD each.
std::u32string decode_utf8_replacing(std::string_view text);

/// The reverse; a value that is no code point becomes U+FFFD.
std::string encode_utf8(std::u32string_view text);

}  // namespace diffapple
