// Image and mask preparation on 8-bit pictures, in the order of diffusers' steps.
#include "diffapple/pipelines/image_processor.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <tuple>

#include "diffapple/core/error.h"
#include "diffapple/io/resample.h"

namespace diffapple {
namespace {

/// The size with the image's aspect ratio that covers `size` (crop) or lies inside it (fill), in diffusers' integers.
Size scaled_size(const Image& image, Size size, bool cover) {
    const double ratio = static_cast<double>(size.width) / static_cast<double>(size.height);
    const double own = static_cast<double>(image.width) / static_cast<double>(image.height);
    const bool full_width = cover ? ratio > own : ratio < own;
    const bool full_height = cover ? ratio <= own : ratio >= own;
    return {full_width ? size.width : image.width * size.height / image.height,
            full_height ? size.height : image.height * size.width / image.width};
}

/// Where the left or upper edge comes when `inner` is centred in `outer`.
int64_t centred(int64_t outer, int64_t inner) {
    return outer / 2 - inner / 2;
}

/// Resizes to cover `size` and leaves out what is too much: resize_mode "crop".
Image resize_and_crop(const Image& image, Size size) {
    const auto [width, height] = scaled_size(image, size, true);
    Image result = blank_image(size.width, size.height, image.channels);
    paste(result, resize(image, width, height, Filter::lanczos), centred(size.width, width),
          centred(size.height, height));
    return result;
}

/// Resizes to lie inside `size` and fills the rest with the edges drawn out: resize_mode "fill".
Image resize_and_fill(const Image& image, Size size) {
    const auto [width, height] = scaled_size(image, size, false);
    const Image resized = resize(image, width, height, Filter::lanczos);
    Image result = blank_image(size.width, size.height, image.channels);
    const int64_t left = centred(size.width, width), top = centred(size.height, height);
    paste(result, resized, left, top);
    const auto right_edge = static_cast<float>(width), lower_edge = static_cast<float>(height);
    if (height < size.height && top > 0) {
        const auto edge = [&, w = width, t = top](float y) {
            return resize(resized, w, t, Filter::bicubic, {0, y, right_edge, y});
        };
        paste(result, edge(0), 0, 0);
        paste(result, edge(lower_edge), 0, top + height);
    } else if (width < size.width && left > 0) {
        const auto edge = [&, l = left, h = height](float x) {
            return resize(resized, l, h, Filter::bicubic, {x, 0, x, lower_edge});
        };
        paste(result, edge(0), 0, 0);
        paste(result, edge(right_edge), left + width, 0);
    }
    return result;
}

Image prepared(const Image& image, Size size, const std::optional<CropRegion>& region) {
    if (!region) return resize(image, size.width, size.height, Filter::lanczos);
    return resize_and_fill(crop(image, region->left, region->top, region->right, region->bottom), size);
}

/// [1, C, H, W] in [0, 1].
at::Tensor levels_tensor(const Image& image) {
    const auto bytes = at::from_blob(const_cast<uint8_t*>(image.pixels.data()),
                                     {1, image.height, image.width, image.channels}, at::kByte);
    return bytes.to(at::kFloat).div_(255).permute({0, 3, 1, 2}).contiguous();
}

/// The mask as pipelines see it: grey at this size. Made grey after resizing.
Image grey_mask(const Image& mask, Size size, const std::optional<CropRegion>& region = {}) {
    return to_grey(prepared(mask, size, region));
}

/// x * y / 255, rounded.
uint32_t times_level(uint32_t x, uint32_t y) {
    const uint32_t product = x * y + 128;
    return ((product >> 8) + product) >> 8;
}

/// Pillow's alpha_composite of a level over an opaque one.
uint8_t composite(uint32_t over, uint32_t alpha, uint32_t under) {
    const uint32_t sum = (over * alpha + under * (255 - alpha) + 128) << 7;
    return static_cast<uint8_t>((((sum >> 8) + sum) >> 8) >> 7);
}

/// A span [begin, end) of `limit` pixels made `extra` longer, half on each side, and moved inside as far as it goes.
std::pair<int64_t, int64_t> extend(int64_t begin, int64_t end, int64_t extra, int64_t limit) {
    begin -= extra / 2;
    end += extra - extra / 2;
    if (end >= limit) {
        begin -= end - limit;
        end = limit;
    }
    if (begin < 0) {
        end -= begin;
        begin = 0;
    }
    return {begin, std::min(end, limit)};
}

}  // namespace

std::vector<Image> to_images(const at::Tensor& batch) {
    const auto bytes = batch.to(at::kFloat)
                           .div(2)
                           .add_(0.5)
                           .clamp_(0, 1)
                           .mul_(255)
                           .round_()
                           .permute({0, 2, 3, 1})
                           .to(at::kByte)
                           .cpu()  // by itself: copies from mps that convert are wrong up to LibTorch 2.13
                           .contiguous();
    std::vector<Image> images;
    for (int64_t i = 0; i < bytes.size(0); ++i) {
        const auto picture = bytes[i];
        const uint8_t* const begin = picture.const_data_ptr<uint8_t>();
        images.push_back({.width = picture.size(1),
                          .height = picture.size(0),
                          .channels = picture.size(2),
                          .pixels = {begin, begin + picture.numel()}});
    }
    return images;
}

Size size_of_image(Size image, int64_t factor) {
    const Size size{image.width - image.width % factor, image.height - image.height % factor};
    if (size.width == 0 || size.height == 0)
        fail("--image: a picture of ", image.width, "x", image.height, " is too small: ", factor,
             " pixels a side are needed, or --width and --height");
    return size;
}

at::Tensor image_tensor(const Image& image, Size size, const std::optional<CropRegion>& region) {
    return levels_tensor(to_rgb(prepared(image, size, region))).mul_(2).sub_(1);
}

at::Tensor mask_tensor(const Image& mask, Size size, const std::optional<CropRegion>& region) {
    return levels_tensor(grey_mask(mask, size, region)).ge(0.5).to(at::kFloat);
}

at::Tensor masked_image(const at::Tensor& image, const at::Tensor& mask) {
    return image * (mask < 0.5);
}

at::Tensor mask_to_latents(const at::Tensor& mask, int64_t height, int64_t width) {
    return at::upsample_nearest2d(mask, {height, width});
}

CropRegion crop_region(const Image& mask, Size size, int64_t padding) {
    const Image grey = to_grey(mask);
    CropRegion region{grey.width, grey.height, 0, 0};
    for (int64_t i = 0; i < grey.width * grey.height; ++i) {
        if (grey.pixels[i] == 0) continue;
        const int64_t x = i % grey.width, y = i / grey.width;
        region = {std::min(region.left, x), std::min(region.top, y), std::max(region.right, x + 1),
                  std::max(region.bottom, y + 1)};
    }
    if (region.right == 0) fail("--padding-mask-crop: the mask is black, so there is nothing to crop to");
    auto [left, top, right, bottom] = region;
    left = std::max<int64_t>(left - padding, 0);
    top = std::max<int64_t>(top - padding, 0);
    right = std::min(right + padding, grey.width);
    bottom = std::min(bottom + padding, grey.height);
    const auto width = static_cast<double>(right - left), height = static_cast<double>(bottom - top);
    const double ratio = static_cast<double>(size.width) / static_cast<double>(size.height);
    if (width / height > ratio)
        std::tie(top, bottom) = extend(top, bottom, static_cast<int64_t>(width / ratio - height), grey.height);
    else
        std::tie(left, right) = extend(left, right, static_cast<int64_t>(height * ratio - width), grey.width);
    return {left, top, right, bottom};
}

Image apply_overlay(const Image& mask, const Image& original, const Image& result, const CropRegion& region) {
    if (mask.width != original.width || mask.height != original.height)
        fail("--padding-mask-crop: the image and the mask must be of one size, not ", original.width, "x",
             original.height, " and ", mask.width, "x", mask.height);
    const Image grey = to_grey(mask), over = to_rgb(original);
    Image canvas = blank_image(original.width, original.height, 3);
    const Size size{region.right - region.left, region.bottom - region.top};
    paste(canvas, resize_and_crop(to_rgb(result), size), region.left, region.top);
    for (size_t i = 0; i < canvas.pixels.size(); ++i) {
        const uint32_t alpha = 255 - grey.pixels[i / 3];  // the original covers what is not masked
        if (alpha == 0) continue;
        // Through premultiplied alpha and back, as Pillow goes.
        const uint32_t level = std::min(255U, 255 * times_level(over.pixels[i], alpha) / alpha);
        canvas.pixels[i] = composite(level, alpha, canvas.pixels[i]);
    }
    return canvas;
}

Image keep_unmasked(const Image& result, const Image& original, const Image& mask) {
    const Size size{result.width, result.height};
    const Image grey = grey_mask(mask, size), kept = to_rgb(prepared(original, size, {}));
    Image joined = to_rgb(result);
    for (size_t i = 0; i < joined.pixels.size(); ++i)
        if (grey.pixels[i / 3] < 128) joined.pixels[i] = kept.pixels[i];
    return joined;
}

Image comparison(const Image& image, const Image& mask, const Image& result) {
    const Size size{result.width, result.height};
    Image row = blank_image(3 * size.width, size.height, 3);
    paste(row, to_rgb(prepared(image, size, {})), 0, 0);
    paste(row, to_rgb(prepared(mask, size, {})), size.width, 0);
    paste(row, to_rgb(result), 2 * size.width, 0);
    return row;
}

}  // namespace diffapple
