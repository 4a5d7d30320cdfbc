#include "sigma_schedule.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "beta_quantile.h"
#include "diffapple/core/error.h"
#include "prediction.h"

namespace diffapple {

TrainingSigmas::TrainingSigmas(const JsonFields& config, const NoiseSchedule& schedule) {
    const auto alphas_cumprod = at::tensor(schedule.alphas_cumprod, at::kDouble).to(at::kFloat);
    const auto sigmas = ((1 - alphas_cumprod) / alphas_cumprod).sqrt();
    const float* const begin = sigmas.const_data_ptr<float>();
    sigmas_.assign(begin, begin + sigmas.numel());
    for (const float sigma : sigmas_) {
        if (!(sigma > 0 && std::isfinite(sigma)))
            fail(config.where(), ": its betas leave a timestep with no noise or no picture, which --scheduler ddpm or ",
                 "ddim can use, but not this one");
        logs_.push_back(std::log(sigma));
    }
    for (const double alpha_bar : schedule.alphas_cumprod) {
        const auto [signal, noise] = Level::of_alpha_bar(static_cast<float>(alpha_bar));
        lambdas_.push_back(std::log(signal) - std::log(noise));
    }
}

double TrainingSigmas::at(double timestep) const {
    const double last = static_cast<double>(sigmas_.size() - 1);
    const double t = std::clamp(timestep, 0.0, last);
    const auto low = static_cast<size_t>(t);
    if (low + 1 == sigmas_.size()) return sigmas_.back();
    const double below = sigmas_[low], above = sigmas_[low + 1];
    return (above - below) * (t - static_cast<double>(low)) + below;
}

double TrainingSigmas::timestep_of(double sigma) const {
    const double log_sigma = std::log(std::max(sigma, 1e-10));
    // the last training sigma that is not above it
    const auto above = std::upper_bound(logs_.begin(), logs_.end(), log_sigma,
                                        [](double wanted, float log) { return wanted < static_cast<double>(log); });
    const auto low = std::min(static_cast<size_t>(std::max<int64_t>(above - logs_.begin() - 1, 0)), logs_.size() - 2);
    const float distance = logs_[low] - logs_[low + 1];  // a float in diffusers too
    if (distance == 0) return static_cast<double>(low);
    const double weight = std::clamp((static_cast<double>(logs_[low]) - log_sigma) / distance, 0.0, 1.0);
    return (1 - weight) * static_cast<double>(low) + weight * static_cast<double>(low + 1);
}

SigmaSpacing read_sigma_spacing(const JsonFields& config, bool knows_lu) {
    const bool karras = config.boolean("use_karras_sigmas", false);
    const bool exponential = config.boolean("use_exponential_sigmas", false);
    const bool beta = config.boolean("use_beta_sigmas", false);
    if (karras + exponential + beta > 1)
        fail(config.where(), ": only one of use_karras_sigmas, use_exponential_sigmas and use_beta_sigmas can be true");
    if (config.boolean("use_flow_sigmas", false))
        config.reject("use_flow_sigmas", "is true, but this program has no flow-matching models");
    if (karras) return SigmaSpacing::karras;
    if (knows_lu && config.boolean("use_lu_lambdas", false)) return SigmaSpacing::lu;
    if (exponential) return SigmaSpacing::exponential;
    return beta ? SigmaSpacing::beta : SigmaSpacing::timesteps;
}

SigmaSteps steps_at(const std::vector<double>& timesteps, const TrainingSigmas& training) {
    SigmaSteps steps;
    for (const double t : timesteps) {
        steps.timesteps.push_back(static_cast<float>(t));
        steps.sigmas.push_back(static_cast<float>(training.at(steps.timesteps.back())));
    }
    return steps;
}

namespace {

/// sigma_min and sigma_max of the config, else the given ones. Throws Error unless 0 < smallest <= largest.
SigmaLimits read_sigma_limits(const JsonFields& config, const SigmaLimits& fallback) {
    const SigmaLimits limits{.smallest = config.number("sigma_min", fallback.smallest),
                             .largest = config.number("sigma_max", fallback.largest)};
    if (limits.smallest <= 0) config.reject("sigma_min", concat("is ", limits.smallest, ", but must be above 0"));
    if (limits.smallest > limits.largest)
        config.reject(config.has("sigma_min") ? "sigma_min" : "sigma_max",
                      concat("leaves no room: sigmas would go from ", limits.largest, " down to ", limits.smallest));
    return limits;
}

/// `count` values from first to last, evenly spaced after `warp`, then warped back by `unwarp`.
template <typename Warp, typename Unwarp>
std::vector<double> evenly_spaced(double first, double last, int64_t count, Warp warp, Unwarp unwarp) {
    const double warped_first = warp(first), warped_last = warp(last);
    std::vector<double> values;
    for (const double ramp : linspace(1, count))
        values.push_back(unwarp(warped_first + ramp * (warped_last - warped_first)));
    return values;
}

/// `count` sigmas between the limits, the largest first; `spacing` is not `timesteps`.
std::vector<double> spaced_sigmas(SigmaSpacing spacing, const SigmaLimits& limits, int64_t count) {
    constexpr double rho = 7;
    const auto& [smallest, largest] = limits;
    const auto log = [](double x) { return std::log(x); };
    const auto exp = [](double x) { return std::exp(x); };
    if (spacing == SigmaSpacing::karras)
        return evenly_spaced(
            largest, smallest, count, [](double x) { return std::pow(x, 1 / rho); },
            [](double x) { return std::pow(x, rho); });
    if (spacing != SigmaSpacing::beta) return evenly_spaced(largest, smallest, count, log, exp);
    std::vector<double> sigmas;
    for (const double ramp : linspace(1, count))
        sigmas.push_back(smallest + symmetric_beta_quantile(1 - ramp, 0.6) * (largest - smallest));
    return sigmas;
}

double respaced_timestep(double timestep, SigmaSpacing spacing, Respacing::Timesteps how) {
    if (how == Respacing::Timesteps::fractional) return static_cast<float>(timestep);
    const bool rounds = spacing == SigmaSpacing::karras || spacing == SigmaSpacing::lu;
    return rounds && how == Respacing::Timesteps::whole ? std::nearbyint(timestep) : std::trunc(timestep);
}

}  // namespace

SigmaSteps respaced(const JsonFields& config, const SchedulerRequest& request, const TrainingSigmas& training,
                    SigmaSteps by_timesteps, const Respacing& how) {
    const auto spacing = read_sigma_spacing(config, how.knows_lu);
    if (spacing == SigmaSpacing::timesteps) return by_timesteps;
    const auto& sigmas = by_timesteps.sigmas;
    SigmaLimits limits = how.limits.value_or(SigmaLimits{.smallest = sigmas.back(), .largest = sigmas.front()});
    const bool reads_limits =
        spacing != SigmaSpacing::lu && (spacing != SigmaSpacing::karras || how.karras_reads_limits);
    if (reads_limits) limits = read_sigma_limits(config, limits);
    SigmaSteps steps;
    for (const double sigma : spaced_sigmas(spacing, limits, request.steps)) {
        steps.timesteps.push_back(respaced_timestep(training.timestep_of(sigma), spacing, how.timesteps));
        steps.sigmas.push_back(static_cast<float>(sigma));
    }
    return steps;
}

float final_sigma(const JsonFields& config, float smallest) {
    return config.choice("final_sigmas_type", {"zero", "sigma_min"}, "zero") == "zero" ? 0.0F : smallest;
}

}  // namespace diffapple
