// Resampling by convolution in two passes, in fixed point as Pillow does: weights are computed in double, made to sum
// to 1, rounded to 22 binary digits, and each pass rounds to 8 bits.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "diffapple/core/error.h"
#include "diffapple/io/resample.h"

namespace diffapple {
namespace {

// ---- Filters: weight at a distance from the centre, in (reduced) pixels

double box_weight(double x) {
    return x > -0.5 && x <= 0.5 ? 1 : 0;
}

double bilinear_weight(double x) {
    return std::max(0.0, 1 - std::abs(x));
}

double bicubic_weight(double x) {
    constexpr double a = -0.5;
    x = std::abs(x);
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
    return 0;
}

double sinc(double x) {
    if (x == 0) return 1;
    x *= std::numbers::pi;
    return std::sin(x) / x;
}

double lanczos_weight(double x) {
    return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0;
}

struct Kernel {
    double (*weight)(double);
    double support;  ///< weights are 0 beyond this distance
};

Kernel kernel_of(Filter filter) {
    switch (filter) {
        case Filter::box:
            return {box_weight, 0.5};
        case Filter::bilinear:
            return {bilinear_weight, 1};
        case Filter::bicubic:
            return {bicubic_weight, 2};
        default:
            return {lanczos_weight, 3};
    }
}

// ---- Convolution

constexpr int precision = 32 - 8 - 2;  // bits after the point: 8 for the value and 2 for overshoot stay free
constexpr int32_t half = 1 << (precision - 1);

/// The input pixels that make one output pixel, and their weights in fixed point.
struct Window {
    int64_t first;
    std::vector<int32_t> weights;

