// The one interface of all pipelines: from prompts, pictures and noise to pictures. Pixel-space models (DDPM) and
// Stable Diffusion implement it; experiments, replay, bench and selftest use it.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "diffapple/core/random.h"
#include "diffapple/core/size.h"
#include "diffapple/io/image.h"
#include "diffapple/models/checkpoint.h"
#include "diffapple/models/component_store.h"
#include "diffapple/pipelines/denoise.h"
#include "diffapple/pipelines/guidance.h"
#include "diffapple/pipelines/memory_plan.h"
#include "diffapple/pipelines/picture_inputs.h"
#include "diffapple/pipelines/prompt_encoder.h"
#include "diffapple/schedulers/scheduler.h"

namespace diffapple {

/// What the settings of a run depend on of its model, known from its configs alone.
struct ModelTraits {
    std::optional<Size> default_size;  ///< of pictures, in pixels; absent where the configs name none
    int64_t size_factor = 1;           ///< width and height must be multiples of this
    bool has_prompts = false;
    bool is_xl = false;                 ///< two text encoders, conditioning on sizes
    bool embeds_guidance = false;       ///< the UNet takes the scale of guidance as a number (LCM): nothing is guided
    bool zeros_for_no_prompt = false;   ///< SDXL: no negative prompt at all is an embedding of zeros
    int64_t skippable_text_layers = 0;  ///< the largest --clip-skip
    bool has_safety_checker = false;
    bool has_preview = true;      ///< what the loop works on can be shown at once (Pipeline::preview)
    bool reads_mask = false;      ///< the UNet was trained for inpainting: mask and picture are further channels
    std::optional<int64_t> tile;  ///< side of the VAE's tiles, in pixels: larger pictures may be made in tiles
};

/// Size of a picture: what is asked for, else `usual`. Throws Error (exit code 2) for a size that the model cannot
/// make, or where there is none.
Size picture_size(const ModelTraits& traits, const std::optional<Size>& usual, std::optional<int64_t> width,
                  std::optional<int64_t> height);

/// Settings of a batch that pipelines read as they are. One more is a member here, a row in the table of settings
/// (recipes/settings_table.cpp) and the code that uses it.
struct PipelineOptions {
    /// SDXL's conditioning on sizes (Podell et al. 2023, section 2.2), in pixels; absent: the picture's own, not
    /// cropped.
    std::optional<Size> original_size, target_size;
    std::optional<Point> crop;
    bool operator==(const PipelineOptions&) const = default;
};

/// What one batch asks of a pipeline. Its pictures are prompt-major, as with diffusers' num_images_per_prompt.
struct BatchRequest {
    int64_t pictures = 1;
    Size size;                    ///< of each, in pixels
    std::vector<Prompt> prompts;  ///< one for each picture; empty for models without prompts
    Prompt negative_prompt;       ///< where there is guidance
    Guidance guidance;
    PipelineOptions options;
    std::shared_ptr<const PictureInputs> inputs;  ///< what to start from, encoded once for all batches; null: noise
    double strength = 1.0;                        ///< where there are inputs
    std::optional<at::Tensor> start_noise;        ///< unit noise [N, C, h, w] instead of a draw
};

/// Where the loop starts, and what a pipeline adds to its turns.
struct Start {
    at::Tensor sample;          ///< fp32 [N, C, h, w] on the device, already noised to the first turn's level
    at::Tensor extra_channels;  ///< [1 or N, c, h, w], joined to each input of the UNet; undefined: none
    AfterTurn after_turn;       ///< changes the sample after a turn; empty: nothing
};

class Pipeline {
public:
    virtual ~Pipeline() = default;

    virtual const ModelTraits& traits() const = 0;
    virtual const Placement& placement() const = 0;
    virtual ComponentStore& components() = 0;
    const ComponentStore& components() const { return const_cast<Pipeline*>(this)->components(); }
    /// The dtypes of its models by component, as recipes name them.
    virtual std::map<std::string, c10::ScalarType> dtypes() const = 0;

    /// [N, C, h, w] of what the loop works on.
    virtual std::vector<int64_t> latents_shape(int64_t pictures, Size size) const = 0;
    /// The stages of a batch with the memory that each takes.
    virtual std::vector<MemoryStage> memory_stages(const MemoryRequest& request) const = 0;
    /// Floating-point operations of one turn of the loop (models/flop_count.h), known from configs alone.
    virtual double flop_per_turn(int64_t pictures, Size size, bool guided) const = 0;
    /// Whether the VAE works in tiles; at first, it does not.
    virtual void set_tiling(Tiling /*tiling*/) {}

    /// Encodes the prompts of batches to come; those encoded before are forgotten, unless they are among them.
    virtual void prepare(const std::vector<Prompt>& /*prompts*/, const OnLostText& /*on_lost_text*/) {}
    /// Draws what the batch starts from, in the order of diffusers.
    virtual Start start(const BatchRequest& request, const Scheduler& scheduler, NoiseSource& noise) = 0;
    /// The model as the loop over these timesteps calls it, with the batch's conditioning and the timesteps' embeddings
    /// computed once. To be used and destroyed before anything else is asked of the pipeline: it keeps the model in
    /// memory.
    virtual Predict predict(const BatchRequest& request, const Start& start, const std::vector<double>& timesteps) = 0;
    /// Pictures of a batch as the loop leaves it: fp32 [N, C, H, W] in about [-1, 1].
    virtual at::Tensor decode(const at::Tensor& sample) = 0;
    /// A quick look at such a sample: fp32 [N, C, h, w] in about [-1, 1], on the CPU, perhaps smaller than the
    /// pictures.
    virtual at::Tensor preview(const at::Tensor& sample) const = 0;
    /// True for each picture (of one size) that the model's safety checker objects to; empty where it has none in use.
    virtual std::vector<bool> find_unsafe(const std::vector<Image>& /*pictures*/) { return {}; }

    /// start, then the loop. The scheduler must be a new one.
    Denoised sample(const BatchRequest& request, Scheduler& scheduler, NoiseSource& noise, const OnTurn& on_turn,
                    const Preview& preview = {});
};

/// Whether a checkpoint makes pictures of prompts, by the class of its UNet. Throws Error for another class.
bool has_prompts(const Checkpoint& checkpoint);

/// The pipeline of a checkpoint, by the class of its UNet. Reads configs and the headers of weights, and throws Error
/// for whatever about them is missing, wrong or does not belong together. `with_safety_checker`: where it has one.
std::unique_ptr<Pipeline> open_pipeline(const Checkpoint& checkpoint, const Placement& placement,
                                        bool with_safety_checker);

}  // namespace diffapple
