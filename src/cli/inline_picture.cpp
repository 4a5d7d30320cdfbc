#include "inline_picture.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "diffapple/core/error.h"
#include "diffapple/io/base64.h"
#include "diffapple/io/picture_encoding.h"
#include "diffapple/io/resample.h"

namespace diffapple {
namespace {

std::string_view variable(const char* name) {
    const char* const value = std::getenv(name);
    return value ? value : "";
}

Image fitted(const Image& picture, int64_t side) {
    const int64_t longer = std::max(picture.width, picture.height);
    if (longer <= side) return picture;
    const auto scaled = [&](int64_t length) { return std::max<int64_t>(length * side / longer, 1); };
    return resize(picture, scaled(picture.width), scaled(picture.height), Filter::lanczos);
}

/// In pieces of at most 4096 characters. q=2: the terminal answers nothing, which a shell would read as typed.
std::string kitty_codes(const std::string& png) {
    constexpr size_t most = 4096;
    std::string codes;
    for (size_t begin = 0; begin < png.size(); begin += most) {
        const bool more = begin + most < png.size();
        codes += concat("\x1b_G", begin == 0 ? "a=T,f=100,q=2," : "", "m=", more ? 1 : 0, ";", png.substr(begin, most),
                        "\x1b\\");
    }
    return codes;
}

}  // namespace

PictureProtocol picture_protocol(int file) {
    const std::string_view kind = variable("TERM"), program = variable("TERM_PROGRAM");
    const bool inside = !variable("TMUX").empty() || kind.starts_with("tmux") || kind.starts_with("screen");
    if (isatty(file) == 0 || inside) return PictureProtocol::none;
    if (kind == "xterm-kitty" || kind == "xterm-ghostty" || !variable("KONSOLE_VERSION").empty())
        return PictureProtocol::kitty;
    const bool iterm2 = program == "iTerm.app" || program == "WezTerm" || program == "mintty" ||
                        variable("LC_TERMINAL") == "iTerm2";  // which ssh passes on
    return iterm2 ? PictureProtocol::iterm2 : PictureProtocol::none;
}

std::string inline_picture(const Image& picture, PictureProtocol protocol, int64_t side) {
    const Image small = fitted(picture, side);
    const std::vector<std::byte> png = encode_picture("small.png", small, {});
    if (protocol == PictureProtocol::kitty) return kitty_codes(base64(png)) + "\n";
    return concat("\x1b]1337;File=inline=1;size=", png.size(), ";width=", small.width, "px;height=", small.height,
                  "px:", base64(png), "\a\n");
}

}  // namespace diffapple
