// DDPM: ancestral sampling (Ho et al. 2020).
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"
#include "discrete_scheduler.h"

namespace diffapple {
namespace {

/// Equal to diffusers' DDPMScheduler for every option it reads, with one exception: variance_type "fixed_large_log" is
/// NaN there (it takes the square root of a logarithm); here it is what its name and Ho et al. (section 3.2) say,
/// sigma_t^2 = beta_t.
class DDPMScheduler final : public DiscreteScheduler {
public:
    DDPMScheduler(const JsonFields& config, const SchedulerRequest& request, const NoiseSchedule& schedule);

    at::Tensor step(const at::Tensor& model_output, size_t index, const at::Tensor& sample,
                    NoiseSource& noise) override;
    size_t draws() const override {
        return static_cast<size_t>(
            std::count_if(timesteps().begin(), timesteps().end(), [](double t) { return t > 0; }));
    }

private:
    enum class Variance { fixed_small, fixed_small_log, fixed_large, learned, learned_range };
    struct Coefficients;

    static Variance read_variance_type(const JsonFields& config);
    Coefficients coefficients(size_t index) const;
    at::Tensor scale_noise(const at::Tensor& z, const Coefficients& c, const at::Tensor& predicted_variance) const;

    PredictionType prediction_type_;
    Variance variance_;
    SampleRange range_;
};

/// Coefficients of one step. Computed in float, not double: 1 - alpha_t / alpha_{t-1} is about 1e-4 at small t, where
/// float's rounding moves it by 3e-4 of itself, and the picture should be the one that diffusers makes.
struct DDPMScheduler::Coefficients {
    float alpha_prod;          ///< alpha_bar_t
    float current_beta;        ///< beta_t between this timestep and the next one of the list
    float original_sample;     ///< factor of x_0 in mu_t (eq. 7)
    float sample;              ///< factor of x_t in mu_t (eq. 7)
    float posterior_variance;  ///< beta~_t (eq. 7), at least 1e-20
};

DDPMScheduler::Variance DDPMScheduler::read_variance_type(const JsonFields& config) {
    const auto name =
        config.choice("variance_type",
                      {"fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log", "learned", "learned_range"},
                      "fixed_small");
    if (name == "fixed_small") return Variance::fixed_small;
    if (name == "fixed_small_log") return Variance::fixed_small_log;
    if (name == "learned") return Variance::learned;
    return name == "learned_range" ? Variance::learned_range : Variance::fixed_large;
}

DDPMScheduler::DDPMScheduler(const JsonFields& config, const SchedulerRequest& request, const NoiseSchedule& schedule)
    : DiscreteScheduler(schedule, read_timesteps(config, request, schedule), request),
      prediction_type_(read_prediction_type(config)),
      variance_(read_variance_type(config)),
      range_(SampleRange::both(config, /*clip_by_default=*/true)) {}

DDPMScheduler::Coefficients DDPMScheduler::coefficients(size_t index) const {
    const bool last = index + 1 == timesteps().size();
    const float alpha_prod = alpha_bar(timestep(index));
    const float alpha_prod_prev = last ? 1.0F : alpha_bar(timestep(index + 1));
    const float beta_prod = 1 - alpha_prod, beta_prod_prev = 1 - alpha_prod_prev;
    const float current_alpha = alpha_prod / alpha_prod_prev, current_beta = 1 - current_alpha;
    return {.alpha_prod = alpha_prod,
            .current_beta = current_beta,
            .original_sample = std::sqrt(alpha_prod_prev) * current_beta / beta_prod,
            .sample = std::sqrt(current_alpha) * beta_prod_prev / beta_prod,
            .posterior_variance = std::max(beta_prod_prev / beta_prod * current_beta, 1e-20F)};
}

/// z times the standard deviation; in place.
at::Tensor DDPMScheduler::scale_noise(const at::Tensor& z, const Coefficients& c,
                                      const at::Tensor& predicted_variance) const {
    switch (variance_) {
        case Variance::fixed_small:
            return z.mul_(std::sqrt(c.posterior_variance));
        case Variance::fixed_small_log:
            return z.mul_(std::exp(0.5F * std::log(c.posterior_variance)));
        case Variance::fixed_large:
            return z.mul_(std::sqrt(c.current_beta));
        case Variance::learned:
            return z.mul_(predicted_variance.sqrt());
        case Variance::learned_range: {
            // Nichol & Dhariwal 2021, eq. 15, with the network's v in [-1, 1]
            const float min_log = std::log(c.posterior_variance), max_log = std::log(c.current_beta);
            const auto fraction = predicted_variance.add(1).div_(2);
            return z.mul_(fraction.mul(max_log).add_((1 - fraction).mul_(min_log)).mul_(0.5).exp_());
        }
    }
    return {};
}

at::Tensor DDPMScheduler::step(const at::Tensor& model_output, size_t index, const at::Tensor& sample,
                               NoiseSource& noise) {
    const bool learned = variance_ == Variance::learned || variance_ == Variance::learned_range;
    const int64_t channels = sample.size(1);
    if (model_output.size(1) != (learned ? 2 : 1) * channels)
        fail("the scheduler's variance_type ", learned ? "learns" : "fixes", " the variance, so the UNet must have ",
             counted((learned ? 2 : 1) * channels, "output channel"), ", but it has ", model_output.size(1),
             "; check the scheduler_config.json of this model");
    const auto predicted = model_output.slice(1, 0, channels);
    const Coefficients c = coefficients(index);
    // "predicted x_0" (eq. 15), clipped; then the mean mu_t (eq. 7)
    const auto level = Level::of_alpha_bar(c.alpha_prod);
    const auto original = range_.apply(predict_original_sample(prediction_type_, predicted, sample, level));
    auto previous = original.mul(c.original_sample).add_(sample.mul(c.sample));
    if (timestep(index) <= 0) return previous;
    const auto z = noise.normal(sample.sizes(), sample.device(), at::kFloat);
    return previous.add_(scale_noise(z, c, model_output.slice(1, channels)));
}

}  // namespace

std::unique_ptr<Scheduler> make_ddpm(const JsonFields& config, const SchedulerRequest& request) {
    return std::make_unique<DDPMScheduler>(config, request, NoiseSchedule::from_json(config, ZeroTerminalSnr::exact));
}

}  // namespace diffapple
