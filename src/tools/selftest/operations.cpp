// nn/ops against the formulas of the papers, written out in double precision with none of LibTorch's fused kernels.
#include <ATen/ATen.h>

#include <array>
#include <cmath>
#include <limits>
#include <numbers>

#include "diffapple/core/device.h"
#include "diffapple/core/error.h"
#include "diffapple/nn/embeddings.h"
#include "diffapple/nn/ops.h"
#include "parts.h"

namespace diffapple::selftest {
namespace {

using nn::Activation;
constexpr uint64_t operations_seed = 2;

/// Sum over the kernel's offsets of the shifted image times the weights at that offset.
at::Tensor plain_conv2d(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, int64_t stride,
                        int64_t padding) {
    const at::Tensor padded = at::constant_pad_nd(x, {padding, padding, padding, padding});
    const int64_t kernel = weight.size(2);
    const int64_t height = (padded.size(2) - kernel) / stride + 1, width = (padded.size(3) - kernel) / stride + 1;
    at::Tensor sum = bias.view({1, -1, 1, 1});
    for (int64_t dy = 0; dy < kernel; ++dy)
        for (int64_t dx = 0; dx < kernel; ++dx) {
            const auto shifted = padded.slice(2, dy, dy + (height - 1) * stride + 1, stride)
                                     .slice(3, dx, dx + (width - 1) * stride + 1, stride);
            sum = sum + at::einsum("nihw,oi->nohw", {shifted, weight.select(3, dx).select(2, dy)});
        }
    return sum;
}

at::Tensor plain_group_norm(const at::Tensor& x, int64_t groups, const at::Tensor& weight, const at::Tensor& bias,
                            double eps) {
    const auto grouped = x.reshape({x.size(0), groups, -1});
    const auto centred = grouped - grouped.mean(-1, /*keepdim=*/true);
    const auto normal = centred / (centred.square().mean(-1, /*keepdim=*/true) + eps).sqrt();
    return normal.reshape(x.sizes()) * weight.view({1, -1, 1, 1}) + bias.view({1, -1, 1, 1});
}

at::Tensor plain_activation(const at::Tensor& x, Activation activation) {
    switch (activation) {
        case Activation::none:
            return x;
        case Activation::silu:
            return x / (1 + (-x).exp());
        case Activation::mish:
            return x * at::tanh(at::log(1 + x.exp()));
        case Activation::gelu:
            return x * (1 + at::erf(x / std::numbers::sqrt2)) / 2;
        case Activation::gelu_tanh:
            return x * (1 + at::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x))) / 2;
        case Activation::quick_gelu:
            return x / (1 + (-1.702 * x).exp());
        case Activation::relu:
            return (x + x.abs()) / 2;
    }
    return {};
}

at::Tensor plain_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, int64_t heads) {
    const int64_t size = query.size(2) / heads;
    std::vector<at::Tensor> outputs;
    for (int64_t head = 0; head < heads; ++head) {
        const auto part = [&](const at::Tensor& x) { return x.slice(2, head * size, (head + 1) * size); };
        const auto scores =
            at::exp(at::matmul(part(query), part(key).transpose(1, 2)) / std::sqrt(static_cast<double>(size)));
        outputs.push_back(at::matmul(scores / scores.sum(-1, /*keepdim=*/true), part(value)));
    }
    return at::cat(outputs, 2);
}

at::Tensor plain_layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double eps) {
    const auto centred = x - x.mean(-1, /*keepdim=*/true);
    return centred / (centred.square().mean(-1, /*keepdim=*/true) + eps).sqrt() * weight + bias;
}

