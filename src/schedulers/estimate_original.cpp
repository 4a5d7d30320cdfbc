// What the finished sample would be, by the model's output of one turn.
#include <ATen/ATen.h>

#include "diffapple/schedulers/scheduler.h"
#include "prediction.h"

namespace diffapple {
namespace {

/// The factor of a part of add_noise at a turn: it is linear in both.
double factor(const Scheduler& scheduler, double original, double noise, size_t index) {
    const auto number = [](double value) { return at::full({1, 1, 1, 1}, value, at::kFloat); };
    return scheduler.add_noise(number(original), number(noise), index).item<double>();
}

}  // namespace

at::Tensor estimate_original(const Scheduler& scheduler, const nlohmann::json& config, const at::Tensor& model_output,
                             const at::Tensor& sample, size_t index) {
    const auto type = read_prediction_type(JsonFields(config, "the scheduler's config"),
                                           {"epsilon", "sample", "original_sample", "v_prediction"});
    // Samplers that count in sigmas keep x_0 + sigma eps: brought to where signal^2 + noise^2 is 1.
    const double signal = factor(scheduler, 1, 0, index), noise = factor(scheduler, 0, 1, index);
    const double scale = 1 / std::sqrt(signal * signal + noise * noise);
    const Level level{.signal = static_cast<float>(signal * scale), .noise = static_cast<float>(noise * scale)};
    const at::Tensor predicted = model_output.slice(1, 0, sample.size(1));  // a learned variance follows
    return predict_original_sample(type, predicted, sample.mul(scale), level);
}

}  // namespace diffapple
