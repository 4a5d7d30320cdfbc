// Every sampler: its steps on the device against those in double precision on the CPU, and whether a perfect model
// leads it to the picture.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "diffapple/core/error.h"
#include "diffapple/schedulers/scheduler.h"
#include "parts.h"

namespace diffapple::selftest {
namespace {

constexpr uint64_t schedulers_seed = 5;
constexpr int64_t steps = 10;  // 100 timesteps each: the half steps of PNDM are whole timesteps, too
constexpr int64_t train_timesteps = 1000;
constexpr double beta_start = 1e-4, beta_end = 0.02;

std::unique_ptr<Scheduler> make(const std::string& name) {
    const nlohmann::json config{{"num_train_timesteps", train_timesteps},
                                {"beta_start", beta_start},
                                {"beta_end", beta_end},
                                {"beta_schedule", "linear"},
                                {"timestep_spacing", "leading"},  // whole timesteps, whatever the sampler
                                {"set_alpha_to_one", true}};      // ends without noise
    return make_scheduler(name, config, "selftest", {.steps = steps});
}

/// The start sample after all steps, the model's outputs being random values: the same ones for every device and dtype.
at::Tensor sample_random_outputs(const std::string& name, const Placement& placement) {
    const auto device = placement.device;
    const auto dtype = placement.dtype;
    const auto scheduler = make(name);
    NoiseSource outputs(schedulers_seed), noise(schedulers_seed + 1);
    const std::vector<int64_t> shape{2, 3, 8, 8};
    at::Tensor sample = noise.normal(shape, device, dtype).mul(scheduler->init_noise_sigma());
    for (size_t index = 0; index < scheduler->timesteps().size(); ++index)
        sample = scheduler->step(outputs.normal(shape, device, dtype), index, sample, noise);
    return sample;
}

/// alpha_bar_t of the linear schedule.
double alpha_bar(double timestep) {
    double product = 1;
    for (int64_t t = 0; t <= std::llround(timestep); ++t)
        product *= 1 - (beta_start + (beta_end - beta_start) * static_cast<double>(t) / (train_timesteps - 1));
    return product;
}

/// A model that knows the only picture x_0 there is predicts eps = (x_t - sqrt(alpha_bar) x_0) / sqrt(1 - alpha_bar);
/// whatever a sampler's own formulas, it must then end at x_0.
Comparison check_perfect_model(const std::string& name, const Placement& placement) {
    const auto scheduler = make(name);
    NoiseSource noise(schedulers_seed);
    const std::vector<int64_t> shape{2, 3, 8, 8};
    const at::Tensor picture = noise.normal(shape, placement.device, at::kFloat).tanh_();
    at::Tensor sample = noise.normal(shape, placement.device, at::kFloat).mul(scheduler->init_noise_sigma());
    const auto& timesteps = scheduler->timesteps();
    for (size_t index = 0; index < timesteps.size(); ++index) {
        const double signal = alpha_bar(timesteps[index]);
        const at::Tensor input = scheduler->scale_model_input(sample, index);
        const at::Tensor output = input.sub(picture, std::sqrt(signal)).div_(std::sqrt(1 - signal));
        sample = scheduler->step(output, index, sample, noise);
    }
    return compare(sample, picture.to(at::kCPU).to(at::kDouble), placement, 1);
}

}  // namespace

std::vector<Check> scheduler_checks() {
    std::vector<Check> checks;
    for (const auto& name : scheduler_names()) {
        const auto against_cpu = [name](const Placement& placement) {
            const auto expected = sample_random_outputs(name, {at::kCPU, at::kDouble});
            return compare(sample_random_outputs(name, placement), expected.to(at::kDouble), placement, 1);
        };
        const auto perfect_model = [name](const Placement& placement) { return check_perfect_model(name, placement); };
        checks.push_back({"scheduler " + name + ", steps", against_cpu, /*every_dtype=*/false});
        checks.push_back({"scheduler " + name + ", perfect model", perfect_model, /*every_dtype=*/false});
    }
    return checks;
}

}  // namespace diffapple::selftest
