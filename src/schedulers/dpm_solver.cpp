#include "dpm_solver.h"

#include <ATen/ATen.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "diffapple/core/error.h"

namespace diffapple {
namespace {

std::string read_algorithm(const JsonFields& config, bool knows_sde) {
    std::vector<std::string> known{"dpmsolver++", "dpmsolver", "sde-dpmsolver++", "deis"};
    if (knows_sde) known.emplace_back("sde-dpmsolver");
    const auto name = config.choice("algorithm_type", known, "dpmsolver++");
    return name == "deis" ? "dpmsolver++" : name;  // as diffusers takes a DEIS checkpoint's config
}

bool reads_midpoint(const JsonFields& config) {
    return config.choice("solver_type", {"midpoint", "heun", "logrho", "bh1", "bh2"}, "midpoint") != "heun";
}

bool learns_variance(const JsonFields& config) {
    return config.text("variance_type", "").starts_with("learned");
}

}  // namespace

DPMSolver::DPMSolver(const JsonFields& config, const SchedulerRequest& request, SigmaSteps steps, bool knows_sde)
    : SolverScheduler(request, std::move(steps)),
      predicts_data_(read_algorithm(config, knows_sde).ends_with("++")),
      stochastic_(read_algorithm(config, knows_sde).starts_with("sde-")),
      order_(static_cast<size_t>(config.integer("solver_order", 1, 3, 2))),
      midpoint_(reads_midpoint(config)),
      learned_variance_(learns_variance(config)),
      prediction_type_(read_prediction_type(config)),
      range_(SampleRange::thresholding(config)) {
    if (!predicts_data_ && ends_at_zero())
        config.reject("final_sigmas_type",
                      "must be sigma_min with this algorithm_type, which cannot reach a sigma of 0");
    if (stochastic_ && !predicts_data_ && order_ == 3)
        config.reject("solver_order", "is 3, but sde-dpmsolver exists for orders 1 and 2");
}

DPMSolver::Step DPMSolver::step_between(size_t s, size_t t) const {
    const auto [alpha_s, sigma_s] = level(s);
    const auto [alpha_t, sigma_t] = level(t);
    const float h = lambda(t) - lambda(s);
    if (predicts_data_ && !stochastic_) {
        const float e = std::exp(-h) - 1;
        return {.h = h,
                .sample = sigma_t / sigma_s,
                .d0 = -(alpha_t * e),
                .midpoint = -0.5F * (alpha_t * e),
                .d1 = alpha_t * (e / h + 1),
                .d2 = -(alpha_t * ((e + h) / (h * h) - 0.5F)),
                .noise = 0};
    }
    if (predicts_data_) {
        const float e = 1 - std::exp(-2 * h);
        return {.h = h,
                .sample = sigma_t / sigma_s * std::exp(-h),
                .d0 = alpha_t * e,
                .midpoint = 0.5F * (alpha_t * e),
                .d1 = alpha_t * (e / (-2 * h) + 1),
                .d2 = alpha_t * ((e - 2 * h) / (4 * h * h) - 0.5F),
                .noise = sigma_t * std::sqrt(e)};
    }
    const float e = std::exp(h) - 1, factor = stochastic_ ? 2.0F : 1.0F;
    return {.h = h,
            .sample = alpha_t / alpha_s,
            .d0 = -factor * (sigma_t * e),
            .midpoint = -0.5F * factor * (sigma_t * e),
            .d1 = -factor * (sigma_t * (e / h - 1)),
            .d2 = -(sigma_t * ((e - h) / (h * h) - 0.5F)),
            .noise = stochastic_ ? sigma_t * std::sqrt(std::exp(2 * h) - 1) : 0};
}

at::Tensor DPMSolver::convert(const at::Tensor& model_output, size_t position, const at::Tensor& sample) const {
    const bool has_variance = learned_variance_ && prediction_type_ == PredictionType::epsilon;
    const auto output = has_variance ? model_output.slice(1, 0, sample.size(1)) : model_output;
    const Level here = level(position);
    if (predicts_data_) return range_.apply(predict_original_sample(prediction_type_, output, sample, here));
    auto epsilon = predict_noise(prediction_type_, output, sample, here);
    if (!range_.thresholds()) return epsilon;
    const auto original = range_.apply(predict_original_sample(PredictionType::epsilon, epsilon, sample, here));
    return predict_noise(PredictionType::sample, original, sample, here);
}

at::Tensor DPMSolver::draw(const at::Tensor& sample, NoiseSource& noise) const {
    return stochastic_ ? noise.normal(sample.sizes(), sample.device(), at::kFloat) : at::Tensor();
}

at::Tensor DPMSolver::advance(const Step& step, const at::Tensor& sample, const Derivatives& derivatives,
                              const at::Tensor& z) const {
    if (step.h == 0) return sample;  // the last two sigmas can be the same; 0 / 0 below
    auto next = sample.mul(step.sample).add_(derivatives.d0.mul(step.d0));
    if (derivatives.d1.defined()) next.add_(derivatives.d1.mul(derivatives.midpoint ? step.midpoint : step.d1));
    if (derivatives.d2.defined()) next.add_(derivatives.d2.mul(step.d2));
    return z.defined() ? next.add_(z.mul(step.noise)) : next;
}

int64_t timesteps_above_lambda(const JsonFields& config, const TrainingSigmas& training) {
    const std::string key = "lambda_min_clipped";
    // diffusers writes its default as -Infinity, which is not JSON; it is read as a text
    if (!config.has(key) || config.value(key) == "-Infinity") return training.count();
    const double lowest = config.number(key);
    int64_t count = training.count();
    while (count > 0 && training.lambda(count - 1) < lowest) --count;
    if (count < 2) config.reject(key, concat("is ", lowest, ", which leaves no timestep"));
    return count;
}

}  // namespace diffapple
