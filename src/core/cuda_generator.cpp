#include "diffapple/core/cuda_generator.h"

#include <ATen/core/PhiloxRNGEngine.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace diffapple {
namespace {

constexpr int64_t threads_per_block = 256, numbers_per_call = 4;

/// Two normal numbers from two random words, by curand_normal.h's _curand_box_muller: the words become numbers above 0
/// in fp32, with one rounding where CUDA's compiler contracts to a fused multiply-add.
std::array<float, 2> box_muller(uint32_t radius_word, uint32_t angle_word) {
    constexpr float unit = 0x1p-32F, unit_angle = unit * 6.2831855F;
    const float radius = std::fma(static_cast<float>(radius_word), unit, unit / 2);
    const float angle = std::fma(static_cast<float>(angle_word), unit_angle, unit_angle / 2);
    const double length = std::sqrt(-2.0 * std::log(static_cast<double>(radius)));
    return {static_cast<float>(length * std::sin(static_cast<double>(angle))),
            static_cast<float>(length * std::cos(static_cast<double>(angle)))};
}

/// curand_normal4 of one thread.
std::array<float, numbers_per_call> four_normals(uint64_t seed, uint64_t thread, uint64_t offset) {
    at::Philox4_32 engine(seed, thread, offset);
    std::array<uint32_t, numbers_per_call> words{};
    for (uint32_t& word : words) word = engine();
    const auto [first, second] = box_muller(words[0], words[1]);
    const auto [third, fourth] = box_muller(words[2], words[3]);
    return {first, second, third, fourth};
}

}  // namespace

at::Tensor CudaGenerator::normal(at::IntArrayRef shape) {
    at::Tensor noise = at::empty(shape, at::TensorOptions().dtype(at::kFloat).device(at::kCPU));
    const int64_t count = noise.numel();
    if (count == 0) return noise;
    const int64_t blocks = (count + threads_per_block - 1) / threads_per_block;
    const int64_t working = std::min(blocks * threads_per_block, threads);
    float* const values = noise.mutable_data_ptr<float>();
    // Each thread writes the four numbers of a call a whole grid apart.
    for (int64_t begin = 0; begin < count; begin += working * numbers_per_call, ++offset_)
        for (int64_t thread = 0; thread < std::min(working, count - begin); ++thread) {
            const auto numbers = four_normals(seed_, static_cast<uint64_t>(thread), offset_);
            int64_t place = begin + thread;
            for (size_t i = 0; i < numbers.size() && place < count; ++i, place += working) values[place] = numbers[i];
        }
    return noise;
}

}  // namespace diffapple
