// Pictures and masks on their way into and out of a pipeline, as diffusers 0.42.1's VaeImageProcessor and its image to
// image and inpainting pipelines treat them. Tensors are fp32, NCHW, on the CPU.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

#include "diffapple/core/size.h"
#include "diffapple/io/image.h"

namespace diffapple {

/// A rectangle of a picture, [left, right) x [top, bottom).
struct CropRegion {
    int64_t left, top, right, bottom;
    bool operator==(const CropRegion&) const = default;
};

/// 8-bit pictures of a batch [N, C, H, W] in about [-1, 1] (C is 1, 3 or 4): (x / 2 + 0.5) clamped to [0, 1], times
/// 255, rounded half to even, as diffusers does.
std::vector<Image> to_images(const at::Tensor& batch);

/// The size that image to image works at when none is asked for: the image's, rounded down to multiples of `factor`
/// (the VAE's scale factor). Throws Error for an image smaller than that.
Size size_of_image(Size image, int64_t factor);

/// The image resized by Lanczos, [1, 3, H, W] in [-1, 1]. With a region, that part of it in "fill" mode: resized with
/// its aspect ratio kept, centred, and the rest filled from its edges.
at::Tensor image_tensor(const Image& image, Size size, const std::optional<CropRegion>& region = {});

/// The mask treated alike, then made grey, then 1 where it is at least 0.5 (128 of 255) and 0 elsewhere:
/// [1, 1, H, W]. 1 is what is painted anew.
at::Tensor mask_tensor(const Image& mask, Size size, const std::optional<CropRegion>& region = {});

/// The image tensor with 0 (mid-grey) where the mask tensor is 1.
at::Tensor masked_image(const at::Tensor& image, const at::Tensor& mask);

/// The mask tensor at the latents' size, by torch's nearest interpolation.
at::Tensor mask_to_latents(const at::Tensor& mask, int64_t height, int64_t width);

/// --padding-mask-crop: the rectangle around all that is not black in the mask, `padding` pixels wider on each side,
/// then extended to the aspect ratio of `size` as far as the mask's own edges allow. Throws Error for a black mask.
CropRegion crop_region(const Image& mask, Size size, int64_t padding);

/// Puts the result for a region of the original back in its place, blended by the (unbinarised) mask:
/// VaeImageProcessor's apply_overlay. Throws Error when mask and original differ in size.
Image apply_overlay(const Image& mask, const Image& original, const Image& result, const CropRegion& region);

/// --keep-unmasked: the result with every pixel that the binarised mask leaves out taken from the original, both
/// resized by Lanczos to the result's size where theirs is another.
Image keep_unmasked(const Image& result, const Image& original, const Image& mask);

/// image | mask | result side by side, RGB, all at the result's size.
Image comparison(const Image& image, const Image& mask, const Image& result);

}  // namespace diffapple
