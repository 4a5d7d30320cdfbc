// Noise levels as sigma = sqrt((1 - alpha_bar) / alpha_bar), the standard deviation of the noise on an unscaled picture
// (Karras et al. 2022), and ways to choose those of inference other than by timesteps.
#pragma once

#include <cstdint>
#include <vector>

#include "diffapple/io/json_fields.h"
#include "diffapple/schedulers/noise_schedule.h"

namespace diffapple {

/// The sigmas of training, rising with t. Floats, as in diffusers.
class TrainingSigmas {
public:
    /// Throws Error, naming the config, for betas that give a sigma of 0 or infinity.
    TrainingSigmas(const JsonFields& config, const NoiseSchedule& schedule);

    int64_t count() const { return static_cast<int64_t>(sigmas_.size()); }
    float smallest() const { return sigmas_.front(); }
    float largest() const { return sigmas_.back(); }
    /// lambda = log(alpha / sigma) of a timestep, falling with t.
    float lambda(int64_t timestep) const { return lambdas_[static_cast<size_t>(timestep)]; }
    /// sigma at a fractional timestep, linearly interpolated.
    double at(double timestep) const;
    /// The timestep of a sigma, interpolated linearly in log(sigma).
    double timestep_of(double sigma) const;

private:
    std::vector<float> sigmas_, logs_, lambdas_;
};

/// How the sigmas of inference are chosen: those of the timesteps; evenly in sigma^(1/7) (Karras et al. 2022, eq. 5);
/// evenly in log(sigma), written as such or as lambda (Lu et al. 2022, "DPM-Solver"); by the quantiles of the
/// distribution Beta(0.6, 0.6) (Lee et al. 2024, "Beta Sampling is All You Need").
enum class SigmaSpacing { timesteps, karras, lu, exponential, beta };

/// From use_karras_sigmas, use_exponential_sigmas, use_beta_sigmas, of which one may be true, and use_lu_lambdas, which
/// counts only where `knows_lu` and after Karras.
SigmaSpacing read_sigma_spacing(const JsonFields& config, bool knows_lu = false);

struct SigmaLimits {
    double smallest, largest;
};

/// sigma_min and sigma_max of the config, else the given ones. Throws Error unless 0 < smallest <= largest.
SigmaLimits read_sigma_limits(const JsonFields& config, const SigmaLimits& fallback);

/// `count` sigmas between the limits, the largest first; `spacing` is not `timesteps`.
std::vector<double> spaced_sigmas(SigmaSpacing spacing, const SigmaLimits& limits, int64_t count);

/// final_sigmas_type: whether the last sigma is 0 (the default), or sigma_min.
bool ends_at_zero(const JsonFields& config);

}  // namespace diffapple
