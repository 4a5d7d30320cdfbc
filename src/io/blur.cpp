// A Gaussian blur by repeated box blurs of fractional radius ("extended box blur": P. Gwosdek, S. Grewenig, A. Bruhn,
// J. Weickert, "Theoretical Foundations of Gaussian Convolution by Extended Box Filtering", 2011), in Pillow's fixed
// point.
#include <algorithm>
#include <cmath>

#include "diffapple/core/error.h"
#include "diffapple/io/resample.h"

namespace diffapple {
namespace {

constexpr int passes = 3;

/// The radius of the box whose variance, times the passes, is the Gaussian's. In fp32, as Pillow's.
float box_radius(float sigma) {
    const float variance = sigma * sigma / passes;
    const auto length = static_cast<float>(std::sqrt(12.0 * variance + 1.0));
    const auto whole = static_cast<float>(std::floor((length - 1.0) / 2.0));
    float part = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance);
    part /= 6 * (variance - (whole + 1) * (whole + 1));
    return whole + part;
}

/// Averages each pixel of a line with `radius` neighbours on both sides and a part of the next; edges are continued.
class BoxBlur {
public:
    explicit BoxBlur(float radius)
        : radius_(static_cast<int64_t>(radius)),
          weight_(static_cast<uint32_t>(one / (radius * 2 + 1))),
          far_weight_((one - static_cast<uint32_t>(radius_ * 2 + 1) * weight_) / 2) {}

    void operator()(const uint8_t* line, uint8_t* result, int64_t length) const {
        const auto at = [&](int64_t i) -> uint32_t { return line[std::clamp<int64_t>(i, 0, length - 1)]; };
        uint32_t sum = 0;
        for (int64_t i = -radius_; i <= radius_; ++i) sum += at(i);
        for (int64_t i = 0; i < length; ++i) {
            const uint32_t average = sum * weight_ + (at(i - radius_ - 1) + at(i + radius_ + 1)) * far_weight_;
            result[i] = static_cast<uint8_t>((average + one / 2) >> 24);
            sum += at(i + radius_ + 1) - at(i - radius_);
        }
    }

private:
    static constexpr uint32_t one = 1 << 24;

    int64_t radius_;
    uint32_t weight_, far_weight_;
};

/// Blurs one channel of a row or column of pixels that are `stride` apart.
void blur_line(uint8_t* pixels, int64_t length, int64_t stride, const BoxBlur& box) {
    std::vector<uint8_t> line(length), blurred(length);
    for (int64_t i = 0; i < length; ++i) line[i] = pixels[i * stride];
    for (int pass = 0; pass < passes; ++pass, line.swap(blurred)) box(line.data(), blurred.data(), length);
    for (int64_t i = 0; i < length; ++i) pixels[i * stride] = line[i];
}

}  // namespace

Image gaussian_blur(const Image& image, double radius) {
    if (!(radius >= 0 && radius <= static_cast<double>(largest_image_side)))
        fail("a blur's radius is 0 to ", largest_image_side, " pixels, not ", radius);
    if (radius == 0) return image;
    const BoxBlur box(box_radius(static_cast<float>(radius)));
    Image result = image;
    const int64_t channels = image.channels, row = image.width * channels;
    for (int64_t y = 0; y < image.height; ++y)
        for (int64_t c = 0; c < channels; ++c) blur_line(&result.pixels[y * row + c], image.width, channels, box);
    for (int64_t x = 0; x < row; ++x) blur_line(&result.pixels[x], image.height, row, box);
    return result;
}

}  // namespace diffapple
