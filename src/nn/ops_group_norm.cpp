// ops::group_norm: our own kernel for images in channels_last on the CPU, LibTorch's for all else.
#include <ATen/ATen.h>
#include <ATen/record_function.h>

#include <cmath>

#include "diffapple/core/libtorch.h"
#include "diffapple/nn/ops.h"
#include "fused_group_norm.h"

namespace diffapple::nn::ops {
namespace {

/// Null where there is none for such an image.
const GroupNormKernel* find_group_norm_kernel(const at::Tensor& x) {
    if (!x.is_cpu() || x.dim() != 4 || x.numel() == 0 || !x.is_contiguous(at::MemoryFormat::ChannelsLast))
        return nullptr;
    const GroupNormKernel* kernel = nullptr;
    if (x.scalar_type() == at::kFloat) kernel = &group_norm_kernel_fp32();
    if (x.scalar_type() == at::kBFloat16) kernel = &group_norm_kernel_bf16();
    return kernel && x.size(1) >= kernel->fewest_channels ? kernel : nullptr;
}

/// Layers with learnt scales, as GroupNorm holds them.
struct GroupNormLayer {
    int64_t groups;
    at::Tensor weight, bias;  ///< fp32 [channels]
    double eps;
};

/// Of one group of an image: from the moments of its channels in each block (Chan et al. 1979) to the factors
/// [3][batch, channels].
void find_factors(const ImageBlocks& blocks, const GroupNormLayer& layer, int64_t image, int64_t group,
                  const float* moments, at::Tensor& factors) {
    const int64_t channels = blocks.channels, size = channels / layer.groups, begin = group * size, end = begin + size;
    const int64_t first_task = image * blocks.blocks(), last_task = first_task + blocks.blocks();
    const auto count = static_cast<double>(blocks.pixels * size);
    double sum = 0, squares = 0;
    for (int64_t task = first_task; task < last_task; ++task)
        for (int64_t c = begin; c < end; ++c)
            sum += static_cast<double>(moments[task * 2 * channels + c]) * static_cast<double>(blocks.pixels_of(task));
    const double mean = sum / count;
    for (int64_t task = first_task; task < last_task; ++task)
        for (int64_t c = begin; c < end; ++c) {
            const float* const of_block = moments + task * 2 * channels;
            const double distance = static_cast<double>(of_block[c]) - mean;
            squares += static_cast<double>(of_block[channels + c]) +
                       distance * distance * static_cast<double>(blocks.pixels_of(task));
        }
    const double inverse = 1 / std::sqrt(squares / count + layer.eps);
    const float *const weight = layer.weight.data_ptr<float>(), *const bias = layer.bias.data_ptr<float>();
    auto factors_of = factors.accessor<float, 3>();
    const auto centre = static_cast<float>(mean);
    for (int64_t c = begin; c < end; ++c) {
        const double scale = static_cast<double>(weight[c]) * inverse;
        factors_of[0][image][c] = centre;
        factors_of[1][image][c] = static_cast<float>(scale);
        factors_of[2][image][c] =
            static_cast<float>(static_cast<double>(bias[c]) + (static_cast<double>(centre) - mean) * scale);
    }
}

at::Tensor group_norm_by_kernel(const GroupNormKernel& kernel, const at::Tensor& x, const GroupNormLayer& layer,
                                bool silu) {
    RECORD_FUNCTION("diffapple::group_norm", std::vector<c10::IValue>());  // bench shows its time
    const ImageBlocks blocks{x.size(0), x.size(2) * x.size(3), x.size(1)};
    const bool reuse = x.use_count() == 1 && x.storage().use_count() == 1;  // nobody else looks at it
    auto result = reuse ? x : at::empty_like(x);
    const auto moments = at::empty({blocks.tasks(), 2, blocks.channels}, at::kFloat);
    auto factors = at::empty({3, blocks.batch, blocks.channels}, at::kFloat);
    float* const moments_data = moments.data_ptr<float>();
    const void* const image = x.data_ptr();
    void* const to = result.data_ptr();
    libtorch::run_in_parallel(blocks.tasks(), [&](int64_t begin, int64_t end) {
        for (int64_t task = begin; task < end; ++task)
            kernel.measure(blocks, image, moments_data + task * 2 * blocks.channels, task);
    });
    libtorch::run_in_parallel(blocks.batch * layer.groups, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
            find_factors(blocks, layer, i / layer.groups, i % layer.groups, moments_data, factors);
    });
    libtorch::run_in_parallel(blocks.tasks(), [&](int64_t begin, int64_t end) {
        for (int64_t task = begin; task < end; ++task) {
            const auto part = [&](int64_t i) {
                return factors.data_ptr<float>() + (i * blocks.batch + blocks.image_of(task)) * blocks.channels;
            };
            kernel.normalise(blocks, image, {part(0), part(1), part(2)}, silu, to, task);
        }
    });
    return result;
}

}  // namespace

at::Tensor group_norm(at::Tensor x, int64_t groups, const at::Tensor& weight, const at::Tensor& bias, double eps,
                      Activation activation) {
    const GroupNormKernel* const kernel = find_group_norm_kernel(x);
    if (!kernel) return activate(at::group_norm(x, groups, weight, bias, eps), activation);
    const GroupNormLayer layer{groups, weight.to(at::kFloat), bias.to(at::kFloat), eps};
    const bool silu = activation == Activation::silu;
    auto normalised = group_norm_by_kernel(*kernel, x, layer, silu);
    return silu ? normalised : activate(std::move(normalised), activation);
}

}  // namespace diffapple::nn::ops
