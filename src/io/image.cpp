// Conversions and copies of pictures in memory.
#include "diffapple/io/image.h"

#include <algorithm>

#include "diffapple/core/error.h"

namespace diffapple {

Image blank_image(int64_t width, int64_t height, int64_t channels) {
    return {width, height, channels, std::vector<uint8_t>(static_cast<size_t>(width * height * channels))};
}

Image to_rgb(const Image& image) {
    if (image.channels == 3) return image;
    Image rgb = blank_image(image.width, image.height, 3);
    const bool grey = image.channels < 3;  // the second of two channels is alpha
    for (int64_t i = 0; i < image.width * image.height; ++i)
        for (int64_t c = 0; c < 3; ++c) rgb.pixels[i * 3 + c] = image.pixels[i * image.channels + (grey ? 0 : c)];
    return rgb;
}

Image to_grey(const Image& image) {
    if (image.channels == 1) return image;
    if (image.channels < 3) fail("a picture of ", image.channels, " channels cannot become grey");
    Image grey = blank_image(image.width, image.height, 1);
    for (int64_t i = 0; i < image.width * image.height; ++i) {
        const uint8_t* const p = &image.pixels[i * image.channels];
        grey.pixels[i] = static_cast<uint8_t>((p[0] * 19595U + p[1] * 38470U + p[2] * 7471U + 0x8000U) >> 16);
    }
    return grey;
}

Image crop(const Image& image, int64_t left, int64_t top, int64_t right, int64_t bottom) {
    if (left >= right || top >= bottom) fail("the part of a picture from ", left, " to ", right, " is empty");
    Image part = blank_image(right - left, bottom - top, image.channels);
    paste(part, image, -left, -top);
    return part;
}

void paste(Image& onto, const Image& picture, int64_t left, int64_t top) {
    if (onto.channels != picture.channels) fail("pictures of different channel counts cannot be joined");
    const int64_t channels = onto.channels;
    const int64_t first_x = std::max<int64_t>(0, -left), last_x = std::min(picture.width, onto.width - left);
    const int64_t first_y = std::max<int64_t>(0, -top), last_y = std::min(picture.height, onto.height - top);
    if (first_x >= last_x) return;
    for (int64_t y = first_y; y < last_y; ++y) {
        const auto source = picture.pixels.begin() + (y * picture.width + first_x) * channels;
        const auto target = onto.pixels.begin() + ((y + top) * onto.width + left + first_x) * channels;
        std::copy_n(source, (last_x - first_x) * channels, target);
    }
}

}  // namespace diffapple
