// The interface of all samplers: one object samples one batch, addressed by step index.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "diffapple/core/random.h"

namespace diffapple {

class Scheduler {
public:
    virtual ~Scheduler() = default;

    /// The timestep given to the model at each turn of the denoising loop; its length is the number of turns. A
    /// timestep may repeat (PNDM), so everything below is asked by the index of the turn.
    virtual const std::vector<double>& timesteps() const = 0;

    /// Standard deviation of the start sample: unit noise is multiplied by it.
    virtual double init_noise_sigma() const { return 1.0; }

    /// The model's input at a turn, from the sample.
    virtual at::Tensor scale_model_input(const at::Tensor& sample, size_t /*index*/) const { return sample; }

    /// The sample after turn `index`. model_output and sample are fp32 of one shape (model_output may have twice the
    /// channels where the variance is learned); noise is drawn from `noise` in the order of diffusers.
    virtual at::Tensor step(const at::Tensor& model_output, size_t index, const at::Tensor& sample,
                            NoiseSource& noise) = 0;
};

/// Names for --scheduler, in the order in which help shows them.
std::vector<std::string> scheduler_names();

/// The command-line name of a scheduler_config.json's _class_name ("DDPMScheduler" is "ddpm"). Throws Error for a class
/// that this program lacks.
std::string scheduler_name(const nlohmann::json& config, const std::string& where);

/// The same, but absent for a class that this program lacks.
std::optional<std::string> find_scheduler_name(const nlohmann::json& config, const std::string& where);

/// A scheduler for one batch by its command-line name. `config` is the checkpoint's scheduler_config.json; keys that
/// the scheduler does not read are ignored, absent ones take its own defaults (as diffusers' from_config does). `where`
/// names the file in errors. Throws Error for bad values and for a number of steps that it cannot make.
std::unique_ptr<Scheduler> make_scheduler(const std::string& name, const nlohmann::json& config,
                                          const std::string& where, int64_t steps);

}  // namespace diffapple
