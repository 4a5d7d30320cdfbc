// Sizes of pictures and places in them: always width before height, x before y.
#pragma once

#include <cstdint>

namespace diffapple {

/// In pixels (of latents, where that is said).
struct Size {
    int64_t width = 0, height = 0;
    bool operator==(const Size&) const = default;
};

/// Pixels from the left and from the top.
struct Point {
    int64_t x = 0, y = 0;
    bool operator==(const Point&) const = default;
};

}  // namespace diffapple
