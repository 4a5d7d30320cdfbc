// What the terminal behind a stream can do: its width, colours, lines that are drawn again.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

namespace diffapple {

/// Characters of a line of the terminal behind a file descriptor; absent where there is none.
std::optional<size_t> terminal_width(int file);

/// Whether text for it may have colours: it is a terminal that knows them, and NO_COLOR is not set.
bool has_colours(int file);

/// The text in bold (red) where colours may be used, else as it is.
std::string bold(const std::string& text, int file);
std::string red(const std::string& text, int file);

/// Words in lines of at most `width` characters: the first line has `taken` of them already, the others begin with
/// `indent` blanks. Longer words stay whole.
std::string wrap_words(const std::string& text, size_t width, size_t indent, size_t taken = 0);

}  // namespace diffapple
