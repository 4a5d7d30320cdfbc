// DDIM (Song et al. 2020, "Denoising Diffusion Implicit Models").
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "discrete_scheduler.h"

namespace diffapple {
namespace {

/// Equal to diffusers' DDIMScheduler.
class DDIMScheduler final : public DiscreteScheduler {
public:
    DDIMScheduler(const JsonFields& config, const SchedulerRequest& request, const NoiseSchedule& schedule)
        : DiscreteScheduler(schedule, read_timesteps(config, request, schedule), request),
          prediction_type_(read_prediction_type(config)),
          range_(SampleRange::both(config, /*clip_by_default=*/true)),
          distance_(schedule.num_train_timesteps() / request.steps),
          final_alpha_bar_(config.boolean("set_alpha_to_one", true) ? 1.0F : alpha_bar(0)),
          eta_(static_cast<float>(request.eta)) {}

    size_t draws() const override { return eta_ > 0 ? timesteps().size() : 0; }

    at::Tensor step(const at::Tensor& model_output, size_t index, const at::Tensor& sample,
                    NoiseSource& noise) override {
        const int64_t t = timestep(index), previous_t = t - distance_;
        const float alpha = alpha_bar(t), alpha_prev = previous_t >= 0 ? alpha_bar(previous_t) : final_alpha_bar_;
        const auto level = Level::of_alpha_bar(alpha);
        const auto original = range_.apply(predict_original_sample(prediction_type_, model_output, sample, level));
        const auto epsilon = predict_noise(prediction_type_, model_output, sample, level);
        // eq. 16: sigma_t(eta); eq. 12: x_0 and the "direction pointing to x_t", each at the level of t - 1
        const float variance = (1 - alpha_prev) / (1 - alpha) * (1 - alpha / alpha_prev);
        const float sigma = eta_ * std::sqrt(variance);
        const float direction = std::sqrt(std::max(1 - alpha_prev - sigma * sigma, 0.0F));
        auto previous = original.mul(std::sqrt(alpha_prev)).add_(epsilon.mul(direction));
        if (eta_ <= 0) return previous;
        return previous.add_(noise.normal(sample.sizes(), sample.device(), at::kFloat).mul_(sigma));
    }

private:
    PredictionType prediction_type_;
    SampleRange range_;
    int64_t distance_;  ///< of t - 1 from t, whatever the spacing
    float final_alpha_bar_, eta_;
};

}  // namespace

std::unique_ptr<Scheduler> make_ddim(const JsonFields& config, const SchedulerRequest& request) {
    return std::make_unique<DDIMScheduler>(config, request, NoiseSchedule::from_json(config, ZeroTerminalSnr::exact));
}

}  // namespace diffapple
