// What the fonts have in common. Private to the contact sheet's fonts.
#pragma once

#include "font.h"

namespace diffapple {

/// Puts grey over a pixel; `coverage` 255 hides what was there. Outside of the picture nothing happens.
void blend_pixel(Image& onto, int64_t x, int64_t y, uint8_t grey, uint8_t coverage);

/// The outline of a rectangle, what a character that cannot be drawn looks like.
void draw_box(Image& onto, int64_t left, int64_t top, int64_t width, int64_t height, int64_t line, uint8_t grey);

/// Characters that show nothing of their own: joiners, direction marks, variation selectors.
bool is_invisible(char32_t c);

/// Characters of scripts that are unreadable when letters are just put side by side from left to right.
bool needs_shaping(char32_t c);

}  // namespace diffapple
