// What all schedulers share: the betas of the forward process, the choice of timesteps, the meaning of the model's
// output. Tables are computed in fp32 with LibTorch's own operations, as diffusers does, then kept as doubles.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "diffapple/io/json_fields.h"

namespace diffapple {

/// The forward process q(x_t | x_0) = N(sqrt(alpha_bar_t) x_0, (1 - alpha_bar_t) I).
struct NoiseSchedule {
    std::vector<double> alphas_cumprod;  ///< alpha_bar_t, t = 0 ... num_train_timesteps - 1

    /// From num_train_timesteps, beta_start, beta_end, beta_schedule (linear, scaled_linear, squaredcos_cap_v2,
    /// laplace, sigmoid), trained_betas and rescale_betas_zero_snr of a scheduler's config.
    static NoiseSchedule from_json(const JsonFields& fields, double default_beta_start, double default_beta_end,
                                   const std::string& default_beta_schedule);

    int64_t num_train_timesteps() const { return static_cast<int64_t>(alphas_cumprod.size()); }
};

/// How inference timesteps are chosen (Lin et al. 2023, "Common diffusion noise schedules ...", table 2).
enum class TimestepSpacing { linspace, leading, trailing };
TimestepSpacing read_timestep_spacing(const JsonFields& fields, const std::string& fallback);

/// `steps` timesteps, falling. Rounds half to even, as numpy. Throws Error when `steps` exceeds the training timesteps
/// or steps_offset pushes one out of range.
std::vector<int64_t> inference_timesteps(TimestepSpacing spacing, int64_t steps, int64_t num_train_timesteps,
                                         int64_t steps_offset);

/// What the model predicts: the noise, the picture, or v = sqrt(alpha_bar) eps - sqrt(1 - alpha_bar) x_0
/// (Salimans & Ho 2022).
enum class PredictionType { epsilon, sample, v_prediction };
PredictionType read_prediction_type(const JsonFields& fields);

/// x_0 from the model's output at a timestep with the given alpha_bar. Tensors of one shape, fp32.
at::Tensor predict_original_sample(PredictionType type, const at::Tensor& model_output, const at::Tensor& sample,
                                   double alpha_cumprod);

/// Dynamic thresholding (Saharia et al. 2022, section 2.3): clips each picture to its own quantile s of |x_0|, where
/// 1 <= s <= max_value, and divides by s.
at::Tensor threshold_sample(const at::Tensor& sample, double quantile, double max_value);

}  // namespace diffapple
