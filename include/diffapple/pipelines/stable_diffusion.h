// Stable Diffusion (Rombach et al. 2022) and SDXL (Podell et al. 2023): text to image, image to image, inpainting.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "diffapple/models/autoencoder_kl.h"
#include "diffapple/models/unet_2d_condition.h"
#include "diffapple/pipelines/image_to_image.h"
#include "diffapple/pipelines/pipeline.h"

namespace diffapple {

/// What the configs of a checkpoint say, before any weights are read.
struct StableDiffusionConfig {
    UNet2DConditionConfig unet;
    AutoencoderKLConfig vae;
    std::vector<std::string> text_encoders;    ///< components: "text_encoder", of SDXL "text_encoder_2" as well
    int64_t text_layers = 0;                   ///< of the text encoder with fewest
    bool force_zeros_for_empty_prompt = true;  ///< SDXL: no negative prompt is an embedding of zeros
    bool has_safety_checker = false;

    /// Throws Error naming the component that is missing, or two that do not belong together, or a VAE that does not
    /// make RGB pictures.
    static StableDiffusionConfig read(const Checkpoint& checkpoint);

    bool is_xl() const { return text_encoders.size() == 2; }
    /// Inpainting: mask and masked picture are further channels.
    bool reads_mask() const { return unet.in_channels > vae.latent_channels; }
    /// Whether the VAE overflows in fp16. Only SDXL's pipelines ask: the configs of SD v1 and v2 say nothing, which
    /// stands for true.
    bool upcasts_vae() const { return is_xl() && vae.force_upcast; }
    /// The dtypes in which the VAE encodes and decodes, when everything else computes in `dtype`.
    c10::ScalarType encoding_dtype(c10::ScalarType dtype) const;
    c10::ScalarType decoding_dtype(c10::ScalarType dtype) const;
    /// Latents [N, C, h, w] as the VAE makes them to those of the loop, and back. SDXL's pipelines take the channels'
    /// statistics into account, but not where they encode for inpainting.
    ImagePosterior scaled(const ImagePosterior& encoded, bool for_inpainting) const;
    at::Tensor unscaled(const at::Tensor& latents) const;
    /// Pixels per latent, along each side.
    int64_t vae_scale_factor() const { return vae.size_factor(); }
    ModelTraits traits() const;
};

class StableDiffusion final : public Pipeline {
public:
    /// Of the components "unet", "vae", the config's text encoders, each with its tokenizer, and, where pictures are to
    /// be checked, "safety_checker" and "feature_extractor". `placement.dtype` is that of every component, except where
    /// a VAE overflows in fp16; `placement.weights` is for UNet and text encoders.
    StableDiffusion(std::vector<ComponentDescription> components, StableDiffusionConfig config,
                    const Placement& placement);
    /// From the files of a checkpoint. Throws as open_pipeline.
    static std::unique_ptr<StableDiffusion> open(const Checkpoint& checkpoint, const Placement& placement,
                                                 bool with_safety_checker);

    const ModelTraits& traits() const override { return traits_; }
    const Placement& placement() const override { return placement_; }
    ComponentStore& components() override { return components_; }
    std::map<std::string, c10::ScalarType> dtypes() const override;

    std::vector<int64_t> latents_shape(int64_t pictures, Size size) const override;
    std::vector<MemoryStage> memory_stages(const MemoryRequest& request) const override;
    double flop_per_turn(int64_t pictures, Size size, bool guided) const override;
    void set_tiling(Tiling tiling) override { tiling_ = tiling; }

    void prepare(const std::vector<Prompt>& prompts, const OnLostText& on_lost_text) override;
    /// Encodes the request's inputs where they are not those of the call before, in the same size.
    Start start(const BatchRequest& request, const Scheduler& scheduler, NoiseSource& noise) override;
    Predict predict(const BatchRequest& request, const Start& start, const std::vector<double>& timesteps) override;
    at::Tensor decode(const at::Tensor& latents) override;
    at::Tensor preview(const at::Tensor& latents) const override;
    std::vector<bool> find_unsafe(const std::vector<Image>& pictures) override;

private:
    /// What was made of the inputs of the batches so far; what none of them needed is absent.
    struct EncodedInputs {
        std::shared_ptr<const PictureInputs> inputs;
        Size size;
        at::Tensor mask;  ///< [1, 1, H, W], fp32, on the CPU; undefined without a mask
        std::optional<ImagePosterior> image, masked_image;
    };
    struct Conditioning {
        nn::TextContext text;
        at::Tensor added, guidance;
    };
    /// Of the components, for the memory plan.
    struct Sizes {
        std::vector<ComponentSize> text_encoders;
        ComponentSize unet, vae, safety_checker;
    };
    Placement placement_of(const std::string& component) const;
    Sizes read_sizes() const;
    uint64_t unet_activations(const MemoryRequest& request) const;
    uint64_t vae_activations(const MemoryRequest& request, c10::ScalarType dtype) const;
    void choose_inputs(const BatchRequest& request);
    const ImagePosterior& encoded_image();
    const ImagePosterior& encoded_masked_image();
    ImagePosterior encode_image(const at::Tensor& image);
    Start start_from_inputs(const BatchRequest& request, const Scheduler& scheduler, NoiseSource& noise);
    const nn::TextContext& context_of(const Prompt& prompt, int64_t length, UNet2DConditionModel& unet);
    at::Tensor embed_sizes(const BatchRequest& request, const std::vector<Prompt>& prompts,
                           UNet2DConditionModel& unet) const;
    Conditioning condition(const BatchRequest& request, UNet2DConditionModel& unet);

    ComponentStore components_;
    StableDiffusionConfig config_;
    Placement placement_;
    ModelTraits traits_;
    Sizes sizes_;
    Tiling tiling_ = Tiling::off;
    std::map<Prompt, PromptEmbedding> embeddings_;
    std::map<std::pair<Prompt, int64_t>, nn::TextContext> contexts_;  ///< by their length in tokens
    EncodedInputs encoded_;
};

}  // namespace diffapple
