// Group normalisation and SiLU in two passes over an image in channels_last, for the CPU: one to measure, one to write.
// Without LibTorch, so that it is compiled for each instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

namespace diffapple::nn {

/// [batch, pixels, channels], contiguous. A task is a block of pixels of one of the images: small ones enough for many
/// threads; large ones few enough that their moments are soon added up. They depend on the shape alone, and so does the
/// result.
struct ImageBlocks {
    int64_t batch, pixels, channels;

    int64_t block_pixels() const {
        constexpr int64_t smallest = 64, most = 256;
        const int64_t even = (pixels + most - 1) / most;
        return even > smallest ? even : smallest;
    }
    int64_t blocks() const { return (pixels + block_pixels() - 1) / block_pixels(); }
    int64_t tasks() const { return batch * blocks(); }
    int64_t first_pixel(int64_t task) const { return task % blocks() * block_pixels(); }
    int64_t pixels_of(int64_t task) const {
        const int64_t left = pixels - first_pixel(task);
        return left < block_pixels() ? left : block_pixels();
    }
    int64_t image_of(int64_t task) const { return task / blocks(); }
    /// Of a task's first value.
    int64_t offset(int64_t task) const { return (image_of(task) * pixels + first_pixel(task)) * channels; }
};

/// Of the image of a task: [channels] each.
struct GroupNormFactors {
    const float *centre, *scale, *offset;
};

/// The two passes for one element type on one instruction set. The tasks of each may run side by side.
struct GroupNormKernel {
    int64_t fewest_channels;  ///< that an image must have
    /// Writes each channel's mean in the block to moments[0 ... channels), and its sum of squared distances from that
    /// to moments[channels ... 2 channels).
    void (*measure)(const ImageBlocks&, const void* image, float* moments, int64_t task);
    /// result = (image - centre) scale + offset, and SiLU of that (Elfwing et al. 2018) where it is wanted. `result`
    /// may be `image`.
    void (*normalise)(const ImageBlocks&, const void* image, const GroupNormFactors&, bool silu, void* result,
                      int64_t task);
};

/// On the best instruction set that this processor has.
const GroupNormKernel& group_norm_kernel_fp32();
const GroupNormKernel& group_norm_kernel_bf16();

}  // namespace diffapple::nn
