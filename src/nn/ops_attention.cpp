// ops::attention: LibTorch's fused kernels, and what is done where they are slow or wrong.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "diffapple/core/libtorch.h"
#include "diffapple/nn/ops.h"

namespace diffapple::nn::ops {
namespace {

/// [N, L, heads * d] to [N, heads, L, d], a view.
at::Tensor split_heads(const at::Tensor& x, int64_t heads) {
    return x.view({x.size(0), x.size(1), heads, x.size(2) / heads}).transpose(1, 2);
}

/// On the CPU by oneDNN, a block of rows at a time so that their products stay in the caches. Products and softmax are
/// in fp32 for every type, as in LibTorch's kernel: products rounded to bf16 would cost twice its error. Measured
/// against that kernel (AVX512-BF16; heads of 40, 80 and 160, 4096 to 256 pixels, a text of 77): 1.3 to 1.4 times as
/// fast in fp32, 1.4 to 1.8 in bf16.
at::Tensor attend_in_blocks(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value) {
    constexpr int64_t products_per_thread = 1 << 20;
    const auto type = query.scalar_type();
    const int64_t length = query.size(2);
    const int64_t rows = std::max<int64_t>(1, products_per_thread * at::get_num_threads() / key.size(2));
    const double scale = 1 / std::sqrt(static_cast<double>(query.size(3)));
    const auto result = at::empty({query.size(0), length, query.size(1), query.size(3)}, query.options());
    for (int64_t n = 0; n < query.size(0); ++n) {
        for (int64_t head = 0; head < query.size(1); ++head) {
            const auto q = query[n][head].to(at::kFloat).mul(scale).contiguous();
            const auto k = key[n][head].to(at::kFloat).contiguous();
            const auto v = value[n][head].t().contiguous();
            for (int64_t begin = 0; begin < length; begin += rows) {
                const int64_t end = std::min(begin + rows, length);
                const auto weights = at::softmax(libtorch::packed_linear(q.slice(0, begin, end), k, {}), -1).to(type);
                result[n].slice(0, begin, end).select(1, head).copy_(libtorch::packed_linear(weights, v, {}));
            }
        }
    }
    return result.flatten(2);
}

/// The size of heads that mps computes in one kernel: the next that it has, filled up with zeros. Its other path holds
/// all products in memory.
int64_t fused_head_size(int64_t size) {
    constexpr std::array<int64_t, 7> sizes{32, 64, 72, 80, 96, 128, 256};
    const auto* const found = std::lower_bound(sizes.begin(), sizes.end(), size);
    return found == sizes.end() ? size : *found;
}

/// With zeros behind the values of each head, as many as the fused kernel wants.
at::Tensor pad_to_fused(const at::Tensor& x) {
    const int64_t padding = fused_head_size(x.size(3)) - x.size(3);
    return padding == 0 ? x : at::constant_pad_nd(x, {0, padding});
}

/// How many rows of products mps may make at a time. From about 2^31 products on results are silently wrong (ComfyUI
/// #14837, pytorch#179352). Where the kernel is not fused (larger heads: the VAE's of 512), the products are in memory,
/// in fp32 for every type, several times: at most 512 MB each, and far from the 2^32 bytes at which it aborts
/// (pytorch#149261).
int64_t rows_on_mps(const at::Tensor& query, const at::Tensor& key) {
    constexpr int64_t most_fused = (int64_t{1} << 31) - 1, most_in_memory = (512 << 20) / 4, largest_fused_head = 256;
    const int64_t most = query.size(3) <= largest_fused_head ? most_fused : most_in_memory;
    return std::max<int64_t>(1, most / (query.size(0) * query.size(1) * key.size(2)));
}

/// On mps: heads of a size that the fused kernel has (keys and values may come padded), and a bounded number of
/// products at a time.
at::Tensor attend_on_mps(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                         const std::optional<at::Tensor>& mask) {
    const int64_t size = query.size(3);
    const double scale = 1 / std::sqrt(static_cast<double>(size));
    const auto q = pad_to_fused(query), k = pad_to_fused(key), v = pad_to_fused(value);
    const int64_t rows = rows_on_mps(q, k);
    std::vector<at::Tensor> parts;
    for (int64_t begin = 0; begin < query.size(2); begin += rows) {
        const auto rows_of = [&](const at::Tensor& x, int64_t dimension) {
            return x.slice(dimension, begin, std::min(begin + rows, query.size(2)));
        };
        parts.push_back(at::scaled_dot_product_attention(
            rows_of(q, 2), k, v, mask ? std::optional(rows_of(*mask, 0)) : std::nullopt, /*dropout_p=*/0.0,
            /*is_causal=*/false, scale));
    }
    const auto result = parts.size() == 1 ? parts.front() : at::cat(parts, 2);
    return result.slice(3, 0, size).transpose(1, 2).flatten(2).contiguous();
}

}  // namespace

at::Tensor pad_heads(const at::Tensor& x, int64_t heads) {
    return x.is_mps() ? pad_to_fused(x.unflatten(2, {heads, x.size(2) / heads})).flatten(2).contiguous() : x;
}

at::Tensor attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, int64_t heads,
                     const at::Tensor& mask, bool upcast) {
    if (upcast && query.scalar_type() == at::kHalf)
        return attention(query.to(at::kFloat), key.to(at::kFloat), value.to(at::kFloat), heads,
                         mask.defined() ? mask.to(at::kFloat) : mask)
            .to(at::kHalf);
    const auto q = split_heads(query, heads), k = split_heads(key, heads), v = split_heads(value, heads);
    const auto optional_mask = mask.defined() ? std::optional(mask) : std::nullopt;
    if (query.is_mps()) return attend_on_mps(q, k, v, optional_mask);
    if (query.is_cpu() && !mask.defined() && libtorch::can_pack_weights(query.scalar_type()))
        return attend_in_blocks(q, k, v);
    return at::scaled_dot_product_attention(q, k, v, optional_mask).transpose(1, 2).reshape(query.sizes());
}

}  // namespace diffapple::nn::ops
