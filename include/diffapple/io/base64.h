// Base64, as terminals and mails take bytes.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace diffapple {

std::string base64(std::span<const std::byte> bytes);

}  // namespace diffapple
