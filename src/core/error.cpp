#include "diffapple/core/error.h"

namespace diffapple {

std::string first_line(const std::exception& error) {
    const std::string text = error.what();
    return text.substr(0, text.find('\n'));
}

}  // namespace diffapple
