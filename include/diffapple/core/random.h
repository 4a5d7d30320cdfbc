// Seeded Gaussian noise, the same on every device and in every precision.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>

namespace diffapple {

/// One CPU generator with one seed. Every draw is made in fp32 on the CPU and only then moved and cast, so that a seed
/// means the same noise everywhere (as diffusers' randn_tensor with a CPU generator and fp32).
class NoiseSource {
public:
    explicit NoiseSource(uint64_t seed);

    /// Standard normal noise of the given shape on `device` in `dtype`, contiguous. Advances the generator.
    at::Tensor normal(at::IntArrayRef shape, c10::Device device, c10::ScalarType dtype);

private:
    at::Generator generator_;
};

/// A seed from the system's randomness, below 2^32: torch's CPU generator reads no more bits of one.
uint64_t draw_seed();

}  // namespace diffapple
