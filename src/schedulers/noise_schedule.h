// The forward process of training and the timesteps of inference. Tables are computed in fp32 with LibTorch's own
// operations, as diffusers does, then kept as doubles.
#pragma once

#include <string>
#include <vector>

#include "diffapple/io/json_fields.h"

namespace diffapple {

/// What a class of schedulers takes for betas that its config does not give.
struct BetaDefaults {
    double start = 0.0001, end = 0.02;
    const char* schedule = "linear";
};

/// rescale_betas_zero_snr: not read by this class; alpha_bar_T is 0; or 2^-24, so that sigma_T stays finite.
enum class ZeroTerminalSnr { ignored, exact, finite };

/// The forward process q(x_t | x_0) = N(sqrt(alpha_bar_t) x_0, (1 - alpha_bar_t) I).
struct NoiseSchedule {
    std::vector<double> alphas_cumprod;  ///< alpha_bar_t, t = 0 ... num_train_timesteps - 1; exact floats

    /// From num_train_timesteps, beta_start, beta_end, beta_schedule (linear, scaled_linear, squaredcos_cap_v2,
    /// laplace, exp, sigmoid), trained_betas and rescale_betas_zero_snr of a scheduler's config.
    static NoiseSchedule from_json(const JsonFields& fields, ZeroTerminalSnr zero_snr,
                                   const BetaDefaults& defaults = {});

    int64_t num_train_timesteps() const { return static_cast<int64_t>(alphas_cumprod.size()); }
};

/// How inference timesteps are chosen (Lin et al. 2023, "Common diffusion noise schedules ...", table 2).
enum class TimestepSpacing { linspace, leading, trailing };
TimestepSpacing read_timestep_spacing(const JsonFields& fields, const std::string& fallback);

/// steps_offset: added to `leading` timesteps.
int64_t read_steps_offset(const JsonFields& fields);

/// numpy's linspace(0, last, count), last >= 0, count >= 1.
std::vector<double> linspace(double last, int64_t count);

/// `steps` timesteps, falling. Rounds half to even, as numpy. Throws Error (exit code 2) when `steps` exceeds the
/// training timesteps or steps_offset pushes one out of range.
std::vector<int64_t> inference_timesteps(TimestepSpacing spacing, int64_t steps, int64_t num_train_timesteps,
                                         int64_t steps_offset);

/// The same for samplers that take any sigma: linspace is not rounded.
std::vector<double> fractional_timesteps(TimestepSpacing spacing, int64_t steps, int64_t num_train_timesteps,
                                         int64_t steps_offset);

/// The same, whole again, for solvers that end at t = 0 themselves: linspace and leading choose steps + 1 timesteps and
/// leave out the last, 0. `highest` <= num_train_timesteps bounds them from above; trailing may then have fewer than
/// `steps`.
std::vector<double> solver_timesteps(TimestepSpacing spacing, int64_t steps, int64_t num_train_timesteps,
                                     int64_t highest, int64_t steps_offset);

}  // namespace diffapple
