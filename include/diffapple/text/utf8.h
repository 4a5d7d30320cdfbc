// Text from outside as UTF-8.
#pragma once

#include <string>
#include <string_view>

namespace diffapple {

/// The text with every byte that is no UTF-8 replaced: U+FFFD for each longest prefix of a character, as Python and
/// Rust do it.
std::string valid_utf8(std::string_view text);

}  // namespace diffapple