Check conv2d_check(int64_t kernel, int64_t stride, int64_t padding) {
    const auto run = [=](const Placement& placement) {
        NoiseSource noise(operations_seed);
        const Values x = draw(noise, {2, 24, 17, 20}, placement);
        const Values weight = draw(noise, {40, 24, kernel, kernel}, placement);
        const Values bias = draw(noise, {40}, placement);
        return compare(nn::ops::conv2d(x.tested, weight.tested, bias.tested, stride, padding),
                       plain_conv2d(x.exact, weight.exact, bias.exact, stride, padding), placement, 1);
    };
    return {concat("conv2d ", kernel, "x", kernel, " stride ", stride, " padding ", padding), run};
}

/// Values far from 0, as deep layers have them: where a kernel takes the variance as the mean of squares less the
/// square of the mean, in one pass, little is left of them (pytorch#190491).
Values draw_off_zero(NoiseSource& noise, at::IntArrayRef shape, const Placement& placement, double mean) {
    Values values = draw(noise, shape, placement);
    values.tested.add_(mean);
    values.exact = values.tested.cpu().to(at::kDouble).contiguous();
    return values;
}

Check group_norm_check(const std::string& name, Activation activation, double mean = 0) {
    const auto run = [=](const Placement& placement) {
        NoiseSource noise(operations_seed);
        const Values x = draw_off_zero(noise, {2, 36, 11, 7}, placement, mean);
        const Values weight = draw(noise, {36}, placement), bias = draw(noise, {36}, placement);
        return compare(nn::ops::group_norm(x.tested, 4, weight.tested, bias.tested, 1e-5, activation),
                       plain_activation(plain_group_norm(x.exact, 4, weight.exact, bias.exact, 1e-5), activation),
                       placement, 3);
    };
    return {"group_norm, " + name, run};
}

/// Of so many tokens that kernels work in parts; some rows are compared.
Check long_attention_check(int64_t head_size) {
    const auto run = [=](const Placement& placement) {
        constexpr int64_t tokens = 4100;
        NoiseSource noise(operations_seed);
        const Values query = draw(noise, {1, tokens, head_size}, placement);
        const Values key = draw(noise, {1, tokens, head_size}, placement);
        const Values value = draw(noise, {1, tokens, head_size}, placement);
        const auto rows = [](const at::Tensor& x) { return x.slice(1, 0, x.size(1), 100); };
        return compare(rows(nn::ops::attention(query.tested, key.tested, value.tested, 1)).contiguous(),
                       plain_attention(rows(query.exact), key.exact, value.exact, 1), placement, 4);
    };
    return {concat("attention, 4100 tokens, a head of ", head_size), run};
}

/// As the UNets call it: keys and values of a text, filled up once.
Comparison check_prepared_keys(const Placement& placement) {
    constexpr int64_t heads = 2, size = 40;
    NoiseSource noise(operations_seed);
    const Values query = draw(noise, {2, 50, heads * size}, placement);
    const Values key = draw(noise, {2, 77, heads * size}, placement);
    const Values value = draw(noise, {2, 77, heads * size}, placement);
    return compare(nn::ops::attention(query.tested, nn::ops::pad_heads(key.tested, heads),
                                      nn::ops::pad_heads(value.tested, heads), heads),
                   plain_attention(query.exact, key.exact, value.exact, heads), placement, 4);
}

Check attention_check(int64_t heads, int64_t head_size) {
    const auto run = [=](const Placement& placement) {
        NoiseSource noise(operations_seed);
        const Values query = draw(noise, {2, 50, heads * head_size}, placement);
        const Values key = draw(noise, {2, 77, heads * head_size}, placement);
        const Values value = draw(noise, {2, 77, heads * head_size}, placement);
        return compare(nn::ops::attention(query.tested, key.tested, value.tested, heads),
                       plain_attention(query.exact, key.exact, value.exact, heads), placement, 4);
    };
    return {concat("attention, ", heads, " heads of ", head_size), run};
}

