#include "gemm.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>

#include "diffapple/core/device.h"
#include "diffapple/core/random.h"

namespace diffapple {
namespace {

constexpr int64_t smallest = 256, largest = 8192;
constexpr double enough_seconds = 0.03;

}  // namespace

Gemm::Gemm(const Placement& placement) : placement_(placement) {
    const at::InferenceMode inference;
    // A block of random numbers repeated: drawing 8192 x 8192 would take longer than multiplying them.
    NoiseSource noise(/*seed=*/0);
    const at::Tensor block = noise.normal({smallest, smallest}, placement.device, placement.dtype);
    for (int64_t size = smallest; size <= largest; size *= 2) {
        a_ = block.repeat({size / smallest, size / smallest});
        b_ = a_.clone();
        seconds(1);  // warm-up: the first product of a size sets things up
        if (seconds(1) >= enough_seconds) break;
    }
    run();
}

double Gemm::seconds(int64_t products) const {
    const at::InferenceMode inference;
    synchronize(placement_.device);
    const auto start = std::chrono::steady_clock::now();
    for (int64_t i = 0; i < products; ++i) at::mm(a_, b_);
    synchronize(placement_.device);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void Gemm::run() {
    constexpr int64_t products = 3;
    const auto size = static_cast<double>(a_.size(0));
    const double flop = 2 * size * size * size;
    best_ = std::max(best_, flop * products / seconds(products));
}

}  // namespace diffapple