    int64_t end() const { return first + static_cast<int64_t>(weights.size()); }
};

/// As Pillow rounds a place, which for the double below 0.5 is not as lround does.
int64_t round_place(double place) {
    return static_cast<int64_t>(place + 0.5);  // NOLINT(bugprone-incorrect-roundings)
}

/// The window of the output pixel whose centre lies at `centre` of an input line of `length` pixels.
Window make_window(const Kernel& kernel, double centre, double reduction, int64_t length) {
    const double support = kernel.support * reduction, inverse = 1 / reduction;
    const int64_t first = std::max<int64_t>(0, round_place(centre - support));
    const int64_t end = std::min(length, round_place(centre + support));
    std::vector<double> weights;
    double sum = 0;
    for (int64_t i = first; i < end; ++i) {
        weights.push_back(kernel.weight((static_cast<double>(i) - centre + 0.5) * inverse));
        sum += weights.back();
    }
    Window window{first, {}};
    for (double weight : weights) {
        if (sum != 0) weight /= sum;
        window.weights.push_back(static_cast<int32_t>(weight * (1 << precision) + (weight < 0 ? -0.5 : 0.5)));
    }
    return window;
}

/// One window per output pixel, of the part [begin, end) of a line.
std::vector<Window> make_windows(Filter filter, float begin, float end, int64_t length, int64_t output) {
    const double scale = (end - begin) / static_cast<double>(output);
    std::vector<Window> windows;
    for (int64_t i = 0; i < output; ++i) {
        const double centre = begin + (static_cast<double>(i) + 0.5) * scale;
        windows.push_back(make_window(kernel_of(filter), centre, std::max(scale, 1.0), length));
    }
    return windows;
}

uint8_t to_level(int32_t sum) {
    return static_cast<uint8_t>(std::clamp(sum >> precision, 0, 255));
}

/// Convolves along the rows [top, bottom).
Image along_rows(const Image& image, const std::vector<Window>& windows, int64_t top, int64_t bottom) {
    const int64_t channels = image.channels;
    Image result = blank_image(static_cast<int64_t>(windows.size()), bottom - top, channels);
    uint8_t* target = result.pixels.data();
    for (int64_t y = top; y < bottom; ++y) {
        const uint8_t* const row = &image.pixels[y * image.width * channels];
        for (const Window& window : windows) {
            for (int64_t c = 0; c < channels; ++c) {
                const uint8_t* source = row + window.first * channels + c;
                int32_t sum = half;
                for (const int32_t weight : window.weights) sum += *source * weight, source += channels;
                *target++ = to_level(sum);
            }
        }
    }
    return result;
}

/// Convolves along the columns of a picture whose first row is row `top` of the one that the windows are for.
Image along_columns(const Image& image, const std::vector<Window>& windows, int64_t top = 0) {
    const int64_t row_bytes = image.width * image.channels;
    Image result = blank_image(image.width, static_cast<int64_t>(windows.size()), image.channels);
    std::vector<int32_t> sums(row_bytes);
    uint8_t* target = result.pixels.data();
    for (const Window& window : windows) {
        std::fill(sums.begin(), sums.end(), half);
        const uint8_t* source = image.pixels.data() + (window.first - top) * row_bytes;
        for (const int32_t weight : window.weights) {
            for (int64_t i = 0; i < row_bytes; ++i) sums[i] += source[i] * weight;
            source += row_bytes;
        }
        target = std::transform(sums.begin(), sums.end(), target, to_level);
    }
    return result;
}

/// The order of the passes shows in the result, since each rounds and clips to 8 bits. Since version 13, Pillow starts
/// with the columns where the height shrinks by more than twice what the width does.
bool columns_first(const Image& image, int64_t width, int64_t height) {
    const int64_t shorter = image.height - height, narrower = image.width - width;
    return shorter > 0 && shorter > 2 * narrower;
}

Image convolve(const Image& image, int64_t width, int64_t height, Filter filter, const Box& box) {
    const bool horizontal = width != image.width || box.left != 0 || box.right != static_cast<float>(width);
    const bool vertical = height != image.height || box.top != 0 || box.bottom != static_cast<float>(height);
    const auto across = make_windows(filter, box.left, box.right, image.width, width);
    const auto down = make_windows(filter, box.top, box.bottom, image.height, height);
    if (!horizontal && !vertical) return image;
    if (!horizontal) return along_columns(image, down);
    if (!vertical) return along_rows(image, across, 0, image.height);
    if (columns_first(image, width, height)) return along_rows(along_columns(image, down), across, 0, height);
    const int64_t top = down.front().first;
    return along_columns(along_rows(image, across, top, down.back().end()), down, top);
}

/// The input pixel nearest to each output pixel. The position is summed up, as Pillow does, not multiplied out.
std::vector<int64_t> nearest_pixels(float begin, float end, int64_t length, int64_t output) {
    const double scale = (end - begin) / static_cast<double>(output);
    std::vector<int64_t> pixels;
    double position = begin + scale * 0.5;
    for (int64_t i = 0; i < output; ++i, position += scale)
        pixels.push_back(std::clamp<int64_t>(static_cast<int64_t>(position), 0, length - 1));
    return pixels;
}

Image take_nearest(const Image& image, int64_t width, int64_t height, const Box& box) {
    const auto columns = nearest_pixels(box.left, box.right, image.width, width);
    Image result = blank_image(width, height, image.channels);
    uint8_t* target = result.pixels.data();
    for (const int64_t y : nearest_pixels(box.top, box.bottom, image.height, height)) {
        const uint8_t* const row = &image.pixels[y * image.width * image.channels];
        for (const int64_t x : columns) target = std::copy_n(row + x * image.channels, image.channels, target);
    }
    return result;
}

}  // namespace

Image resize(const Image& image, int64_t width, int64_t height, Filter filter, const Box& box) {
    for (const int64_t side : {width, height})
        if (side < 1 || side > largest_image_side)
            fail("a picture of ", image.width, "x", image.height, " cannot be resized to ", width, "x", height);
    const auto [right, bottom] = std::pair{static_cast<float>(image.width), static_cast<float>(image.height)};
    const bool inside = box.left >= 0 && box.left <= box.right && box.right <= right && box.top >= 0 &&
                        box.top <= box.bottom && box.bottom <= bottom;
    if (!inside) fail("the part of a picture that is to be resized does not lie inside it");
    if (filter == Filter::nearest) return take_nearest(image, width, height, box);
    return convolve(image, width, height, filter, box);
}

Image resize(const Image& image, int64_t width, int64_t height, Filter filter) {
    return resize(image, width, height, filter,
                  {0, 0, static_cast<float>(image.width), static_cast<float>(image.height)});
}

}  // namespace diffapple
