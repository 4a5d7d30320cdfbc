// CLIP's text encoder (Radford et al. 2021), with or without the projection into the space shared with images.
#pragma once

#include <memory>
#include <optional>

#include "diffapple/io/json_fields.h"
#include "diffapple/models/checkpoint.h"
#include "diffapple/models/state_loading.h"
#include "diffapple/nn/clip_encoder.h"

namespace diffapple {

/// The config.json of transformers' CLIPTextModel and CLIPTextModelWithProjection, with its defaults; it may stand
/// under "text_config" of a whole CLIP model's config.
struct ClipTextConfig {
    int64_t vocab_size;
    int64_t max_position_embeddings;
    nn::ClipEncoderConfig encoder;
    int64_t eos_token_id;
    int64_t projection_dim;
    bool use_attention_mask;  ///< pipelines of SD v1 and v2 then hide the padding
    bool with_projection;     ///< `architectures` names CLIPTextModelWithProjection

    /// Throws Error naming file and key for a value that is wrong, absurd or not supported.
    static ClipTextConfig from_json(const JsonFields& fields);
};

/// What a pipeline wants to know about a text.
struct ClipTextRequest {
    int64_t layers_skipped = 0;   ///< `hidden` leaves out this many last layers: hidden_states[-(layers_skipped + 1)]
    bool final_norm = true;       ///< `hidden` passes through the final LayerNorm
    bool pooled = false;          ///< compute `pooled` too
    std::vector<int64_t> unseen;  ///< places of tokens that no other attends to
};

struct ClipTextOutput {
    at::Tensor hidden;  ///< [N, L, hidden_size]
    at::Tensor pooled;  ///< [N, projection_dim], or [N, hidden_size] without projection; undefined if not asked for
};

/// Parameters have the names of CLIPTextModel, without the prefix "text_model.".
class ClipTextModel : public torch::nn::Module {
public:
    explicit ClipTextModel(const ClipTextConfig& config);

    /// ids: int64 [N, L], L at most max_position_embeddings, on any device. A token sees itself and those before it,
    /// padding too unless the request says otherwise. `pooled` is the last layer's state at the end-of-text token after
    /// the final LayerNorm (and the projection): the first one, or the largest id where the config has the wrong
    /// eos_token_id 2 of old checkpoints. Throws Error for ids outside the vocabulary and for more skipped layers than
    /// there are.
    ClipTextOutput forward(const at::Tensor& ids, const ClipTextRequest& request);

    const ClipTextConfig& config() const { return config_; }

private:
    void check(const at::Tensor& ids, const ClipTextRequest& request) const;
    at::Tensor pool(const at::Tensor& hidden, const at::Tensor& ids);

    struct Embeddings;
    ClipTextConfig config_;
    std::shared_ptr<Embeddings> embeddings_;
    std::shared_ptr<nn::ClipEncoder> encoder_;
    std::shared_ptr<nn::LayerNorm> final_layer_norm_;
    std::shared_ptr<nn::Linear> text_projection_;
};

/// The text encoder of a component with its weights: with the projection where the config or the weights have one.
/// Reads the names of transformers 4 and 5, with and without the prefix "text_model."; leaves out `position_ids`.
std::shared_ptr<ClipTextModel> load_clip_text(const Component& component, const Placement& placement);

/// Throws the Error that load_clip_text would, from headers alone. Returns check_state's note.
std::string check_clip_text(const Component& component, const Placement& placement);

/// Its stored tensors by the names of the parameters that they fill (without "text_model.").
StoredTensors clip_text_tensors(const Component& component, bool prefer_half);

}  // namespace diffapple
