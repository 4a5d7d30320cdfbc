#include "diffapple/cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <sstream>
#include <string_view>

#include "diffapple/core/utf8.h"

namespace diffapple {
namespace {

std::string styled(const std::string& text, int file, const char* code) {
    return has_colours(file) ? std::string("\x1b[") + code + "m" + text + "\x1b[0m" : text;
}

}  // namespace

std::optional<size_t> terminal_width(int file) {
    winsize size{};
    if (isatty(file) == 0) return std::nullopt;
    return ioctl(file, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

bool has_colours(int file) {
    const char *const off = std::getenv("NO_COLOR"), *const kind = std::getenv("TERM");
    return isatty(file) != 0 && !(off && *off != '\0') && kind && std::string_view(kind) != "dumb";
}

std::string bold(const std::string& text, int file) {
    return styled(text, file, "1");
}

std::string red(const std::string& text, int file) {
    return styled(text, file, "31");
}

std::string wrap_words(const std::string& text, size_t width, size_t indent, size_t taken) {
    std::istringstream words(text);
    std::string wrapped, word;
    size_t column = taken;
    bool begins = true;  // a line
    while (words >> word) {
        const size_t length = count_characters(word);
        if (!begins && column + 1 + length > width) {
            wrapped += "\n" + std::string(indent, ' ');
            column = indent;
            begins = true;
        }
        if (!begins) {
            wrapped += ' ';
            ++column;
        }
        wrapped += word;
        column += length;
        begins = false;
    }
    return wrapped;
}

}  // namespace diffapple
