// ops::attention: the fused kernels of LibTorch and, on the CPU, our own, and what is done where they are slow or
// wrong.
#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "diffapple/core/libtorch.h"
#include "diffapple/nn/ops.h"
#include "flash_attention.h"

namespace diffapple::nn::ops {
namespace {

/// [N, L, heads * d] to [N, heads, L, d], a view.
at::Tensor split_heads(const at::Tensor& x, int64_t heads) {
    return x.view({x.size(0), x.size(1), heads, x.size(2) / heads}).transpose(1, 2);
}

/// The CPU's kernel for a type; null where LibTorch's own is the only one, or the better (see flash_attention.h).
const FlashKernel* find_flash_kernel(at::ScalarType type) {
    if (type == at::kFloat) return &flash_kernel_fp32();
    return type == at::kBFloat16 ? flash_kernel_bf16() : nullptr;
}

/// [N, L, heads * d] with channels that lie behind each other.
HeadsView view_heads(const at::Tensor& x) {
    return {x.data_ptr(), x.stride(0), x.stride(1)};
}

/// Fills the kernel's buffers and runs its tasks on LibTorch's threads.
at::Tensor attend_by_flash(const FlashKernel& kernel, const at::Tensor& query, const at::Tensor& key,
                           const at::Tensor& value, int64_t heads, const at::Tensor& mask) {
    RECORD_FUNCTION("diffapple::flash_attention", std::vector<c10::IValue>());  // bench shows its time
    const auto dense = [](const at::Tensor& x) { return x.stride(2) == 1 ? x : x.contiguous(); };
    const auto buffer = [](size_t floats) { return at::empty({static_cast<int64_t>(floats)}, at::kFloat); };
    const auto q = dense(query), k = dense(key), v = dense(value);
    const auto added = mask.defined() ? mask.to(at::kFloat).contiguous() : mask;
    auto result = at::empty(q.sizes(), q.options());
    FlashProblem problem{};
    problem.batch = q.size(0);
    problem.heads = heads;
    problem.rows = q.size(1);
    problem.keys = k.size(1);
    problem.head_size = q.size(2) / heads;
    problem.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(problem.head_size)));
    problem.query = view_heads(q);
    problem.key = view_heads(k);
    problem.value = view_heads(v);
    problem.mask = added.defined() ? added.data_ptr<float>() : nullptr;
    problem.result = result.data_ptr();

    const auto packed = buffer(kernel.packed_floats(problem));
    libtorch::run_in_parallel(kernel.pack_tasks(problem), [&](int64_t begin, int64_t end) {
        for (int64_t task = begin; task < end; ++task) kernel.pack(problem, packed.data_ptr<float>(), task);
    });
    libtorch::run_in_parallel(kernel.attend_tasks(problem), [&](int64_t begin, int64_t end) {
        const auto scratch = buffer(kernel.scratch_floats(problem));
        for (int64_t task = begin; task < end; ++task)
            kernel.attend(problem, packed.data_ptr<float>(), scratch.data_ptr<float>(), task);
    });
    return result;
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
    const FlashKernel* const kernel = query.is_cpu() ? find_flash_kernel(query.scalar_type()) : nullptr;
    if (kernel) return attend_by_flash(*kernel, query, key, value, heads, mask);
    const auto q = split_heads(query, heads), k = split_heads(key, heads), v = split_heads(value, heads);
    const auto optional_mask = mask.defined() ? std::optional(mask) : std::nullopt;
    if (query.is_mps()) return attend_on_mps(q, k, v, optional_mask);
    return at::scaled_dot_product_attention(q, k, v, optional_mask).transpose(1, 2).reshape(query.sizes());
}

}  // namespace diffapple::nn::ops
