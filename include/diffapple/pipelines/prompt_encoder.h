// From a prompt to what the UNet takes: tokenizers and text encoders of a Stable Diffusion checkpoint.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "diffapple/models/checkpoint.h"
#include "diffapple/models/clip_text.h"
#include "diffapple/models/component_loading.h"
#include "diffapple/models/state_loading.h"
#include "diffapple/text/clip_tokenizer.h"

namespace diffapple {

/// One prompt as it enters the encoders. Comparable, so that each is encoded once.
struct Prompt {
    std::string text;
    std::string text_2;     ///< for a second encoder (SDXL)
    int64_t clip_skip = 0;  ///< last layers to leave out
    bool zeros = false;     ///< stands for no prompt at all: an embedding of zeros (SDXL, force_zeros_for_empty_prompt)
    auto operator<=>(const Prompt&) const = default;  // NOLINT(modernize-use-nullptr): clang-tidy 14 sees a 0 here
};

/// An encoded prompt, in the pipeline's dtype and on its device.
struct PromptEmbedding {
    at::Tensor hidden;  ///< [1, L, D]: of two encoders, joined along D
    at::Tensor pooled;  ///< [1, P], of the last encoder; undefined where there is one encoder
};

/// Gets the part of a prompt that was too long for the encoder.
using OnLostText = std::function<void(const std::string& lost)>;

/// With one encoder ("text_encoder", SD v1 and v2), an embedding is its last hidden state. With two (SDXL), it is the
/// last but one of each, without the final norm, and the pooled projection of the second.
class PromptEncoder {
public:
    /// Where one encoder comes from.
    struct Source {
        std::function<ClipTokenizer::Padded(const std::string& text)> tokenize;
        std::function<std::shared_ptr<ClipTextModel>(const Placement&, const OnLoaded&)> load;
    };
    PromptEncoder(const std::vector<Source>& sources, const Placement& placement);

    /// From the files of a checkpoint, for the text encoders named in `components`; reads their tokenizers.
    static std::vector<Source> sources_of(const Checkpoint& checkpoint, const std::vector<std::string>& components);

    /// Encodes all prompts with one encoder after the other, so that two are in memory only with `keep_loaded`, which
    /// leaves them there for the next call. Throws Error when an embedding is not finite.
    std::vector<PromptEmbedding> encode(const std::vector<Prompt>& prompts, bool keep_loaded, const OnLoaded& on_loaded,
                                        const OnLostText& on_lost_text);

private:
    struct Encoder {
        Source source;
        std::shared_ptr<ClipTextModel> model;  ///< null: not loaded
    };
    void encode_with(size_t number, const Prompt& prompt, PromptEmbedding& embedding, const OnLostText& on_lost_text);
    ClipTextOutput run(const Encoder& encoder, const std::string& text, const ClipTextRequest& request,
                       const OnLostText& on_lost_text);

    std::vector<Encoder> encoders_;
    Placement placement_;
};

/// "tokenizer" for "text_encoder", "tokenizer_2" for "text_encoder_2".
std::string tokenizer_of(const std::string& text_encoder);

}  // namespace diffapple
