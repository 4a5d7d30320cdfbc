// Foreign text (tensor names, JSON values) made safe for a one-line error message. Private to the io layer.
#pragma once

#include <string>
#include <string_view>

namespace diffapple {

/// The text in single quotes, control characters replaced by '?', cut after 100 bytes. (Not named "quoted": the
/// standard library's function of that name would be found instead.)
inline std::string quote(std::string_view text) {
    std::string result = "'";
    for (const char character : text.substr(0, 100)) {
        const auto byte = static_cast<unsigned char>(character);
        result += byte < 0x20 || byte == 0x7f ? '?' : character;
    }
    return result + (text.size() > 100 ? "...'" : "'");
}

}  // namespace diffapple
