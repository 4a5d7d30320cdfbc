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

    /// Says that the next `count` draws will be of this kind: they may be made at once, and moved in one copy. They are
    /// the same draws. For devices where a copy waits for all that is queued; at most `most_bytes` lie ready at a time.
    void draw_ahead(size_t count, at::IntArrayRef shape, c10::Device device, c10::ScalarType dtype,
                    uint64_t most_bytes = uint64_t{256} << 20);

private:
    /// Draws that lie ready, and those that are still to be.
    struct Ahead {
        size_t count = 0;  ///< not given out yet, made or not
        size_t at_a_time = 0;
        size_t next = 0;  ///< of `made`
        at::Tensor made;  ///< [k, ...] on the device; undefined at first
    };
    at::Tensor draw(at::IntArrayRef shape);
    void make_ahead(at::IntArrayRef shape, c10::Device device, c10::ScalarType dtype);
    at::Tensor take_ahead(at::IntArrayRef shape, c10::Device device, c10::ScalarType dtype);

    Ahead ahead_;
    std::variant<at::Generator, CudaGenerator> generator_;
};

/// A seed from the system's randomness, below 2^32: torch's CPU generator reads no more bits of one.
uint64_t draw_seed();

}  // namespace diffapple
