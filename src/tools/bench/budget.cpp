#include "diffapple/tools/bench/budget.h"

#include <algorithm>
#include <cmath>

namespace diffapple {
namespace {

constexpr double seconds_per_minute = 60;

}  // namespace

double guess_seconds(double flop, double flop_per_second) {
    constexpr double part_of_peak = 0.5;
    return flop / (part_of_peak * flop_per_second);
}

double guess_step_seconds(double flop_per_step, double flop_per_second) {
    constexpr double overhead = 0.05;
    return guess_seconds(flop_per_step, flop_per_second) + overhead;
}

double guess_load_seconds(double parameters) {
    constexpr double parameters_per_second = 30e6, overhead = 0.2;
    return parameters > 0 ? parameters / parameters_per_second + overhead : 0;
}

double estimate_seconds(const std::vector<BenchWork>& work, const BenchSettings& settings) {
    constexpr double decoded_pixels_per_second = 1e6, gemm_seconds = 0.3;
    double seconds = 0;
    for (const auto& item : work) {
        const double step = guess_step_seconds(item.flop_per_step, item.flop_per_second);
        const auto repeats = static_cast<double>(settings.repeats);
        const double steps = 1 + repeats * static_cast<double>(settings.steps);          // 1: the warm-up
        const double encode = guess_seconds(item.flop_to_encode, item.flop_per_second);  // twice, then once a repeat
        const double decode = guess_seconds(item.flop_to_decode, item.flop_per_second);  // twice
        seconds += guess_load_seconds(item.parameters) + steps * step + repeats * gemm_seconds +
                   (2 + repeats) * encode + 2 * decode + 2 * item.pixels / decoded_pixels_per_second +
                   settings.sustained_minutes * seconds_per_minute;
    }
    return seconds;
}

double limit_seconds(double estimate, const std::optional<double>& max_minutes) {
    if (max_minutes) return *max_minutes * seconds_per_minute;
    constexpr double safety = 2;
    return seconds_per_minute * (1 + std::ceil(safety * estimate / seconds_per_minute));
}

bool Budget::allows(double expected_seconds) const {
    constexpr double reserve = 0.5;  // for the yardstick's products, and to start and end the program
    return elapsed() + margin * expected_seconds + reserve <= seconds_;
}

double Budget::elapsed() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

}  // namespace diffapple
