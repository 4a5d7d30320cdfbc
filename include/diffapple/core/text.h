// Small operations on text that several layers need.
#pragma once

#include <string>
#include <string_view>

namespace diffapple {

/// The parts, each convertible to std::string_view, with `separator` between them.
template <typename Parts>
std::string join(const Parts& parts, std::string_view separator) {
    std::string joined;
    bool first = true;
    for (const auto& part : parts) {
        if (!first) joined += separator;
        first = false;
        joined += std::string_view(part);
    }
    return joined;
}

/// With A to Z in lower case; other characters stay.
std::string lower_ascii(std::string text);

/// Without what is of `blanks` at its beginning and end: a part of `text`.
std::string_view trimmed(std::string_view text, std::string_view blanks);

/// `text` with the markup characters of HTML and XML (& < > " ') as entities.
std::string escape_markup(std::string_view text);

/// One word of a shell's command line: in single quotes where that is needed. Control characters, what hides or turns
/// the direction of writing, and bytes that are no UTF-8 are written as $'\033' (bash, zsh, ksh): what is
/// pasted into a terminal is what is seen, and ends no paste. A NUL, which no argument can hold, ends the text.
std::string shell_word(std::string_view text);

/// The first `most` characters of UTF-8, and an ellipsis where more follow.
std::string shorten(const std::string& utf8, size_t most);

/// Foreign text (a tensor's name, a token) made safe for a line of an error message: in single quotes, with '?' for
/// control characters, cut after 100 bytes. (Not named "quoted": the standard library's function of that name would be
/// found instead.)
std::string quote(std::string_view text);

/// Foreign text as it may go to a terminal: what could move the cursor, change colours, turn the direction of writing
/// or hide becomes visible, as \x1b or \u{202e}, and so do bytes that are no UTF-8 (\xff). Line ends and tabs stay,
/// and the joiners without which emoji and some scripts fall apart.
std::string printable(std::string_view text);

}  // namespace diffapple
