// CLIP's byte-level alphabet, and how SentencePiece is made to see the end of a word. Private to the text layer.
//
// CLIP writes every byte as a printable character (GPT-2's table), and the last one of a word with "</w>" behind it:
// "a" and "a</w>" are different symbols. SentencePiece's symbols are characters, so the last character of a word is
// written as a private-use code point here: U+E000 + byte stands for "x</w>".
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace diffapple {

inline constexpr std::string_view end_of_word = "</w>";

/// The character of a byte inside a word, as UTF-8.
const std::string& inner_character(unsigned char byte);
/// The same for the last byte of a word.
const std::string& final_character(unsigned char byte);

/// "cat</w>" as SentencePiece's piece; absent for what is not made of these characters.
std::optional<std::string> to_piece(std::string_view token);

/// The reverse; other characters stay as they are.
std::string from_piece(std::string_view piece);

/// The bytes that a token's characters stand for; absent when one is no character of the alphabet. "</w>" is kept.
std::optional<std::string> to_bytes(std::string_view token);

}  // namespace diffapple
