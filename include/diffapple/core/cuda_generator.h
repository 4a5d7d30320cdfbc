// torch's CUDA generator, computed on the CPU.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace diffapple {

/// The normal noise of a torch.Generator("cuda"): Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as
/// 1, 2, 3", 2011) with the Box-Muller transform of cuRAND, laid out as ATen/native/cuda/DistributionTemplates.h does.
/// That layout depends on how many threads the GPU can run, where a draw is of more numbers: here it is a GPU with
/// `threads` (docs/fidelity.md).
class CudaGenerator {
public:
    /// Of the study's NVIDIA RTX A5000: 64 multiprocessors, 1536 each.
    static constexpr int64_t threads = 64 * 1536;

    explicit CudaGenerator(uint64_t seed) : seed_(seed) {}

    /// Standard normal noise, fp32, on the CPU, contiguous. Equal to the GPU's but for the last bits of its fast sine.
    at::Tensor normal(at::IntArrayRef shape);

private:
    uint64_t seed_;
    uint64_t offset_ = 0;  ///< how many groups of four numbers each thread has drawn
};

}  // namespace diffapple
