#include "diffapple/core/text.h"

#include "diffapple/core/utf8.h"

namespace diffapple {

std::string escape_markup(std::string_view text) {
    std::string escaped;
    for (const char c : text) {
        switch (c) {
            case '&':
                escaped += "&amp;";
                break;
            case '<':
                escaped += "&lt;";
                break;
            case '>':
                escaped += "&gt;";
                break;
            case '"':
                escaped += "&quot;";
                break;
            case '\'':
                escaped += "&#39;";
                break;
            default:
                escaped += c;
        }
    }
    return escaped;
}

std::string shorten(const std::string& utf8, size_t most) {
    std::string_view rest = utf8;
    for (size_t i = 0; i < most && !rest.empty(); ++i) rest.remove_prefix(first_character(rest).bytes);
    return rest.empty() ? utf8 : utf8.substr(0, utf8.size() - rest.size()) + "\u2026";
}

std::string quote(std::string_view text) {
    const std::string_view shown = cut_utf8(text, 100);
    std::string result = "'";
    for (const char character : shown) {
        const auto byte = static_cast<unsigned char>(character);
        result += byte < 0x20 || byte == 0x7f ? '?' : character;
    }
    return result + (shown.size() < text.size() ? "...'" : "'");
}

}  // namespace diffapple
