// CLIP's image encoder, a vision transformer (Radford et al. 2021; Dosovitskiy et al. 2021).
#pragma once

#include "diffapple/io/json_fields.h"
#include "diffapple/nn/clip_encoder.h"

namespace diffapple {

/// The config of transformers' CLIPVisionModel, with its defaults.
struct ClipVisionConfig {
    int64_t num_channels;
    int64_t image_size, patch_size;  ///< sides, in pixels
    nn::ClipEncoderConfig encoder;

    /// Throws Error naming file and key for a value that is wrong, absurd or not supported.
    static ClipVisionConfig from_json(const JsonFields& fields);
};

class ClipVisionModel : public torch::nn::Module {
public:
    explicit ClipVisionModel(const ClipVisionConfig& config);

    /// image [N, num_channels, image_size, image_size], normalised; returns the pooled state [N, hidden_size]: the last
    /// layer's at the class token after the final norm. Throws Error for another shape.
    at::Tensor forward(const at::Tensor& image);

private:
    struct Embeddings;
    ClipVisionConfig config_;
    std::shared_ptr<Embeddings> embeddings_;
    std::shared_ptr<nn::LayerNorm> pre_layrnorm_, post_layernorm_;  // the first one's name is spelled so in checkpoints
    std::shared_ptr<nn::ClipEncoder> encoder_;
};

}  // namespace diffapple
