#include "diffapple/core/random.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/stack.h>

#include <algorithm>
#include <random>
#include <vector>

#include "diffapple/core/error.h"

namespace diffapple {

NoiseSource::NoiseSource(uint64_t seed, GeneratorKind kind) : generator_(CudaGenerator(seed)) {
    if (kind == GeneratorKind::cpu) generator_ = at::detail::createCPUGenerator(seed);
}

at::Tensor NoiseSource::draw(at::IntArrayRef shape) {
    if (auto* const cuda = std::get_if<CudaGenerator>(&generator_)) return cuda->normal(shape);
    const auto options = at::TensorOptions().dtype(at::kFloat).device(at::kCPU);
    return at::randn(shape, std::get<at::Generator>(generator_), options);
}

at::Tensor NoiseSource::normal(at::IntArrayRef shape, c10::Device device, c10::ScalarType dtype) {
    return ahead_.count > 0 ? take_ahead(shape, device, dtype) : draw(shape).to(device, dtype);
}

void NoiseSource::draw_ahead(size_t count, at::IntArrayRef shape, c10::Device device, c10::ScalarType dtype,
                             uint64_t most_bytes) {
    if (device.is_cpu() || count == 0) return;  // nothing to gain
    const uint64_t bytes = c10::multiply_integers(shape) * sizeof(float);
    ahead_ = {.count = count, .at_a_time = std::clamp<size_t>(most_bytes / std::max<uint64_t>(bytes, 1), 1, count)};
    make_ahead(shape, device, dtype);
}

void NoiseSource::make_ahead(at::IntArrayRef shape, c10::Device device, c10::ScalarType dtype) {
    std::vector<at::Tensor> draws;
    for (size_t i = 0; i < std::min(ahead_.count, ahead_.at_a_time); ++i) draws.push_back(draw(shape));
    ahead_.made = at::stack(draws).to(device, dtype);
    ahead_.next = 0;
}

at::Tensor NoiseSource::take_ahead(at::IntArrayRef shape, c10::Device device, c10::ScalarType dtype) {
    if (ahead_.next == static_cast<size_t>(ahead_.made.size(0))) make_ahead(shape, device, dtype);
    const at::Tensor drawn = ahead_.made[static_cast<int64_t>(ahead_.next++)];
    if (drawn.sizes() != shape || drawn.device().type() != device.type() || drawn.scalar_type() != dtype)
        fail("noise of shape ", shape, " is asked for, but ", drawn.sizes(), " was announced");
    --ahead_.count;
    return drawn.clone();  // a draw is its caller's, to change in place
}

uint64_t draw_seed() {
    std::random_device device;
    return std::uniform_int_distribution<uint64_t>(0, UINT32_MAX)(device);
}

}  // namespace diffapple
