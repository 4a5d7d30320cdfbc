// Noise levels as sigma = sqrt((1 - alpha_bar) / alpha_bar), the standard deviation of the noise on an unscaled picture
// (Karras et al. 2022), and ways to choose those of inference other than by timesteps.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "diffapple/io/json_fields.h"
#include "diffapple/schedulers/scheduler.h"
#include "noise_schedule.h"

namespace diffapple {

struct SigmaLimits {
    double smallest, largest;
};

/// The sigmas of training, rising with t. Floats, as in diffusers.
class TrainingSigmas {
public:
    /// Throws Error, naming the config, for betas that give a sigma of 0 or infinity.
    TrainingSigmas(const JsonFields& config, const NoiseSchedule& schedule);

    int64_t count() const { return static_cast<int64_t>(sigmas_.size()); }
    float smallest() const { return sigmas_.front(); }
    float largest() const { return sigmas_.back(); }
    SigmaLimits limits() const { return {.smallest = smallest(), .largest = largest()}; }
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

/// The turns of a whole schedule. Floats, as in diffusers.
struct SigmaSteps {
    std::vector<double> timesteps;
    std::vector<float> sigmas;  ///< [i]: noise level before turn i; [i + 1]: after it
};

/// The given timesteps and their sigmas; a last sigma is to be added.
SigmaSteps steps_at(const std::vector<double>& timesteps, const TrainingSigmas& training);

/// How a class of samplers takes sigmas other than those of the timesteps; in diffusers each has its way.
struct Respacing {
    /// What stands for sigma_min and sigma_max where the config lacks them; by default the first and the last sigma of
    /// the timesteps. Lu's spacing knows no others.
    std::optional<SigmaLimits> limits = {};
    bool karras_reads_limits = true;
    bool knows_lu = false;
    /// A sigma's timestep: as it is; whole, which is rounded for Karras's and Lu's sigmas and else cut; or always cut.
    enum class Timesteps { fractional, whole, cut } timesteps = Timesteps::fractional;
};

/// The whole schedule in the spacing that the config asks for: `by_timesteps` as it is, or as many sigmas as the
/// request has steps, between the limits, with their timesteps; a last sigma is to be added. Throws Error unless
/// 0 < sigma_min <= sigma_max.
SigmaSteps respaced(const JsonFields& config, const SchedulerRequest& request, const TrainingSigmas& training,
                    SigmaSteps by_timesteps, const Respacing& how = {});

/// The last sigma by final_sigmas_type: 0 (the default), or `smallest`.
float final_sigma(const JsonFields& config, float smallest);

}  // namespace diffapple
