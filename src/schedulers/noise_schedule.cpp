#include "diffapple/schedulers/noise_schedule.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numbers>

#include "diffapple/core/error.h"

namespace diffapple {
namespace {

/// beta_t from a formula for alpha_bar(t), t in [0, 1] (Nichol & Dhariwal 2021, eq. 17).
at::Tensor betas_for_alpha_bar(int64_t count, const std::function<double(double)>& alpha_bar) {
    constexpr double max_beta = 0.999;
    std::vector<double> betas;
    for (int64_t i = 0; i < count; ++i) {
        const double now = static_cast<double>(i) / count, next = static_cast<double>(i + 1) / count;
        betas.push_back(std::min(1 - alpha_bar(next) / alpha_bar(now), max_beta));
    }
    return at::tensor(betas, at::kDouble).to(at::kFloat);
}

double cosine_alpha_bar(double t) {
    const double cosine = std::cos((t + 0.008) / 1.008 * std::numbers::pi / 2);
    return cosine * cosine;
}

double laplace_alpha_bar(double t) {
    const double log_snr = -0.5 * std::copysign(1.0, 0.5 - t) * std::log(1 - 2 * std::fabs(0.5 - t) + 1e-6);
    const double snr = std::exp(log_snr);
    return std::sqrt(snr / (1 + snr));
}

at::Tensor make_betas(const std::string& schedule, double start, double end, int64_t count) {
    if (schedule == "linear") return at::linspace(start, end, count, at::kFloat);
    if (schedule == "scaled_linear") return at::linspace(std::sqrt(start), std::sqrt(end), count, at::kFloat).square();
    if (schedule == "squaredcos_cap_v2") return betas_for_alpha_bar(count, cosine_alpha_bar);
    if (schedule == "laplace") return betas_for_alpha_bar(count, laplace_alpha_bar);
    return at::sigmoid(at::linspace(-6, 6, count, at::kFloat)).mul(end - start).add(start);  // "sigmoid"
}

/// Betas whose last alpha_bar is 0 (Lin et al. 2023, algorithm 1).
at::Tensor rescale_zero_terminal_snr(const at::Tensor& betas) {
    auto alphas_bar_sqrt = at::cumprod(1.0 - betas, 0).sqrt();
    const auto first = alphas_bar_sqrt[0].clone(), last = alphas_bar_sqrt[-1].clone();
    alphas_bar_sqrt = (alphas_bar_sqrt - last) * (first / (first - last));
    const auto alphas_bar = alphas_bar_sqrt.square();
    return 1.0 - at::cat({alphas_bar.slice(0, 0, 1), alphas_bar.slice(0, 1) / alphas_bar.slice(0, 0, -1)});
}

at::Tensor read_betas(const JsonFields& fields, double default_start, double default_end,
                      const std::string& default_schedule) {
    constexpr int64_t max_timesteps = 100'000;
    if (fields.has("trained_betas")) {
        const auto betas = fields.numbers("trained_betas");
        if (betas.size() < 2 || betas.size() > max_timesteps)
            fields.reject("trained_betas", concat("must have 2 to ", max_timesteps, " entries"));
        for (const double beta : betas)
            if (beta < 0 || beta > 1) fields.reject("trained_betas", concat("has ", beta, ", not between 0 and 1"));
        return at::tensor(betas, at::kDouble).to(at::kFloat);
    }
    const int64_t count = fields.integer("num_train_timesteps", 2, max_timesteps, 1000);
    const double start = fields.number("beta_start", default_start), end = fields.number("beta_end", default_end);
    for (const auto& [key, beta] : {std::pair{"beta_start", start}, std::pair{"beta_end", end}})
        if (beta <= 0 || beta >= 1) fields.reject(key, concat("is ", beta, ", but must be between 0 and 1"));
    const auto schedule = fields.choice(
        "beta_schedule", {"linear", "scaled_linear", "squaredcos_cap_v2", "laplace", "sigmoid"}, default_schedule);
    return make_betas(schedule, start, end, count);
}

}  // namespace

NoiseSchedule NoiseSchedule::from_json(const JsonFields& fields, double default_beta_start, double default_beta_end,
                                       const std::string& default_beta_schedule) {
    auto betas = read_betas(fields, default_beta_start, default_beta_end, default_beta_schedule);
    if (fields.boolean("rescale_betas_zero_snr", false)) betas = rescale_zero_terminal_snr(betas);
    const auto cumprod = at::cumprod(1.0 - betas, 0).to(at::kDouble);
    const double* const begin = cumprod.const_data_ptr<double>();
    return {.alphas_cumprod = std::vector<double>(begin, begin + cumprod.numel())};
}

TimestepSpacing read_timestep_spacing(const JsonFields& fields, const std::string& fallback) {
    const auto name = fields.choice("timestep_spacing", {"linspace", "leading", "trailing"}, fallback);
    if (name == "linspace") return TimestepSpacing::linspace;
    return name == "leading" ? TimestepSpacing::leading : TimestepSpacing::trailing;
}

namespace {

std::vector<int64_t> linspace_timesteps(int64_t steps, int64_t train) {
    std::vector<int64_t> timesteps;
    const double distance = steps > 1 ? static_cast<double>(train - 1) / static_cast<double>(steps - 1) : 0.0;
    for (int64_t i = steps; i-- > 0;)
        timesteps.push_back(i > 0 && i == steps - 1 ? train - 1 : std::llrint(static_cast<double>(i) * distance));
    return timesteps;
}

std::vector<int64_t> leading_timesteps(int64_t steps, int64_t train, int64_t offset) {
    std::vector<int64_t> timesteps;
    for (int64_t i = steps; i-- > 0;) timesteps.push_back(i * (train / steps) + offset);
    return timesteps;
}

/// The values of numpy's arange(train, 0, -train / steps), computed in double as there; where rounding makes numpy add
/// a timestep below 0 (61 steps, for one), it is left out.
std::vector<int64_t> trailing_timesteps(int64_t steps, int64_t train) {
    const double start = static_cast<double>(train), ratio = start / static_cast<double>(steps);
    const double difference = (start - ratio) - start;
    std::vector<int64_t> timesteps;
    for (int64_t i = 0; i < steps; ++i)
        timesteps.push_back(std::llrint(start + static_cast<double>(i) * difference) - 1);
    return timesteps;
}

}  // namespace

std::vector<int64_t> inference_timesteps(TimestepSpacing spacing, int64_t steps, int64_t num_train_timesteps,
                                         int64_t steps_offset) {
    if (steps < 1 || steps > num_train_timesteps)
        fail_usage("--steps ", steps, ": the scheduler of this model takes 1 to ", num_train_timesteps, " steps");
    std::vector<int64_t> timesteps;
    switch (spacing) {
        case TimestepSpacing::linspace:
            timesteps = linspace_timesteps(steps, num_train_timesteps);
            break;
        case TimestepSpacing::leading:
            timesteps = leading_timesteps(steps, num_train_timesteps, steps_offset);
            break;
        case TimestepSpacing::trailing:
            timesteps = trailing_timesteps(steps, num_train_timesteps);
            break;
    }
    for (const int64_t t : timesteps)
        if (t < 0 || t >= num_train_timesteps)
            fail_usage("--steps ", steps, ": timestep ", t, " is outside the ", num_train_timesteps,
                       " training timesteps of this scheduler (steps_offset ", steps_offset, "); use fewer steps");
    return timesteps;
}

PredictionType read_prediction_type(const JsonFields& fields) {
    const auto name = fields.choice("prediction_type", {"epsilon", "sample", "v_prediction"}, "epsilon");
    if (name == "epsilon") return PredictionType::epsilon;
    return name == "sample" ? PredictionType::sample : PredictionType::v_prediction;
}

at::Tensor predict_original_sample(PredictionType type, const at::Tensor& model_output, const at::Tensor& sample,
                                   double alpha_cumprod) {
    const double signal = std::sqrt(alpha_cumprod), noise = std::sqrt(1 - alpha_cumprod);
    switch (type) {
        case PredictionType::epsilon:
            return sample.sub(model_output, noise).div_(signal);
        case PredictionType::sample:
            return model_output.clone();
        case PredictionType::v_prediction:
            return sample.mul(signal).sub_(model_output, noise);
    }
    return {};
}

at::Tensor threshold_sample(const at::Tensor& sample, double quantile, double max_value) {
    const auto flat = sample.reshape({sample.size(0), -1});
    const auto s = at::quantile(flat.abs(), quantile, 1, /*keepdim=*/true).clamp_(1.0, max_value);
    return at::clamp(flat, s.neg(), s).div_(s).view_as(sample);
}

}  // namespace diffapple
