// What CLIP's pre-tokenizer needs of Unicode, equal to what transformers' tokenizer does whatever the version of
// utf8proc. Private to the text layer.
#pragma once

#include <string>
#include <string_view>

namespace diffapple {

enum class CharacterClass { space, letter, number, other };

/// White space, \p{L}, \p{N}, and what is none of them.
CharacterClass class_of(char32_t character);

/// \w of regular expressions: letters, marks, digits, connecting punctuation.
bool is_word_character(char32_t character);

/// Valid UTF-8 as CLIP reads it: composed (NFC), each run of white space one space, lower case.
std::string normalize(std::string_view text);

}  // namespace diffapple
