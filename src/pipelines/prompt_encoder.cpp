#include "diffapple/pipelines/prompt_encoder.h"

#include <ATen/ATen.h>

#include "diffapple/pipelines/denoise.h"

namespace diffapple {

std::string tokenizer_of(const std::string& text_encoder) {
    return "tokenizer" + text_encoder.substr(std::string("text_encoder").size());
}

std::vector<PromptEncoder::Source> PromptEncoder::sources_of(const Checkpoint& checkpoint,
                                                             const std::vector<std::string>& components) {
    std::vector<Source> sources;
    for (const auto& name : components) {
        const auto load = [component = checkpoint.component(name)](const Placement& placement, const OnLoaded& loaded) {
            return timed_load(component, loaded, [&] { return load_clip_text(component, placement); });
        };
        const auto tokenizer = ClipTokenizer::from_folder(checkpoint.folder / tokenizer_of(name));
        sources.push_back({[tokenizer](const std::string& text) { return tokenizer.encode_padded(text); }, load});
    }
    return sources;
}

PromptEncoder::PromptEncoder(const std::vector<Source>& sources, const Placement& placement) : placement_(placement) {
    for (const auto& source : sources) encoders_.push_back({.source = source, .model = nullptr});
}

ClipTextOutput PromptEncoder::run(const Encoder& encoder, const std::string& text, const ClipTextRequest& request,
                                  const OnLostText& on_lost_text) {
    const auto padded = encoder.source.tokenize(text);
    if (!padded.lost.empty()) on_lost_text(padded.lost);
    const auto ids = at::tensor(padded.ids, at::kLong).unsqueeze(0).to(placement_.device);
    return encoder.model->forward(ids, request);
}

void PromptEncoder::encode_with(size_t number, const Prompt& prompt, PromptEmbedding& embedding,
                                const OnLostText& on_lost_text) {
    const at::InferenceMode inference;
    const Encoder& encoder = encoders_[number];
    ClipTextRequest request{.layers_skipped = prompt.clip_skip};
    if (encoders_.size() > 1) {
        request = {.layers_skipped = prompt.clip_skip + 1, .final_norm = false};
        request.pooled = number + 1 == encoders_.size();
    }
    const bool second = number > 0;
    // The two encoders cut a prompt at the same place: one warning is enough where their texts are the same.
    const bool warned = second && prompt.text_2 == prompt.text;
    const auto output =
        run(encoder, second ? prompt.text_2 : prompt.text, request, warned ? [](const std::string&) {} : on_lost_text);
    require_finite(output.hidden, "text encoding");
    embedding.hidden = second ? at::cat({embedding.hidden, output.hidden}, -1) : output.hidden;
    embedding.pooled = output.pooled;
    if (!prompt.zeros) return;
    embedding.hidden = at::zeros_like(embedding.hidden);
    if (embedding.pooled.defined()) embedding.pooled = at::zeros_like(embedding.pooled);
}

std::vector<PromptEmbedding> PromptEncoder::encode(const std::vector<Prompt>& prompts, bool keep_loaded,
                                                   const OnLoaded& on_loaded, const OnLostText& on_lost_text) {
    std::vector<PromptEmbedding> embeddings(prompts.size());
    for (size_t number = 0; number < encoders_.size(); ++number) {
        Encoder& encoder = encoders_[number];
        if (!encoder.model) encoder.model = encoder.source.load(placement_, on_loaded);
        for (size_t i = 0; i < prompts.size(); ++i) encode_with(number, prompts[i], embeddings[i], on_lost_text);
        if (!keep_loaded) drop(encoder.model, placement_.device);
    }
    return embeddings;
}

}  // namespace diffapple
