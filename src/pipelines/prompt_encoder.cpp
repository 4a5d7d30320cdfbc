#include "diffapple/pipelines/prompt_encoder.h"

#include <ATen/ATen.h>

#include "diffapple/models/clip_text.h"
#include "diffapple/models/component_descriptions.h"
#include "diffapple/pipelines/denoise.h"

namespace diffapple {
namespace {

/// One of the text encoders at work.
struct TextEncoder {
    size_t number, count;  ///< of how many
    std::shared_ptr<Tokenize> tokenize;
    std::shared_ptr<ClipTextModel> model;
    Placement placement;

    bool is_second() const { return number > 0; }
    void add_to(PromptEmbedding& embedding, const Prompt& prompt, const OnLostText& on_lost_text) const;

private:
    ClipTextRequest request(const Prompt& prompt) const;
    ClipTokenizer::Padded tokens_of(const Prompt& prompt, const OnLostText& on_lost_text) const;
};

ClipTextRequest TextEncoder::request(const Prompt& prompt) const {
    if (count == 1) return {.layers_skipped = prompt.clip_skip};
    return {.layers_skipped = prompt.clip_skip + 1, .final_norm = false, .pooled = number + 1 == count};
}

ClipTokenizer::Padded TextEncoder::tokens_of(const Prompt& prompt, const OnLostText& on_lost_text) const {
    auto padded = (*tokenize)(is_second() ? prompt.text_2 : prompt.text);
    // The two encoders cut a prompt at the same place: one warning is enough where their texts are the same.
    const bool warned = is_second() && prompt.text_2 == prompt.text;
    if (!padded.lost.empty() && !warned) on_lost_text(padded.lost, padded.ids.size());
    return padded;
}

void TextEncoder::add_to(PromptEmbedding& embedding, const Prompt& prompt, const OnLostText& on_lost_text) const {
    const at::InferenceMode inference;
    const auto tokens = tokens_of(prompt, on_lost_text);
    const auto ids = at::tensor(tokens.ids, at::kLong).unsqueeze(0).to(placement.device);
    ClipTextRequest wanted = request(prompt);
    // SDXL's pipelines do not ask the config for it.
    if (count == 1 && model->config().use_attention_mask) wanted.seen = static_cast<int64_t>(tokens.used);
    const auto output = model->forward(ids, wanted);
    require_finite(output.hidden, "text encoding");
    embedding.hidden = is_second() ? at::cat({embedding.hidden, output.hidden}, -1) : output.hidden;
    embedding.pooled = output.pooled;
    if (!prompt.zeros) return;
    embedding.hidden = at::zeros_like(embedding.hidden);
    if (embedding.pooled.defined()) embedding.pooled = at::zeros_like(embedding.pooled);
}

}  // namespace

std::string tokenizer_of(const std::string& text_encoder) {
    return "tokenizer" + text_encoder.substr(std::string("text_encoder").size());
}

std::vector<PromptEmbedding> encode_prompts(ComponentStore& components, const std::vector<std::string>& text_encoders,
                                            const Placement& placement, const std::vector<Prompt>& prompts,
                                            const OnLostText& on_lost_text) {
    std::vector<PromptEmbedding> embeddings(prompts.size());
    for (size_t number = 0; number < text_encoders.size(); ++number) {
        const std::string& name = text_encoders[number];
        const TextEncoder encoder{.number = number,
                                  .count = text_encoders.size(),
                                  .tokenize = components.get<Tokenize>(tokenizer_of(name), placement),
                                  .model = components.get<ClipTextModel>(name, placement),
                                  .placement = placement};
        for (size_t i = 0; i < prompts.size(); ++i) encoder.add_to(embeddings[i], prompts[i], on_lost_text);
    }
    return embeddings;
}

}  // namespace diffapple
