#include "diffapple/core/random.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/randn.h>

#include <random>

namespace diffapple {

NoiseSource::NoiseSource(uint64_t seed, GeneratorKind kind) : generator_(CudaGenerator(seed)) {
    if (kind == GeneratorKind::cpu) generator_ = at::detail::createCPUGenerator(seed);
}

at::Tensor NoiseSource::normal(at::IntArrayRef shape, c10::Device device, c10::ScalarType dtype) {
    if (auto* const cuda = std::get_if<CudaGenerator>(&generator_)) return cuda->normal(shape).to(device, dtype);
    const auto options = at::TensorOptions().dtype(at::kFloat).device(at::kCPU);
    return at::randn(shape, std::get<at::Generator>(generator_), options).to(device, dtype);
}

uint64_t draw_seed() {
    std::random_device device;
    return std::uniform_int_distribution<uint64_t>(0, UINT32_MAX)(device);
}

}  // namespace diffapple
