// How long a run of bench takes: an estimate before it starts, and a limit that it keeps.
#pragma once

#include <chrono>
#include <optional>
#include <vector>

#include "diffapple/tools/bench/bench.h"

namespace diffapple {

/// One configuration as work to be done.
struct BenchWork {
    double flop_per_step;
    double flop_per_second;  ///< of matrix products on that device, in that dtype
    double parameters;       ///< to be loaded; 0 where an earlier configuration has loaded them
    double pixels;           ///< to be written as pictures
    double flop_to_encode = 0, flop_to_decode = 0;
};

/// Seconds that a step of so many floating-point operations may take, before anything like it was timed.
double guess_step_seconds(double flop_per_step, double flop_per_second);

/// Seconds that encoding or decoding of so many operations may take.
double guess_seconds(double flop, double flop_per_second);

/// Seconds that loading so many parameters may take.
double guess_load_seconds(double parameters);

/// Seconds that the run may take. Cautious: models reach less than a matrix product, loading is slow from a cold disk.
double estimate_seconds(const std::vector<BenchWork>& work, const BenchSettings& settings);

/// The run's limit: what the user set, else a whole number of minutes well above the estimate.
double limit_seconds(double estimate, const std::optional<double>& max_minutes);

/// The time that is left. Work that is expected to take longer than that is not begun.
class Budget {
public:
    /// Work may take this much longer than expected without breaking the limit.
    static constexpr double margin = 1.5;

    explicit Budget(double seconds) : seconds_(seconds) {}

    void set_limit(double seconds) { seconds_ = seconds; }
    /// True when work that should take so many seconds ends within the limit even if it takes `margin` times as long.
    bool allows(double expected_seconds) const;
    double elapsed() const;
    double limit() const { return seconds_; }

private:
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
    double seconds_;
};

}  // namespace diffapple
