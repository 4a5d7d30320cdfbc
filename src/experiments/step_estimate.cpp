#include "step_estimate.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "diffapple/core/device.h"
#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"

namespace diffapple {
namespace {

/// Of a square matrix product that is long enough to time and short beside what it is to tell of.
double product_flop_per_second(const Placement& placement) {
    constexpr int64_t size = 1024, times = 3;  // the first sets things up
    const at::InferenceMode inference;
    const at::Tensor a = at::full({size, size}, 0.5, at::TensorOptions(placement.device).dtype(placement.dtype));
    double best = 0;
    for (int64_t i = 0; i < times; ++i) {
        synchronize(placement.device);
        const auto start = std::chrono::steady_clock::now();
        at::mm(a, a);
        synchronize(placement.device);
        const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
        best = std::max(best, 2.0 * size * size * size / std::max(seconds.count(), 1e-9));
    }
    return best;
}

}  // namespace

double estimate_step_seconds(double flop, const Placement& placement) {
    constexpr double quick_anywhere = 2e12, part_of_a_product = 0.4;
    return flop < quick_anywhere ? 0 : flop / (part_of_a_product * product_flop_per_second(placement));
}

std::string describe_minutes(double seconds) {
    const auto count = [](double amount, const char* unit) { return counted(std::llround(amount), unit); };
    constexpr double minute = 60, hour = 3600, most_minutes = 100 * minute;
    return seconds < most_minutes ? count(std::max(seconds / minute, 1.0), "minute") : count(seconds / hour, "hour");
}

}  // namespace diffapple
