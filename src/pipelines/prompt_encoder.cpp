#include "diffapple/pipelines/prompt_encoder.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>

#include "diffapple/models/clip_text.h"
#include "diffapple/models/component_descriptions.h"
#include "diffapple/pipelines/denoise.h"
#include "weighted_encoding.h"

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
    const std::string& text_of(const Prompt& prompt) const { return is_second() ? prompt.text_2 : prompt.text; }
    ClipTextRequest request(const Prompt& prompt) const;
    ClipTokenizer::Padded tokens_of(const Prompt& prompt, const OnLostText& on_lost_text) const;
    ClipTextOutput encode(const std::vector<int64_t>& ids, const ClipTextRequest& wanted) const;
    PromptEmbedding encode_plain(const Prompt& prompt, const OnLostText& on_lost_text) const;
    PromptEmbedding encode_with_weights(const Prompt& prompt) const;
};

ClipTextRequest TextEncoder::request(const Prompt& prompt) const {
    if (count == 1) return {.layers_skipped = prompt.clip_skip};
    return {.layers_skipped = prompt.clip_skip + 1, .final_norm = false, .pooled = number + 1 == count};
}

ClipTokenizer::Padded TextEncoder::tokens_of(const Prompt& prompt, const OnLostText& on_lost_text) const {
    auto padded = tokenize->padded(text_of(prompt));
    // The two encoders cut a prompt at the same place: one warning is enough where their texts are the same.
    const bool warned = is_second() && prompt.text_2 == prompt.text;
    if (!padded.lost.empty() && !warned) on_lost_text(padded.lost, padded.ids.size());
    return padded;
}

ClipTextOutput TextEncoder::encode(const std::vector<int64_t>& ids, const ClipTextRequest& wanted) const {
    auto output = model->forward(at::tensor(ids, at::kLong).unsqueeze(0).to(placement.device), wanted);
    require_finite(output.hidden, "text encoding");
    return output;
}

PromptEmbedding TextEncoder::encode_plain(const Prompt& prompt, const OnLostText& on_lost_text) const {
    const auto tokens = tokens_of(prompt, on_lost_text);
    ClipTextRequest wanted = request(prompt);
    // SDXL's pipelines do not ask the config for it.
    if (count == 1 && model->config().use_attention_mask) {
        wanted.unseen.resize(tokens.ids.size() - tokens.used);
        std::iota(wanted.unseen.begin(), wanted.unseen.end(), static_cast<int64_t>(tokens.used));
    }
    const auto output = encode(tokens.ids, wanted);
    return {.hidden = output.hidden, .pooled = output.pooled, .padding = {}};
}

/// Padding is seen, whatever the config says, and the pooled output is that of the text without weights, as far as it
/// fits into one chunk: as in compel.
PromptEmbedding TextEncoder::encode_with_weights(const Prompt& prompt) const {
    const auto parts = parse_weighted_prompt(text_of(prompt));
    const ClipTextRequest wanted = request(prompt);
    ClipTextRequest hidden_alone = wanted;
    hidden_alone.pooled = false;
    const auto encode_chunk = [&](const std::vector<int64_t>& ids, const std::vector<int64_t>& unseen) {
        ClipTextRequest of_chunk = hidden_alone;
        of_chunk.unseen = unseen;
        return encode(ids, of_chunk).hidden;
    };
    PromptEmbedding embedding;
    embedding.padding = encode_chunk(tokenize->padded("").ids, {});
    std::vector<at::Tensor> hidden;
    for (const WeightedPart& part : parts)
        hidden.push_back(encode_weighted(tokenize->weighted(part), embedding.padding, encode_chunk));
    embedding.hidden = at::cat(hidden, 1);
    if (wanted.pooled) embedding.pooled = encode(tokenize->padded(without_weights(parts)).ids, wanted).pooled;
    return embedding;
}

void TextEncoder::add_to(PromptEmbedding& embedding, const Prompt& prompt, const OnLostText& on_lost_text) const {
    const at::InferenceMode inference;
    PromptEmbedding fresh =
        prompt.syntax == PromptSyntax::plain ? encode_plain(prompt, on_lost_text) : encode_with_weights(prompt);
    if (is_second()) {
        const int64_t length = std::max(embedding.hidden.size(1), fresh.hidden.size(1));
        fresh.hidden = at::cat({embedding.hidden_of(length), fresh.hidden_of(length)}, -1);
        if (fresh.padding.defined()) fresh.padding = at::cat({embedding.padding, fresh.padding}, -1);
    }
    embedding = fresh;
    if (!prompt.zeros) return;
    for (at::Tensor* const tensor : {&embedding.hidden, &embedding.pooled, &embedding.padding})
        if (tensor->defined()) *tensor = at::zeros_like(*tensor);
}

}  // namespace

at::Tensor PromptEmbedding::hidden_of(int64_t length) const {
    std::vector<at::Tensor> parts{hidden};
    for (int64_t filled = hidden.size(1); filled < length; filled += padding.size(1)) parts.push_back(padding);
    return parts.size() == 1 ? hidden : at::cat(parts, 1);
}

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
