// The meaning of the model's output, and what is done to the picture that it predicts.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "diffapple/io/json_fields.h"

namespace diffapple {

/// What the model predicts: the noise, the picture, or v = sqrt(alpha_bar) eps - sqrt(1 - alpha_bar) x_0
/// (Salimans & Ho 2022).
enum class PredictionType { epsilon, sample, v_prediction };
PredictionType read_prediction_type(const JsonFields& fields,
                                    const std::vector<std::string>& known = {"epsilon", "sample", "v_prediction"});

/// The two factors of x_t = signal x_0 + noise eps, with signal^2 + noise^2 = 1. Floats: where 1 - alpha_bar is small,
/// float's rounding shows, and the picture should be the one that diffusers makes.
struct Level {
    float signal, noise;

    static Level of_alpha_bar(float alpha_bar);
    static Level of_sigma(float sigma);  ///< sigma = noise / signal
};

/// Throws Error when a model's output has other channels than the sample: it also predicts a variance, which only the
/// samplers that know variance_type "learned" can take.
void require_channels(const at::Tensor& model_output, const at::Tensor& sample);

/// x_0 from the model's output. Tensors of one shape, fp32.
at::Tensor predict_original_sample(PredictionType type, const at::Tensor& model_output, const at::Tensor& sample,
                                   const Level& level);

/// eps from the model's output. Tensors of one shape, fp32.
at::Tensor predict_noise(PredictionType type, const at::Tensor& model_output, const at::Tensor& sample,
                         const Level& level);

/// How a predicted x_0 is kept in range: thresholding, else clip_sample, else not at all.
class SampleRange {
public:
    /// Reads thresholding, dynamic_thresholding_ratio and sample_max_value.
    static SampleRange thresholding(const JsonFields& fields);
    /// Reads clip_sample and clip_sample_range.
    static SampleRange clipping(const JsonFields& fields, bool clip_by_default);
    /// Reads both.
    static SampleRange both(const JsonFields& fields, bool clip_by_default);

    bool thresholds() const { return thresholds_; }
    at::Tensor apply(const at::Tensor& original_sample) const;

private:
    bool thresholds_ = false, clips_ = false;
    double clip_range_ = 1.0, quantile_ = 0.995, max_value_ = 1.0;
};

}  // namespace diffapple
