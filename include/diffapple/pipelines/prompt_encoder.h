// From a prompt to what the UNet takes, by the tokenizers and text encoders of Stable Diffusion.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "diffapple/models/component_store.h"
#include "diffapple/text/weighted_prompt.h"

namespace diffapple {

/// One prompt as it enters the encoders. Comparable, so that each is encoded once.
struct Prompt {
    std::string text;
    std::string text_2;     ///< for a second encoder (SDXL)
    int64_t clip_skip = 0;  ///< last layers to leave out
    PromptSyntax syntax = PromptSyntax::plain;
    bool zeros = false;  ///< stands for no prompt at all: an embedding of zeros (SDXL, force_zeros_for_empty_prompt)
    auto operator<=>(const Prompt&) const = default;  // NOLINT(modernize-use-nullptr): clang-tidy 14 sees a 0 here
};

/// An encoded prompt, in the pipeline's dtype and on its device.
struct PromptEmbedding {
    at::Tensor hidden;   ///< [1, L, D]: of two encoders, joined along D
    at::Tensor pooled;   ///< [1, P], of the last encoder; undefined where there is one encoder
    at::Tensor padding;  ///< [1, l, D]: the empty text's, which makes it longer; undefined where L is the same for all

    /// [1, length, D]: of a weighted prompt, filled up with padding to a length that is a multiple of its own.
    at::Tensor hidden_of(int64_t length) const;
};

/// Gets the part of a prompt that was too long, and how many tokens the tokenizer makes at most.
using OnLostText = std::function<void(const std::string& lost, size_t limit)>;

/// Encodes all prompts with the named text encoders, one after the other, each with its tokenizer. Of one encoder
/// ("text_encoder", SD v1 and v2), an embedding is its last hidden state. Of two (SDXL), it is the last but one of
/// each, without the final norm, and the pooled projection of the second. A plain prompt is cut at what the encoder
/// reads; one with weights is as long as it needs to be. Throws Error when an embedding is not finite, and for a prompt
/// that its syntax does not allow.
std::vector<PromptEmbedding> encode_prompts(ComponentStore& components, const std::vector<std::string>& text_encoders,
                                            const Placement& placement, const std::vector<Prompt>& prompts,
                                            const OnLostText& on_lost_text);

/// "tokenizer" for "text_encoder", "tokenizer_2" for "text_encoder_2".
std::string tokenizer_of(const std::string& text_encoder);

}  // namespace diffapple
