// Small pictures between a terminal's lines, in the two protocols that terminals have for PNG files. (libchafa would
// print them in more terminals, at the price of GLib; each protocol is a PNG in Base64 between two escape codes.)
#pragma once

#include <string>

#include "diffapple/io/image.h"

namespace diffapple {

enum class PictureProtocol {
    none,
    kitty,   ///< https://sw.kovidgoyal.net/kitty/graphics-protocol/: kitty, Ghostty, Konsole
    iterm2,  ///< https://iterm2.com/documentation-images.html: iTerm2, WezTerm, mintty
};

/// What the terminal behind a file descriptor understands, by the variables that it sets. Inside tmux and screen, which
/// swallow both: none.
PictureProtocol picture_protocol(int file);

/// The bytes that show a picture, at most `side` pixels wide and high, and end the line.
std::string inline_picture(const Image& picture, PictureProtocol protocol, int64_t side);

}  // namespace diffapple
