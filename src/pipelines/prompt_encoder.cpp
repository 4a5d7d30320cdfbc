#include "diffapple/pipelines/prompt_encoder.h"

#include <ATen/ATen.h>

#include "diffapple/pipelines/denoise.h"

namespace diffapple {

std::string tokenizer_of(const std::string& text_encoder) {
    return "tokenizer" + text_encoder.substr(std::string("text_encoder").size());
}

PromptEncoder::PromptEncoder(const Checkpoint& checkpoint, const std::vector<std::string>& components,
                             const Placement& placement)
    : device_(placement.device) {
    for (const auto& name : components)
        encoders_.push_back({.tokenizer = ClipTokenizer::from_folder(checkpoint.folder / tokenizer_of(name)),
                             .model = load_clip_text(checkpoint.component(name), placement)});
}

ClipTextOutput PromptEncoder::run(const Encoder& encoder, const std::string& text, const ClipTextRequest& request,
                                  const OnLostText& on_lost_text) {
    const auto padded = encoder.tokenizer.encode_padded(text);
    if (!padded.lost.empty()) on_lost_text(padded.lost);
    const auto ids = at::tensor(padded.ids, at::kLong).unsqueeze(0).to(device_);
    return encoder.model->forward(ids, request);
}

PromptEmbedding PromptEncoder::encode_one(const Prompt& prompt, const OnLostText& on_lost_text) {
    if (encoders_.size() == 1)
        return {.hidden = run(encoders_[0], prompt.text, {.layers_skipped = prompt.clip_skip}, on_lost_text).hidden};
    const ClipTextRequest penultimate{.layers_skipped = prompt.clip_skip + 1, .final_norm = false};
    ClipTextRequest with_pooled = penultimate;
    with_pooled.pooled = true;
    const auto first = run(encoders_[0], prompt.text, penultimate, on_lost_text);
    // The two encoders cut a prompt at the same place: one warning is enough where their texts are the same.
    const auto second = run(encoders_[1], prompt.text_2, with_pooled,
                            prompt.text_2 == prompt.text ? [](const std::string&) {} : on_lost_text);
    return {.hidden = at::cat({first.hidden, second.hidden}, -1), .pooled = second.pooled};
}

PromptEmbedding PromptEncoder::encode(const Prompt& prompt, const OnLostText& on_lost_text) {
    const at::InferenceMode inference;
    auto embedding = encode_one(prompt, on_lost_text);
    require_finite(embedding.hidden, "text encoding");
    if (!prompt.zeros) return embedding;
    return {.hidden = at::zeros_like(embedding.hidden),
            .pooled = embedding.pooled.defined() ? at::zeros_like(embedding.pooled) : at::Tensor()};
}

}  // namespace diffapple