/// A mask that hides the last keys from the first queries must leave what attention over the other keys gives.
Comparison check_attention_mask(const Placement& placement) {
    constexpr int64_t heads = 2, queries = 20, keys = 30, seen = 17;
    NoiseSource noise(operations_seed);
    const Values query = draw(noise, {2, queries, 32}, placement);
    const Values key = draw(noise, {2, keys, 32}, placement), value = draw(noise, {2, keys, 32}, placement);
    const auto mask = at::zeros({queries, keys}, at::TensorOptions(placement.device).dtype(placement.dtype));
    mask.narrow(1, seen, keys - seen).fill_(-std::numeric_limits<double>::infinity());
    return compare(nn::ops::attention(query.tested, key.tested, value.tested, heads, mask),
                   plain_attention(query.exact, key.exact.narrow(1, 0, seen), value.exact.narrow(1, 0, seen), heads),
                   placement, 4);
}

Check layer_norm_check(const std::string& name, double mean) {
    const auto run = [=](const Placement& placement) {
        NoiseSource noise(operations_seed);
        const Values x = draw_off_zero(noise, {2, 11, 36}, placement, mean);
        const Values weight = draw(noise, {36}, placement), bias = draw(noise, {36}, placement);
        return compare(nn::ops::layer_norm(x.tested, weight.tested, bias.tested, 1e-5),
                       plain_layer_norm(x.exact, weight.exact, bias.exact, 1e-5), placement, 2);
    };
    return {name, run};
}

Check linear_check(const std::string& name, const std::vector<int64_t>& shape, int64_t outputs) {
    const auto run = [=](const Placement& placement) {
        NoiseSource noise(operations_seed);
        const Values x = draw(noise, shape, placement);
        const Values weight = draw(noise, {outputs, shape.back()}, placement), bias = draw(noise, {outputs}, placement);
        return compare(nn::ops::linear(x.tested, weight.tested, bias.tested),
                       at::matmul(x.exact, weight.exact.t()) + bias.exact, placement, 1);
    };
    return {name, run};
}

/// The same product twice is the same product: it was not on M5 in half precision (pytorch#180776).
Comparison check_repeated_linear(const Placement& placement) {
    NoiseSource noise(operations_seed);
    const Values x = draw(noise, {2, 13, 1024}, placement), weight = draw(noise, {1024, 1024}, placement);
    const auto first = nn::ops::linear(x.tested, weight.tested, {}).clone();
    return compare_exactly(nn::ops::linear(x.tested, weight.tested, {}), first);
}

Comparison check_upsample(const Placement& placement) {
    NoiseSource noise(operations_seed);
    const Values x = draw(noise, {2, 5, 3, 4}, placement);
    const auto repeated = x.exact.repeat_interleave(2, 2).repeat_interleave(2, 3);
    return compare_exactly(nn::ops::upsample_nearest(x.tested, 6, 8), repeated.to(placement.dtype));
}

/// To a size that is not twice the old one, as where halving rounded up.
Comparison check_odd_upsample(const Placement& placement) {
    NoiseSource noise(operations_seed);
    const Values x = draw(noise, {2, 5, 4, 7}, placement);
    const auto nearest = [](int64_t from, int64_t to) {
        return at::arange(to, at::kLong).mul_(from).floor_divide_(to);
    };
    const auto expected = x.exact.index_select(2, nearest(4, 7)).index_select(3, nearest(7, 13));
    return compare_exactly(nn::ops::upsample_nearest(x.tested, 7, 13), expected.to(placement.dtype));
}

