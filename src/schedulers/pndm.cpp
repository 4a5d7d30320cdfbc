// PNDM (Liu et al. 2022, "Pseudo Numerical Methods for Diffusion Models on Manifolds"): a linear multistep method on
// the noise, started by Runge-Kutta steps, or without them (PLMS).
#include <ATen/ATen.h>

#include <array>
#include <cmath>
#include <deque>

#include "diffapple/core/error.h"
#include "discrete_scheduler.h"

namespace diffapple {
namespace {

constexpr int64_t runge_kutta_steps = 3, calls_per_step = 4;

/// Timesteps of the model's calls. PLMS repeats the second one: the first step is Heun's. Runge-Kutta makes three steps
/// of four calls, at t, twice in the middle, and at the next t.
std::vector<int64_t> plms_timesteps(std::vector<int64_t> timesteps) {
    if (timesteps.size() > 1) timesteps.insert(timesteps.begin() + 1, timesteps[1]);
    return timesteps;
}

std::vector<int64_t> runge_kutta_timesteps(const std::vector<int64_t>& timesteps, int64_t half_distance) {
    if (timesteps.size() <= runge_kutta_steps)
        fail_usage("--steps ", timesteps.size(),
                   ": the scheduler of this model (PNDM with skip_prk_steps false) takes ", runge_kutta_steps + 1,
                   " steps or more");
    std::vector<int64_t> calls;
    for (size_t i = 0; i < runge_kutta_steps; ++i) {
        const int64_t middle = timesteps[i + 1] + half_distance;
        calls.insert(calls.end(), {timesteps[i], middle, middle, timesteps[i + 1]});
    }
    calls.insert(calls.end(), timesteps.begin() + runge_kutta_steps, timesteps.end());
    return calls;
}

/// Equal to diffusers' PNDMScheduler. Like it, this counts calls from where the batch starts, so with a strength below
/// 1 the second call counts as the repeated one, whichever it is.
class PNDMScheduler final : public DiscreteScheduler {
public:
    PNDMScheduler(const JsonFields& config, const SchedulerRequest& request, const NoiseSchedule& schedule,
                  const std::vector<int64_t>& calls)
        : DiscreteScheduler(schedule, calls, request),
          calls_(calls),
          skips_runge_kutta_(skips_runge_kutta(config)),
          prediction_type_(read_prediction_type(config, {"epsilon", "v_prediction"})),
          distance_(schedule.num_train_timesteps() / request.steps),
          final_alpha_bar_(config.boolean("set_alpha_to_one", false) ? 1.0F : alpha_bar(0)) {}

    static bool skips_runge_kutta(const JsonFields& config) { return config.boolean("skip_prk_steps", false); }

    at::Tensor step(const at::Tensor& model_output, size_t index, const at::Tensor& sample,
                    NoiseSource& /*noise*/) override {
        if (!skips_runge_kutta_ && index < static_cast<size_t>(runge_kutta_steps * calls_per_step))
            return runge_kutta_call(model_output, index, sample);
        return multistep_call(model_output, index, sample);
    }

private:
    /// Eq. 13: the classic weights 1/6, 1/3, 1/3, 1/6; each call moves on from the sample of the first one.
    at::Tensor runge_kutta_call(const at::Tensor& model_output, size_t index, const at::Tensor& sample) {
        const size_t stage = index % calls_per_step;
        at::Tensor direction = model_output;
        if (stage == 0) {
            remember(model_output);
            start_ = sample;
            sum_ = model_output.div(6);
        } else if (stage < 3) {
            sum_ = sum_.add(model_output, 1.0 / 3);
        } else {
            direction = sum_.add(model_output, 1.0 / 6);
        }
        const int64_t start_t = calls_[index - stage];
        return transfer(start_, direction, start_t, timestep(index) - (index % 2 == 0 ? distance_ / 2 : 0));
    }

    /// Eq. 12 (Adams-Bashforth), with fewer past outputs at the start; the second call of PLMS repeats the first step
    /// with the mean of both ends.
    at::Tensor multistep_call(const at::Tensor& model_output, size_t index, const at::Tensor& sample) {
        const int64_t t = timestep(index);
        if (index == 1) return transfer(start_, model_output.add(past_.front()).div_(2), t + distance_, t);
        remember(model_output);
        if (index == 0) start_ = sample;
        return transfer(sample, extrapolated(), t, t - distance_);
    }

    at::Tensor extrapolated() const {
        static const std::array<std::vector<double>, 4> weights{{{1},
                                                                 {3.0 / 2, -1.0 / 2},
                                                                 {23.0 / 12, -16.0 / 12, 5.0 / 12},
                                                                 {55.0 / 24, -59.0 / 24, 37.0 / 24, -9.0 / 24}}};
        const auto& w = weights.at(past_.size() - 1);
        at::Tensor sum = past_[0].mul(w[0]);
        for (size_t i = 1; i < w.size(); ++i) sum.add_(past_[i], w[i]);
        return sum;
    }

    void remember(const at::Tensor& model_output) {
        past_.push_front(model_output);
        if (past_.size() > 4) past_.pop_back();
    }

    /// phi(x_t, eps, t, t - delta), eq. 11.
    at::Tensor transfer(const at::Tensor& sample, const at::Tensor& model_output, int64_t t, int64_t previous_t) const {
        const float alpha = alpha_bar(t), alpha_prev = previous_t >= 0 ? alpha_bar(previous_t) : final_alpha_bar_;
        const auto epsilon = predict_noise(prediction_type_, model_output, sample, Level::of_alpha_bar(alpha));
        const float denominator = alpha * std::sqrt(1 - alpha_prev) + std::sqrt(alpha * (1 - alpha) * alpha_prev);
        return sample.mul(std::sqrt(alpha_prev / alpha)).sub_(epsilon.mul(alpha_prev - alpha).div_(denominator));
    }

    std::vector<int64_t> calls_;  ///< of the whole schedule
    bool skips_runge_kutta_;
    PredictionType prediction_type_;
    int64_t distance_;
    float final_alpha_bar_;
    std::deque<at::Tensor> past_;  ///< model outputs, the newest first
    at::Tensor start_, sum_;       ///< sample at the start of a step of several calls; weighted sum of its outputs
};

}  // namespace

std::unique_ptr<Scheduler> make_pndm(const JsonFields& config, const SchedulerRequest& request) {
    const auto schedule = NoiseSchedule::from_json(config, ZeroTerminalSnr::ignored);
    auto timesteps = read_timesteps(config, request, schedule);
    const auto calls = PNDMScheduler::skips_runge_kutta(config)
                           ? plms_timesteps(std::move(timesteps))
                           : runge_kutta_timesteps(timesteps, schedule.num_train_timesteps() / request.steps / 2);
    return std::make_unique<PNDMScheduler>(config, request, schedule, calls);
}

}  // namespace diffapple
