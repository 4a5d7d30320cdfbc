#include "diffapple/core/text.h"

#include <algorithm>

namespace diffapple {

std::string csv_quoted(const std::string& text) {
    if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
    std::string quoted = "\"";
    for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
    return quoted + '"';
}

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
    size_t characters = 0;
    for (size_t i = 0; i < utf8.size(); ++i) {
        const bool begins = (utf8[i] & 0xc0) != 0x80;
        if (begins && ++characters > most) return utf8.substr(0, i) + "\u2026";
    }
    return utf8;
}

std::string quote(std::string_view text) {
    size_t length = std::min(text.size(), size_t{100});
    if (length < text.size())
        while (length > 0 && (text[length] & 0xc0) == 0x80) --length;  // not within a character
    std::string result = "'";
    for (const char character : text.substr(0, length)) {
        const auto byte = static_cast<unsigned char>(character);
        result += byte < 0x20 || byte == 0x7f ? '?' : character;
    }
    return result + (length < text.size() ? "...'" : "'");
}

}  // namespace diffapple