/// An image that a slice and a transpose left non-contiguous, made contiguous as the modules do before a convolution,
/// and one that becomes a sequence as it is.
Comparison check_strided_inputs(const Placement& placement) {
    NoiseSource noise(operations_seed);
    const Values x = draw(noise, {2, 16, 9, 12}, placement), weight = draw(noise, {8, 8, 3, 3}, placement);
    const Values bias = draw(noise, {8}, placement), matrix = draw(noise, {8, 8}, placement);
    const auto strided = [](const at::Tensor& image) { return image.slice(1, 8, 16).transpose(2, 3); };
    const auto image = strided(x.tested).contiguous(image_memory_format(placement.device));
    const auto convolved = nn::ops::conv2d(image, weight.tested, bias.tested, 1, 1);
    const auto sequence = nn::ops::image_to_sequence(strided(convolved.repeat({1, 2, 1, 1})));
    const auto result = nn::ops::linear(sequence, matrix.tested, bias.tested);

    const auto exact = plain_conv2d(strided(x.exact), weight.exact, bias.exact, 1, 1).transpose(2, 3);
    return compare(result, at::einsum("nihw,oi->nhwo", {exact, matrix.exact}).flatten(1, 2) + bias.exact, placement, 2);
}

Comparison check_sequence_layout(const Placement& placement) {
    NoiseSource noise(operations_seed);
    const Values x = draw(noise, {2, 6, 5, 7}, placement);
    const auto there_and_back = nn::ops::sequence_to_image(nn::ops::image_to_sequence(x.tested), 5, 7);
    return compare_exactly(there_and_back, x.exact.to(placement.dtype));
}

/// The embedding is made on the CPU for every device, so this compares with the formula only.
Comparison check_sinusoidal_embedding(const Placement&) {
    constexpr double timestep = 501, dimension = 64, freq_shift = 1;
    std::vector<double> sines, cosines;
    for (int i = 0; i < dimension / 2; ++i) {
        const double angle = timestep * std::pow(10000.0, -i / (dimension / 2 - freq_shift));
        sines.push_back(std::sin(angle));
        cosines.push_back(std::cos(angle));
    }
    sines.insert(sines.end(), cosines.begin(), cosines.end());
    const auto expected = at::tensor(sines, at::kDouble).unsqueeze(0);
    const auto embedding = nn::sinusoidal_embedding(timestep, 64, /*flip_sin_to_cos=*/false, freq_shift);
    return compare(embedding, expected, {at::kCPU, at::kFloat}, 1);
}

}  // namespace

std::vector<Check> operation_checks() {
    constexpr double off_zero = 20;
    return {linear_check("linear", {2, 5, 33}, 47),
            linear_check("linear, one row", {1, 1280}, 320),
            linear_check("linear, one row of three dimensions", {1, 1, 33}, 47),
            linear_check("linear, 65,600 rows of two", {65600, 2, 8}, 12),
            {"linear, twice", check_repeated_linear},
            conv2d_check(3, 1, 1),
            conv2d_check(3, 2, 1),
            conv2d_check(3, 2, 0),
            conv2d_check(1, 1, 0),
            group_norm_check("no activation", Activation::none),
            group_norm_check("silu", Activation::silu),
            group_norm_check("mish", Activation::mish),
            group_norm_check("gelu", Activation::gelu),
            group_norm_check("gelu_tanh", Activation::gelu_tanh),
            group_norm_check("quick_gelu", Activation::quick_gelu),
            group_norm_check("relu", Activation::relu),
            group_norm_check("mean far from 0", Activation::none, off_zero),
            layer_norm_check("layer_norm", 0),
            layer_norm_check("layer_norm, mean far from 0", off_zero),
            attention_check(1, 64),
            attention_check(4, 40),
            attention_check(2, 80),
            attention_check(2, 160),
            attention_check(1, 512),
            attention_check(3, 5),
            long_attention_check(40),
            long_attention_check(512),
            {"attention, prepared keys", check_prepared_keys},
            {"attention, masked", check_attention_mask},
            {"upsample_nearest", check_upsample},
            {"upsample_nearest, odd sizes", check_odd_upsample},
            {"image to sequence and back", check_sequence_layout},
            {"non-contiguous inputs", check_strided_inputs},
            {"sinusoidal time embedding", check_sinusoidal_embedding, /*every_dtype=*/false}};
}

}  // namespace diffapple::selftest
