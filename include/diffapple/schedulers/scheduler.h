// The interface of all samplers: one object samples one batch, addressed by the index of the turn.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "diffapple/core/random.h"

namespace diffapple {

/// What one batch asks of its sampler.
struct SchedulerRequest {
    int64_t steps;
    double strength = 1.0;  ///< in (0, 1]; below 1 only the last int(steps * strength) steps are made (image to image)
    double eta = 0.0;       ///< in [0, 1]: share of the noise that DDIM adds; other samplers do not read it
};

/// Tables are floats or doubles on the CPU. Products and sums of tensors are separate operations, not add's alpha,
/// which rounds once: at the large sigmas of a cosine schedule they cancel, and the rounding of diffusers shows.
class Scheduler {
public:
    virtual ~Scheduler() = default;

    /// The timestep given to the model at each turn of the denoising loop; its length is the number of turns that this
    /// batch makes (those before the strength's first are left out). A timestep may repeat (PNDM, Heun) and may be
    /// fractional or negative (Euler), so everything below is asked by the index of the turn.
    virtual const std::vector<double>& timesteps() const = 0;

    /// Standard deviation of the start sample where all steps are made: unit noise is multiplied by it.
    virtual double init_noise_sigma() const { return 1.0; }

    /// The model's input at a turn, from the sample.
    virtual at::Tensor scale_model_input(const at::Tensor& sample, size_t /*index*/) const { return sample; }

    /// The sample after turn `index`; turns are made in order, each once. model_output and sample are fp32 of one shape
    /// (model_output may have twice the channels where the variance is learned); noise is drawn from `noise` in the
    /// order of diffusers.
    virtual at::Tensor step(const at::Tensor& model_output, size_t index, const at::Tensor& sample,
                            NoiseSource& noise) = 0;

    /// How many times `step` draws noise of the sample's shape in all turns, so that it can be drawn before them.
    virtual size_t draws() const { return 0; }

    /// The sample that the forward process makes of `original` (a clean sample) and unit noise, at the noise level that
    /// turn `index` starts from: the start sample of image to image at index 0; inpainting by blending puts the
    /// original back with the next turn's index. Tensors of one shape, fp32.
    virtual at::Tensor add_noise(const at::Tensor& original, const at::Tensor& noise, size_t index) const = 0;
};

/// What the finished sample x_0 would be, by the model's output for `sample` at a turn. For a look at what is being
/// made: clipping and what samplers know of earlier turns are left out. `config` says what the model predicts. fp32
/// tensors as `step` takes them.
at::Tensor estimate_original(const Scheduler& scheduler, const nlohmann::json& config, const at::Tensor& model_output,
                             const at::Tensor& sample, size_t index);

/// Names for --scheduler, in the order in which help shows them.
std::vector<std::string> scheduler_names();

/// The name for --scheduler of a sampler that goes by its name here, in diffusers (with "Scheduler" or without), in
/// A1111's web UI or in ComfyUI: "Euler a", "dpmpp_2m", "DDIMScheduler". Absent for another.
std::optional<std::string> scheduler_called(const std::string& name);

/// The command-line name of a scheduler_config.json's _class_name ("DDPMScheduler" is "ddpm"). Throws Error for a class
/// that this program lacks.
std::string scheduler_name(const nlohmann::json& config, const std::string& where);

/// The same, but absent where the config names no class, or one that this program lacks.
std::optional<std::string> find_scheduler_name(const nlohmann::json& config, const std::string& where);

/// The name that A1111's web UI gives a sampler with this config: "DPM++ 2M Karras", "Euler a".
std::string a1111_sampler_name(const std::string& name, const nlohmann::json& config);

/// Whether a sampler reads SchedulerRequest::eta.
bool scheduler_reads_eta(const std::string& name);

/// A scheduler for one batch by its command-line name. `config` is the checkpoint's scheduler_config.json, of whatever
/// class: keys that the scheduler does not read are ignored, absent ones take its own defaults (as diffusers'
/// from_config does). `where` names the file in errors. Throws Error for bad values, and with exit code 2 for a number
/// of steps, a strength or an eta that cannot be.
std::unique_ptr<Scheduler> make_scheduler(const std::string& name, const nlohmann::json& config,
                                          const std::string& where, const SchedulerRequest& request);

}  // namespace diffapple
