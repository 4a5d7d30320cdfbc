// Attention in one pass over the keys, for the CPU (FlashAttention, Dao et al. 2022; the running softmax is that of
// Milakov & Gimelshein 2018): no product is in memory for longer than a block of keys takes. Without LibTorch, so that
// it is compiled for each instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

namespace diffapple::nn {

/// Queries, keys or values of all heads: element (n, i, head, c) is data[n * batch_stride + i * row_stride +
/// head * head_size + c].
struct HeadsView {
    const void* data;
    int64_t batch_stride, row_stride;  ///< in elements
};

/// Softmax(Q K^T scale + mask) V for `batch` x `heads` heads. Q is [rows, head_size] per head, K and V
/// [keys, head_size]. All sizes are at least 1.
struct FlashProblem {
    int64_t batch, heads, rows, keys, head_size;
    float scale;
    HeadsView query, key, value;
    const float* mask;  ///< [rows, keys], or null
    void* result;       ///< [batch, rows, heads, head_size], contiguous, in the type of the inputs
};

/// The same computation for one element type on one instruction set. Products are summed and the softmax is computed in
/// fp32. First all tasks of `pack`, then all of `attend`; those of each may run side by side. All floats lie at
/// multiples of 64 bytes.
struct FlashKernel {
    size_t (*packed_floats)(const FlashProblem&);  ///< how many floats pack() fills: keys and values for the products
    int64_t (*pack_tasks)(const FlashProblem&);
    void (*pack)(const FlashProblem&, float* packed, int64_t task);
    int64_t (*attend_tasks)(const FlashProblem&);
    size_t (*scratch_floats)(const FlashProblem&);  ///< that an attend() may write to
    void (*attend)(const FlashProblem&, const float* packed, float* scratch, int64_t task);
};

// Measured against LibTorch 2.13's kernel on an AMD EPYC of family 25 model 17, 2 cores (batch 2, 8 heads; heads of 40
// at 4,096 pixels, 80 at 1,024, 160 at 256, and a text of 77; one head of 512 at 4,096): bf16 2.3, 2.2, 2.4, 2.5
// and 2.0 times as fast, fp32 1.3, 1.1, 1.2, 1.6 and 0.9; the error is the same in bf16, half of it in fp32.

/// For fp32, on the best instruction set that this processor has.
const FlashKernel& flash_kernel_fp32();
/// For bf16 by the processor's bf16 products (AVX512-BF16). Null where it, or the compiler, has none, and where it has
/// AMX, for which LibTorch has a kernel of its own (not measured).
const FlashKernel* flash_kernel_bf16();
/// Null where the compiler has no such instructions. To be called where the processor has them.
const FlashKernel* flash_kernel_avx512_bf16();

}  // namespace diffapple::nn
