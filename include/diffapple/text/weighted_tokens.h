// The tokens of a weighted prompt, in as many chunks as it takes.
#pragma once

#include <cstdint>
#include <vector>

#include "diffapple/text/clip_tokenizer.h"
#include "diffapple/text/weighted_prompt.h"

namespace diffapple {

/// Of one part of a prompt.
struct WeightedTokens {
    /// Where a text's tokens are, from the first to the last of them.
    struct Range {
        size_t first, last;
        double weight;
    };
    size_t chunk_length = 0;     ///< what the text encoder reads at a time: 77 for CLIP
    std::vector<int64_t> ids;    ///< chunks, one after the other: start, text, end, then the pad token
    std::vector<float> weights;  ///< of each id; 1 where it is no text
    std::vector<Range> texts;    ///< those that have tokens, in their order

    size_t chunks() const { return ids.size() / chunk_length; }
};

/// Texts are tokenised one by one. A chunk that the rest does not fit into ends where the Python package compel ends it
/// by default: after its last full stop, else after its last comma, semicolon or colon, else after a word. Throws Error
/// for more than max_prompt_chunks.
WeightedTokens tokenize(const ClipTokenizer& tokenizer, const WeightedPart& part);

constexpr size_t max_prompt_chunks = 40;

}  // namespace diffapple
