// Drives schedulers without a model, for tests/python/test_parity_schedulers.py.
//
// usage: run_scheduler CASES.json TENSORS.safetensors RESULTS.safetensors
// CASES holds {"cases": [{"scheduler", "config", "steps", "strength", "eta", "seed"}, ...]}; TENSORS holds `noise` (the
// start noise), `original` (a clean sample) and `output.0`, `output.1`, ... which stand in for the model. Prints one
// JSON line per case: {"error", "code"}, or {"timesteps", "init_noise_sigma"} and writes to RESULTS, for case k,
// `k.sample` (the final one), `k.noised` (the original with noise at the first turn and, where there is one, at the
// last) and `k.draw` (the noise source's next draw, which tells how much the sampler drew).
#include <ATen/ATen.h>

#include <iostream>
#include <nlohmann/json.hpp>

#include "diffapple/core/error.h"
#include "diffapple/io/json_fields.h"
#include "diffapple/io/weights.h"
#include "diffapple/schedulers/scheduler.h"

using namespace diffapple;
using nlohmann::json;

namespace {

/// A "model": a fixed output per turn, and a share of its input, so that a wrong input is seen.
at::Tensor predict(const StoredTensors& tensors, const at::Tensor& input, size_t turn, int64_t channels) {
    constexpr size_t outputs = 8;
    const auto output = tensors.at(concat("output.", turn % outputs)).read();
    return at::cat({output, output.abs()}, 1)
        .slice(1, 0, channels)
        .add(at::cat({input, input}, 1).slice(1, 0, channels), 0.3);
}

json run(const json& request, const StoredTensors& tensors, const std::string& prefix,
         std::map<std::string, at::Tensor>& results) {
    const auto scheduler = make_scheduler(
        request.at("scheduler"), request.at("config"), "scheduler_config.json",
        {.steps = request.at("steps"), .strength = request.value("strength", 1.0), .eta = request.value("eta", 0.0)});
    const auto original = tensors.at("original").read(), start_noise = tensors.at("noise").read();
    NoiseSource noise(request.at("seed").get<uint64_t>());
    const size_t turns = scheduler->timesteps().size();
    results[prefix + "noised"] = at::stack(
        {scheduler->add_noise(original, start_noise, 0), scheduler->add_noise(original, start_noise, turns - 1)});
    at::Tensor sample = request.value("strength", 1.0) < 1 ? scheduler->add_noise(original, start_noise, 0)
                                                           : start_noise.mul(scheduler->init_noise_sigma());
    const int64_t channels = sample.size(1) * (request.value("learned_variance", false) ? 2 : 1);
    for (size_t turn = 0; turn < turns; ++turn) {
        const auto input = scheduler->scale_model_input(sample, turn);
        sample = scheduler->step(predict(tensors, input, turn, channels), turn, sample, noise);
    }
    results[prefix + "sample"] = sample.contiguous();
    results[prefix + "draw"] = noise.normal({4}, at::kCPU, at::kFloat);
    return {{"timesteps", scheduler->timesteps()}, {"init_noise_sigma", scheduler->init_noise_sigma()}};
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 4) return 2;
    const at::InferenceMode inference;
    const json cases = read_json_file(argv[1]).at("cases");
    const auto tensors = open_safetensors(argv[2]);
    std::map<std::string, at::Tensor> results;
    for (size_t k = 0; k < cases.size(); ++k) {
        try {
            std::cout << run(cases[k], tensors, concat(k, "."), results) << "\n";
        } catch (const Error& error) {
            std::cout << json{{"error", error.what()}, {"code", static_cast<int>(error.code())}} << "\n";
        }
    }
    save_safetensors(argv[3], results);
    return 0;
}
