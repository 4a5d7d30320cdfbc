// What a sampler's turn says of the finished sample: with the noise itself for the model's output, it is the sample
// that the noise was added to.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "diffapple/schedulers/scheduler.h"

namespace diffapple {
namespace {

constexpr int64_t steps = 12;

double largest_error(const std::string& name, const std::string& prediction) {
    const nlohmann::json config = {{"beta_schedule", "scaled_linear"},
                                   {"beta_start", 0.00085},
                                   {"beta_end", 0.012},
                                   {"skip_prk_steps", true},
                                   {"prediction_type", prediction}};
    const auto scheduler = make_scheduler(name, config, "test", {.steps = steps});
    const auto original = at::linspace(-1, 1, 48, at::kFloat).view({1, 3, 4, 4});
    const auto noise = at::sin(at::arange(48, at::kFloat) * 7).view({1, 3, 4, 4});
    double error = 0;
    for (size_t index = 0; index < scheduler->timesteps().size(); ++index) {
        const auto sample = scheduler->add_noise(original, noise, index);
        const auto at_zero = [&](double o, double n) {
            const auto of = [](double value) { return at::full({1, 1, 1, 1}, value, at::kFloat); };
            return scheduler->add_noise(of(o), of(n), index).item<double>();
        };
        const double signal = at_zero(1, 0), level = at_zero(0, 1), scale = std::hypot(signal, level);
        const auto v = noise * (signal / scale) - original * (level / scale);
        const auto output = prediction == "epsilon" ? noise : prediction == "sample" ? original : v;
        // A learned variance comes behind the prediction.
        const auto with_variance = at::cat({output, noise}, 1);
        for (const auto& given : {output, with_variance}) {
            const auto estimate = estimate_original(*scheduler, config, given, sample, index);
            error = std::max(error, (estimate - original).abs().max().item<double>());
        }
    }
    return error;
}

}  // namespace

TEST(EstimateOriginal, FindsWhatTheNoiseWasAddedTo) {
    for (const auto& name : scheduler_names())
        for (const std::string prediction : {"epsilon", "v_prediction"})
            EXPECT_LT(largest_error(name, prediction), 1e-4) << name << ' ' << prediction;
    EXPECT_LT(largest_error("ddim", "sample"), 1e-4);
}

}  // namespace diffapple
