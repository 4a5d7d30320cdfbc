#include "prediction.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"

namespace diffapple {

PredictionType read_prediction_type(const JsonFields& fields, const std::vector<std::string>& known) {
    const auto name = fields.choice("prediction_type", known, "epsilon");
    if (name == "epsilon") return PredictionType::epsilon;
    return name == "v_prediction" ? PredictionType::v_prediction : PredictionType::sample;
}

Level Level::of_alpha_bar(float alpha_bar) {
    return {.signal = std::sqrt(alpha_bar), .noise = std::sqrt(1 - alpha_bar)};
}

Level Level::of_sigma(float sigma) {
    const float signal = 1 / std::sqrt(sigma * sigma + 1);
    return {.signal = signal, .noise = sigma * signal};
}

void require_channels(const at::Tensor& model_output, const at::Tensor& sample) {
    if (model_output.size(1) != sample.size(1))
        fail("this scheduler needs a model with ", counted(sample.size(1), "output channel"), ", but it has ",
             model_output.size(1),
             " (a learned variance?); use --scheduler ddpm or dpmsolver++, or check variance_type in ",
             "the scheduler_config.json of this model");
}

at::Tensor predict_original_sample(PredictionType type, const at::Tensor& model_output, const at::Tensor& sample,
                                   const Level& level) {
    require_channels(model_output, sample);
    switch (type) {
        case PredictionType::epsilon:
            return sample.sub(model_output.mul(level.noise)).div_(level.signal);
        case PredictionType::sample:
            return model_output;
        case PredictionType::v_prediction:
            return sample.mul(level.signal).sub_(model_output.mul(level.noise));
    }
    return {};
}

at::Tensor predict_noise(PredictionType type, const at::Tensor& model_output, const at::Tensor& sample,
                         const Level& level) {
    require_channels(model_output, sample);
    switch (type) {
        case PredictionType::epsilon:
            return model_output;
        case PredictionType::sample:
            return sample.sub(model_output.mul(level.signal)).div_(level.noise);
        case PredictionType::v_prediction:
            return model_output.mul(level.signal).add_(sample.mul(level.noise));
    }
    return {};
}

SampleRange SampleRange::thresholding(const JsonFields& fields) {
    SampleRange range;
    range.thresholds_ = fields.boolean("thresholding", false);
    range.quantile_ = fields.number("dynamic_thresholding_ratio", 0.995);
    constexpr double unlimited = std::numeric_limits<double>::infinity();  // null
    range.max_value_ = fields.number("sample_max_value", fields.given("sample_max_value") ? unlimited : 1.0);
    if (range.quantile_ < 0 || range.quantile_ > 1)
        fields.reject("dynamic_thresholding_ratio", "must be between 0 and 1");
    return range;
}

SampleRange SampleRange::clipping(const JsonFields& fields, bool clip_by_default) {
    SampleRange range;
    range.clips_ = fields.boolean("clip_sample", clip_by_default);
    range.clip_range_ = fields.number("clip_sample_range", 1.0);
    if (range.clip_range_ <= 0) fields.reject("clip_sample_range", "must be greater than 0");
    return range;
}

SampleRange SampleRange::both(const JsonFields& fields, bool clip_by_default) {
    SampleRange range = thresholding(fields);
    const SampleRange clips = clipping(fields, clip_by_default);
    range.clips_ = clips.clips_;
    range.clip_range_ = clips.clip_range_;
    return range;
}

namespace {

/// Dynamic thresholding (Saharia et al. 2022, section 2.3): clips each picture to its own quantile s of |x_0|, where
/// 1 <= s <= max_value, and divides by s.
at::Tensor threshold_sample(const at::Tensor& sample, double quantile, double max_value) {
    const auto flat = sample.reshape({sample.size(0), -1});
    const auto s = at::quantile(flat.abs(), quantile, 1, /*keepdim=*/true).clamp_(1.0, max_value);
    return at::clamp(flat, s.neg(), s).div_(s).view_as(sample);
}

}  // namespace

at::Tensor SampleRange::apply(const at::Tensor& original_sample) const {
    if (thresholds_) return threshold_sample(original_sample, quantile_, max_value_);
    return clips_ ? original_sample.clamp(-clip_range_, clip_range_) : original_sample;
}

}  // namespace diffapple
