// What the configs of CLIP's text and image encoders have in common.
#pragma once

#include "diffapple/io/json_fields.h"
#include "diffapple/nn/clip_encoder.h"

namespace diffapple {

/// The keys of the transformer; `fallback` holds the defaults of the encoder's kind.
inline nn::ClipEncoderConfig read_clip_encoder(const JsonFields& fields, const nn::ClipEncoderConfig& fallback) {
    constexpr int64_t max_size = 1 << 16;
    static const std::vector<std::string> activations{
        "quick_gelu", "gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "relu", "silu", "swish", "mish"};
    return {.hidden_size = fields.integer("hidden_size", 1, max_size, fallback.hidden_size),
            .intermediate_size = fields.integer("intermediate_size", 1, 4 * max_size, fallback.intermediate_size),
            .layers = fields.integer("num_hidden_layers", 1, 256, fallback.layers),
            .heads = fields.integer("num_attention_heads", 1, max_size, fallback.heads),
            .activation = nn::find_activation(fields.choice("hidden_act", activations, "quick_gelu")),
            .layer_norm_eps = fields.number("layer_norm_eps", 1e-5)};
}

}  // namespace diffapple
