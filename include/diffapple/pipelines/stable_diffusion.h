// Stable Diffusion (Rombach et al. 2022) and SDXL (Podell et al. 2023): the components of a checkpoint, each loaded
// when first needed and dropped when done, and the stages that all its pipelines share: encode prompts, denoise,
// decode.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "diffapple/io/png.h"
#include "diffapple/models/autoencoder_kl.h"
#include "diffapple/models/unet_2d_condition.h"
#include "diffapple/pipelines/denoise.h"
#include "diffapple/pipelines/guidance.h"
#include "diffapple/pipelines/prompt_encoder.h"

namespace diffapple {

/// What the configs of a checkpoint say, before any weights are read.
struct StableDiffusionConfig {
    UNet2DConditionConfig unet;
    AutoencoderKLConfig vae;
    std::vector<std::string> text_encoders;    ///< components: "text_encoder", of SDXL "text_encoder_2" as well
    int64_t text_layers = 0;                   ///< of the text encoder with fewest
    bool force_zeros_for_empty_prompt = true;  ///< SDXL: no negative prompt is an embedding of zeros
    std::string safety_checker;                ///< component; "" where the checkpoint has none

    /// Throws Error naming the component that is missing, or two that do not belong together.
    static StableDiffusionConfig read(const Checkpoint& checkpoint);

    bool is_xl() const { return text_encoders.size() == 2; }
    /// Whether the VAE overflows in fp16. Only SDXL's pipelines ask: the configs of SD v1 and v2 say nothing, which
    /// stands for true.
    bool upcasts_vae() const { return is_xl() && vae.force_upcast; }
    /// Pixels per latent, along each side.
    int64_t vae_scale_factor() const { return vae.size_factor(); }
    /// Width and height of pictures must be multiples of this.
    int64_t size_factor() const { return std::max<int64_t>(8, vae_scale_factor()); }
    /// Height and width of a picture, in pixels, where nothing else is asked for.
    std::pair<int64_t, int64_t> default_size() const;
};

/// Where the loop starts, and what a pipeline adds to its turns.
struct Start {
    at::Tensor sample;          ///< fp32 [N, C, h, w], already noised to the first turn's level
    at::Tensor extra_channels;  ///< [1 or N, c, h, w], joined to each input of the UNet; undefined: none
    AfterTurn after_turn;       ///< changes the sample after a turn; empty: nothing
};

/// SDXL's conditioning on sizes (Podell et al. 2023, section 2.2), in pixels, each [height, width] or [top, left].
struct SizeConditioning {
    std::pair<int64_t, int64_t> original, crop, target;
};

/// A picture as the VAE sees it: a distribution over latents, scaled for the UNet. fp32, [1, C, h, w] each.
struct ImagePosterior {
    at::Tensor mean, deviation;
    /// One draw, [1, C, h, w].
    at::Tensor draw(NoiseSource& noise) const;
};

/// Which components stay in memory after their use.
enum class Keep {
    none,  ///< the last batch: each goes before the next is loaded, so the peak is the largest one
    loop,  ///< more batches follow: UNet and VAE stay
    all,   ///< more prompts may follow: the text encoders stay too
};

/// Where a pipeline gets its components from: each function is called when a component is needed and not in memory.
struct StableDiffusionComponents {
    std::function<std::shared_ptr<UNet2DConditionModel>(const Placement&, const OnLoaded&)> unet;
    std::function<std::shared_ptr<AutoencoderKL>(const Placement&, const OnLoaded&)> vae;
    std::function<std::vector<PromptEncoder::Source>()> text_encoders;

    /// From the files of a checkpoint.
    static StableDiffusionComponents of(const Checkpoint& checkpoint, const StableDiffusionConfig& config);
};

class StableDiffusion {
public:
    /// `placement.dtype` is that of every component, except where a VAE overflows in fp16 (force_upcast);
    /// `placement.weights` is for UNet and text encoders.
    StableDiffusion(StableDiffusionComponents components, StableDiffusionConfig config, const Placement& placement);
    StableDiffusion(const Checkpoint& checkpoint, const StableDiffusionConfig& config, const Placement& placement);

    const StableDiffusionConfig& config() const { return config_; }
    const Placement& placement() const { return placement_; }

    /// For all stages until the next call; at first, nothing is kept and nobody is told.
    void set_residency(Keep keep, OnLoaded on_loaded);

    /// Whether the VAE works in tiles; at first, it does not.
    void set_tiling(Tiling tiling) { tiling_ = tiling; }

    /// Encodes those prompts that are new, with one text encoder after the other, and forgets all others.
    void encode(const std::vector<Prompt>& prompts, const OnLostText& on_lost_text);

    struct Request {
        std::vector<Prompt> prompts;  ///< of the pictures of the batch, encoded before
        Prompt negative_prompt;       ///< encoded before, where there is guidance
        Guidance guidance;
        std::optional<SizeConditioning> sizes;  ///< SDXL
    };
    /// Runs the scheduler, which must be a new one, from `start`.
    Denoised denoise(const Request& request, const Start& start, Scheduler& scheduler, NoiseSource& noise,
                     const OnTurn& on_turn);

    /// Pictures of latents [N, C, h, w] as the loop leaves them, in [-1, 1], fp32: [N, 3, H, W].
    at::Tensor decode(const at::Tensor& latents);

    /// Of a picture [1, 3, H, W] in [-1, 1].
    ImagePosterior encode_image(const at::Tensor& image);

    /// The dtype in which the VAE decodes.
    c10::ScalarType vae_dtype() const;

private:
    struct Conditioning {
        nn::TextContext text;
        at::Tensor added;
    };
    const nn::TextContext& context_of(const Prompt& prompt);
    Conditioning condition(const Request& request);
    at::Tensor embed_sizes(const Request& request, const std::vector<Prompt>& prompts);
    UNet2DConditionModel& unet();
    AutoencoderKL& vae(c10::ScalarType dtype);
    void drop_unet();

    StableDiffusionComponents components_;
    StableDiffusionConfig config_;
    Placement placement_;
    Keep keep_ = Keep::none;
    Tiling tiling_ = Tiling::off;
    OnLoaded on_loaded_ = [](const std::string&, double) {};
    std::optional<PromptEncoder> prompt_encoder_;
    std::map<Prompt, PromptEmbedding> embeddings_;
    std::map<Prompt, nn::TextContext> contexts_;
    std::shared_ptr<UNet2DConditionModel> unet_;
    std::shared_ptr<AutoencoderKL> vae_;
    c10::ScalarType loaded_vae_dtype_ = c10::kFloat;
};

}  // namespace diffapple
