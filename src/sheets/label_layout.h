// Labels broken into lines that fit. Private to the contact sheet.
#pragma once

#include <string>
#include <vector>

#include "font.h"

namespace diffapple {

/// Lines of at most `width` pixels and at most `max_lines` of them: broken between words, within words that are longer
/// than a line, and ending in "..." where text is left out. Line breaks and tabs in the text count as spaces.
std::vector<std::u32string> wrap_label(Font& font, const std::string& text, int64_t width, size_t max_lines);

/// The same for several texts, each on lines of its own.
std::vector<std::u32string> wrap_labels(Font& font, const std::vector<std::string>& texts, int64_t width,
                                        size_t max_lines);

/// The widest line.
int64_t label_width(Font& font, const std::vector<std::u32string>& lines);

}  // namespace diffapple
