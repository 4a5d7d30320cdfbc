// UniPC (Zhao et al. 2023, "UniPC: A Unified Predictor-Corrector Framework"), B(h) version: each turn first corrects
// the sample that it was given, with the model's output for it, and then predicts the next one.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <deque>

#include "solver_scheduler.h"

namespace diffapple {
namespace {

std::vector<int64_t> read_disabled_corrections(const JsonFields& config) {
    return config.integers("disable_corrector", 0, 1'000'000, std::vector<int64_t>{});
}

/// By LibTorch's own kernel: at higher orders what is taken off it leaves little more than its last bits, which are
/// then diffusers' too.
float expm1(float x) {
    return at::expm1(at::scalar_tensor(x, at::kFloat)).item<float>();
}

/// Equal to diffusers' UniPCMultistepScheduler, flow matching and another solver as predictor aside. Where a formula is
/// 0 / 0 there (the last two sigmas are the same, or the last is 0 and lower_order_final false), this one lowers the
/// order or leaves the sample as it is.
class UniPCScheduler final : public SolverScheduler {
public:
    UniPCScheduler(const JsonFields& config, const SchedulerRequest& request, SigmaSteps steps)
        : SolverScheduler(request, std::move(steps)),
          prediction_type_(read_prediction_type(config)),
          range_(SampleRange::thresholding(config)),
          max_order_(static_cast<size_t>(config.integer("solver_order", 1, 9, 2))),
          predicts_data_(config.boolean("predict_x0", true)),
          linear_b_(config.choice("solver_type", {"bh1", "bh2", "midpoint", "heun", "logrho"}, "bh2") == "bh1"),
          lower_order_final_(config.boolean("lower_order_final", true)),
          disabled_corrections_(read_disabled_corrections(config)) {
        for (const char* key : {"solver_p", "shift_terminal"})
            if (config.has(key)) config.reject(key, "is not supported");
        if (config.boolean("use_dynamic_shifting", false)) config.reject("use_dynamic_shifting", "is not supported");
        if (!predicts_data_ && sigma(turns()) == 0)
            config.reject("final_sigmas_type",
                          "must be sigma_min where predict_x0 is false: the noise cannot be "
                          "followed to a sigma of 0");
    }

    at::Tensor step(const at::Tensor& model_output, size_t index, const at::Tensor& sample,
                    NoiseSource& /*noise*/) override {
        const size_t here = position(index);
        const auto output = convert(model_output, here, sample);
        const auto& disabled = disabled_corrections_;
        const bool corrects =
            start_.defined() && !std::count(disabled.begin(), disabled.end(), static_cast<int64_t>(here) - 1);
        const auto corrected = corrects ? advance(start_, here - 1, order_, output) : sample;
        outputs_.push_front(output);
        if (outputs_.size() > max_order_) outputs_.pop_back();
        order_ = order_at(here);
        start_ = corrected;
        return advance(start_, here, order_, {});
    }

private:
    at::Tensor convert(const at::Tensor& model_output, size_t position, const at::Tensor& sample) const {
        if (!predicts_data_) return predict_noise(prediction_type_, model_output, sample, level(position));
        return range_.apply(predict_original_sample(prediction_type_, model_output, sample, level(position)));
    }

    size_t order_at(size_t here) const {
        const bool lower = lower_order_final_ || sigma(here + 1) == 0;
        return lower ? std::min(outputs_.size(), turns() - here) : outputs_.size();
    }

    /// Coefficients rho of eq. 7 and 8: sum_k rho_k r_k^(m-1) = b_m, m = 1 ... ratios.size(), in floats as in
    /// diffusers.
    std::vector<float> coefficients(const std::vector<float>& ratios, float hh, float b_h) const {
        const auto size = static_cast<int64_t>(ratios.size());
        auto powers = at::ones({size, size}), b = at::empty({size});
        const auto r = at::tensor(ratios, at::kFloat);
        float phi = expm1(hh) / hh - 1, factorial = 1;
        for (int64_t m = 1; m <= size; ++m) {
            if (m > 1) powers[m - 1].copy_(at::pow(r, m - 1));
            b[m - 1].fill_(phi * factorial / b_h);
            factorial *= static_cast<float>(m + 1);
            phi = phi / hh - 1 / factorial;
        }
        const auto rho = at::linalg_solve(powers, b).contiguous();
        return {rho.const_data_ptr<float>(), rho.const_data_ptr<float>() + size};
    }

    /// From s to s + 1: the predictor UniP (eq. 3), or with the output at s + 1 the corrector UniC (eq. 5).
    at::Tensor advance(const at::Tensor& sample, size_t s, size_t order, const at::Tensor& next_output) const {
        const float h = lambda(s + 1) - lambda(s), hh = predicts_data_ ? -h : h;
        if (h == 0) return sample;
        const Level from = level(s), to = level(s + 1);
        const float scale = predicts_data_ ? to.signal : to.noise, phi = expm1(hh), b_h = linear_b_ ? hh : phi;
        auto next = sample.mul(predicts_data_ ? to.noise / from.noise : to.signal / from.signal)
                        .sub_(outputs_[0].mul(scale * phi));

        std::vector<float> ratios;  // r_k: other points of the polynomial, in units of h from s
        for (size_t k = 1; k < order; ++k) ratios.push_back((lambda(s - k) - lambda(s)) / h);
        const std::vector<float> past = ratios;
        if (next_output.defined()) ratios.push_back(1);
        if (ratios.empty()) return next;
        // the lowest orders take 1/2, which is B(h)'s limit for small h
        const auto rho = ratios.size() == 1 ? std::vector<float>{0.5F} : coefficients(ratios, hh, b_h);
        auto sum = at::zeros_like(next);
        for (size_t k = 0; k < past.size(); ++k) sum.add_(outputs_[k + 1].sub(outputs_[0]).div_(past[k]).mul_(rho[k]));
        if (next_output.defined()) sum.add_(next_output.sub(outputs_[0]).mul_(rho.back()));
        return next.sub_(sum.mul_(scale * b_h));
    }

    PredictionType prediction_type_;
    SampleRange range_;
    size_t max_order_;
    bool predicts_data_, linear_b_, lower_order_final_;
    std::vector<int64_t> disabled_corrections_;
    std::deque<at::Tensor> outputs_;  ///< converted, the newest first
    at::Tensor start_;                ///< sample from which the last turn predicted
    size_t order_ = 1;                ///< of that prediction
};

SigmaSteps unipc_steps(const JsonFields& config, const SchedulerRequest& request) {
    const TrainingSigmas training(config, NoiseSchedule::from_json(config, ZeroTerminalSnr::finite));
    const auto timesteps = solver_timesteps(read_timestep_spacing(config, "linspace"), request.steps, training.count(),
                                            training.count(), read_steps_offset(config));
    auto steps = solver_steps(config, request, training, timesteps, {.timesteps = Respacing::Timesteps::whole});
    // as in diffusers: respaced sigmas repeat their last, not the smallest of training
    if (read_sigma_spacing(config) != SigmaSpacing::timesteps)
        steps.sigmas.back() = final_sigma(config, *(steps.sigmas.end() - 2));
    return steps;
}

}  // namespace

std::unique_ptr<Scheduler> make_unipc(const JsonFields& config, const SchedulerRequest& request) {
    return std::make_unique<UniPCScheduler>(config, request, unipc_steps(config, request));
}

}  // namespace diffapple
