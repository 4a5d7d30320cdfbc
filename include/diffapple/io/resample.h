// Resizing and blurring of 8-bit pictures, with Pillow's results. No library beside Pillow itself has them: others
// resize in floating point, without its windowed filters or with other edges, and miss by several levels.
#pragma once

#include "diffapple/io/image.h"

namespace diffapple {

/// Names as in Pillow's Image.Resampling. Lanczos has three lobes, bicubic a = -0.5.
enum class Filter { nearest, box, bilinear, bicubic, lanczos };

/// A part of a picture in its pixels' coordinates; the edges may lie between pixels. (fp32, as Pillow's.)
struct Box {
    float left, top, right, bottom;
};

/// Resizes a picture, or a part of it (which must lie inside; one without any height or width takes the pixels around
/// that line): equal to Pillow's Image.resize(size, filter, box). Filters but nearest widen with the reduction, so
/// nothing is skipped. Alpha is a channel as any other. Throws Error for a size that is not 1 to largest_image_side.
Image resize(const Image& image, int64_t width, int64_t height, Filter filter);
Image resize(const Image& image, int64_t width, int64_t height, Filter filter, const Box& box);

/// Pillow's ImageFilter.GaussianBlur(radius): three box blurs in each direction, with edges continued. The radius, 0 to
/// largest_image_side, is the Gaussian's standard deviation in pixels.
Image gaussian_blur(const Image& image, double radius);

}  // namespace diffapple
