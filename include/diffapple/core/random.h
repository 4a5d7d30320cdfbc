// Seeded Gaussian noise, the same on every device and in every precision.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <variant>

#include "diffapple/core/cuda_generator.h"

namespace diffapple {

/// The device whose generator gives a seed its noise. It need not be here.
enum class GeneratorKind { cpu, cuda };

/// One generator with one seed. Every draw is made in fp32 on the CPU and only then moved and cast, so that a seed
/// means the same noise everywhere (as diffusers' randn_tensor with a generator of that kind and fp32).
class NoiseSource {
public:
    explicit NoiseSource(uint64_t seed, GeneratorKind kind = GeneratorKind::cpu);

    /// Standard normal noise of the given shape on `device` in `dtype`, contiguous. Advances the generator.
    at::Tensor normal(at::IntArrayRef shape, c10::Device device, c10::ScalarType dtype);

private:
    std::variant<at::Generator, CudaGenerator> generator_;
};

/// A seed from the system's randomness, below 2^32: torch's CPU generator reads no more bits of one.
uint64_t draw_seed();

}  // namespace diffapple
