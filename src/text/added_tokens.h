// Tokens found in a text before BPE sees it, as Hugging Face's tokenizers find them. Private to the text layer.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace diffapple {

struct AddedToken {
    std::string content;
    bool normalized = false;   ///< looked for in the normalised text instead of the text as it is written
    bool left_strip = false;   ///< takes the white space before it along
    bool right_strip = false;  ///< and after it
    bool single_word = false;  ///< only where no word character touches it
    int64_t id = -1;

    bool operator==(const AddedToken&) const = default;
};

/// A part of a text: a token, or text between tokens.
struct TextPart {
    std::string_view text;
    int64_t id = -1;  ///< of the token; -1 for text
};

/// Finds tokens: the leftmost first, of those that start there the longest.
class TokenFinder {
public:
    void add(std::string content, const AddedToken& token);

    /// The text's parts in order. They refer to its characters.
    std::vector<TextPart> split(std::string_view text) const;

private:
    struct Entry {
        std::string content;
        AddedToken token;
    };
    const Entry* find_at(std::string_view text) const;

    std::array<std::vector<Entry>, 256> entries_;  ///< by first byte, the longest first
};

}  // namespace diffapple
