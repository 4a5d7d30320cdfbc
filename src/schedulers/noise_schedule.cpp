#include "noise_schedule.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numbers>

#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"

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

double exp_alpha_bar(double t) {
    return std::exp(-12 * t);
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
    if (schedule == "exp") return betas_for_alpha_bar(count, exp_alpha_bar);
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

constexpr int64_t max_timesteps = 100'000;

at::Tensor read_trained_betas(const JsonFields& fields) {
    const auto betas = fields.numbers("trained_betas");
    const int64_t count = fields.integer("num_train_timesteps", 2, max_timesteps, 1000);
    if (static_cast<int64_t>(betas.size()) != count)
        fields.reject("trained_betas",
                      concat("has ", counted(betas.size(), "entry"), ", but num_train_timesteps is ", count));
    for (const double beta : betas)
        if (beta < 0 || beta > 1) fields.reject("trained_betas", concat("has ", beta, ", not between 0 and 1"));
    return at::tensor(betas, at::kDouble).to(at::kFloat);
}

at::Tensor read_betas(const JsonFields& fields, const BetaDefaults& defaults) {
    if (fields.has("trained_betas")) return read_trained_betas(fields);
    const int64_t count = fields.integer("num_train_timesteps", 2, max_timesteps, 1000);
    const double start = fields.number("beta_start", defaults.start), end = fields.number("beta_end", defaults.end);
    for (const auto& [key, beta] : {std::pair{"beta_start", start}, std::pair{"beta_end", end}})
        if (beta <= 0 || beta >= 1) fields.reject(key, concat("is ", beta, ", but must be between 0 and 1"));
    const auto schedule =
        fields.choice("beta_schedule", {"linear", "scaled_linear", "squaredcos_cap_v2", "laplace", "exp", "sigmoid"},
                      defaults.schedule);
    return make_betas(schedule, start, end, count);
}

}  // namespace

NoiseSchedule NoiseSchedule::from_json(const JsonFields& fields, ZeroTerminalSnr zero_snr,
                                       const BetaDefaults& defaults) {
    auto betas = read_betas(fields, defaults);
    const bool rescale = zero_snr != ZeroTerminalSnr::ignored && fields.boolean("rescale_betas_zero_snr", false);
    if (rescale) betas = rescale_zero_terminal_snr(betas);
    const auto cumprod = at::cumprod(1.0 - betas, 0).to(at::kDouble);
    const double* const begin = cumprod.const_data_ptr<double>();
    NoiseSchedule schedule{.alphas_cumprod = std::vector<double>(begin, begin + cumprod.numel())};
    if (rescale && zero_snr == ZeroTerminalSnr::finite) schedule.alphas_cumprod.back() = 0x1p-24;
    return schedule;
}

TimestepSpacing read_timestep_spacing(const JsonFields& fields, const std::string& fallback) {
    const auto name = fields.choice("timestep_spacing", {"linspace", "leading", "trailing"}, fallback);
    if (name == "linspace") return TimestepSpacing::linspace;
    return name == "leading" ? TimestepSpacing::leading : TimestepSpacing::trailing;
}

int64_t read_steps_offset(const JsonFields& fields) {
    return fields.integer("steps_offset", 0, max_timesteps, 0);
}

std::vector<double> linspace(double last, int64_t count) {
    std::vector<double> values;
    const double distance = count > 1 ? last / static_cast<double>(count - 1) : 0.0;
    for (int64_t i = 0; i < count; ++i) values.push_back(static_cast<double>(i) * distance);
    if (count > 1) values.back() = last;
    return values;
}

namespace {

std::vector<double> falling_linspace(double last, int64_t count) {
    const auto rising = linspace(last, count);
    return {rising.rbegin(), rising.rend()};
}

std::vector<double> leading_timesteps(int64_t steps, int64_t distance, int64_t offset) {
    std::vector<double> timesteps;
    for (int64_t i = steps; i-- > 0;) timesteps.push_back(static_cast<double>(i * distance + offset));
    return timesteps;
}

/// The values of numpy's arange(highest, 0, -train / steps), computed in double as there; where rounding makes numpy
/// add a timestep below 0 (61 steps, for one), it is left out.
std::vector<double> trailing_timesteps(int64_t steps, int64_t train, int64_t highest) {
    const double start = static_cast<double>(highest);
    const double ratio = static_cast<double>(train) / static_cast<double>(steps);
    const double difference = (start - ratio) - start;
    const auto count = std::min(steps, static_cast<int64_t>(std::ceil(start / ratio)));
    std::vector<double> timesteps;
    for (int64_t i = 0; i < count; ++i)
        timesteps.push_back(std::nearbyint(start + static_cast<double>(i) * difference) - 1);
    return timesteps;
}

void require_steps(int64_t steps, int64_t most) {
    if (steps < 1 || steps > most)
        fail_usage("--steps ", steps, ": the scheduler of this model takes 1 to ", counted(most, "step"));
}

void require_range(const std::vector<double>& timesteps, int64_t steps, int64_t train, int64_t steps_offset) {
    for (const double t : timesteps)
        if (t < 0 || t >= static_cast<double>(train))
            fail_usage("--steps ", steps, ": timestep ", t, " is outside the ", counted(train, "training timestep"),
                       " of this scheduler (steps_offset ", steps_offset, "); use fewer steps");
}

}  // namespace

std::vector<double> fractional_timesteps(TimestepSpacing spacing, int64_t steps, int64_t num_train_timesteps,
                                         int64_t steps_offset) {
    require_steps(steps, num_train_timesteps);
    std::vector<double> timesteps;
    if (spacing == TimestepSpacing::linspace) {
        timesteps = falling_linspace(static_cast<double>(num_train_timesteps - 1), steps);
    } else if (spacing == TimestepSpacing::leading) {
        timesteps = leading_timesteps(steps, num_train_timesteps / steps, steps_offset);
    } else {
        timesteps = trailing_timesteps(steps, num_train_timesteps, num_train_timesteps);
    }
    require_range(timesteps, steps, num_train_timesteps, steps_offset);
    return timesteps;
}

std::vector<int64_t> inference_timesteps(TimestepSpacing spacing, int64_t steps, int64_t num_train_timesteps,
                                         int64_t steps_offset) {
    std::vector<int64_t> whole;
    for (const double t : fractional_timesteps(spacing, steps, num_train_timesteps, steps_offset))
        whole.push_back(std::llrint(t));
    return whole;
}

std::vector<double> solver_timesteps(TimestepSpacing spacing, int64_t steps, int64_t num_train_timesteps,
                                     int64_t highest, int64_t steps_offset) {
    require_steps(steps, spacing == TimestepSpacing::leading ? highest - 1 : num_train_timesteps);
    std::vector<double> timesteps;
    if (spacing == TimestepSpacing::trailing) {
        timesteps = trailing_timesteps(steps, num_train_timesteps, highest);
    } else {
        timesteps = spacing == TimestepSpacing::linspace
                        ? falling_linspace(static_cast<double>(highest - 1), steps + 1)
                        : leading_timesteps(steps + 1, highest / (steps + 1), steps_offset);
        timesteps.pop_back();
    }
    require_range(timesteps, steps, num_train_timesteps, steps_offset);
    for (double& t : timesteps) t = std::nearbyint(t);
    return timesteps;
}

}  // namespace diffapple
