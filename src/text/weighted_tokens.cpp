#include "diffapple/text/weighted_tokens.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "diffapple/core/error.h"

namespace diffapple {
namespace {

/// A token of a text, before it has its place.
struct Token {
    int64_t id;
    size_t text;  ///< of the part
    std::string piece;
};

std::vector<Token> tokens_of(const ClipTokenizer& tokenizer, const WeightedPart& part) {
    std::vector<Token> tokens;
    for (size_t text = 0; text < part.size(); ++text) {
        const auto ids = tokenizer.encode(part[text].text);
        const std::vector<int64_t> inner(ids.begin() + 1, ids.end() - 1);
        const auto pieces = tokenizer.pieces(inner);
        for (size_t i = 0; i < inner.size(); ++i) tokens.push_back({inner[i], text, pieces[i]});
    }
    return tokens;
}

bool ends_sentence(const std::string& piece) {
    return piece == ".</w>";
}

bool ends_phrase(const std::string& piece) {
    return ends_sentence(piece) || piece == ",</w>" || piece == ";</w>" || piece == ":</w>";
}

bool ends_word(const std::string& piece) {
    return piece.ends_with("</w>");
}

/// How many tokens from `begin` on make a chunk of at most `most`.
size_t tokens_of_chunk(const std::vector<Token>& tokens, size_t begin, size_t most) {
    if (tokens.size() - begin <= most) return tokens.size() - begin;
    for (const auto& ends : {ends_sentence, ends_phrase, ends_word})
        for (size_t count = most; count > 0; --count)
            if (ends(tokens[begin + count - 1].piece)) return count;
    return most;
}

}  // namespace

WeightedTokens tokenize(const ClipTokenizer& tokenizer, const WeightedPart& part) {
    const auto empty = tokenizer.encode_padded("").ids;  // start, end, padding
    WeightedTokens result{.chunk_length = empty.size(), .ids = {}, .weights = {}, .texts = {}};
    if (empty.size() < 3) fail("the tokenizer's model_max_length ", empty.size(), " leaves no place for a text");
    const auto tokens = tokens_of(tokenizer, part);
    std::optional<size_t> text;
    size_t begin = 0;
    do {
        const size_t count = tokens_of_chunk(tokens, begin, empty.size() - 2), start = result.ids.size();
        if (start / empty.size() >= max_prompt_chunks)
            fail("the prompt has ", tokens.size(), " tokens; at most ", max_prompt_chunks, " chunks of ",
                 empty.size() - 2, " are read");
        result.ids.push_back(empty[0]);
        for (size_t i = begin; i < begin + count; ++i) {
            const size_t place = result.ids.size();
            if (text != tokens[i].text) result.texts.push_back({place, place, part[tokens[i].text].weight});
            text = tokens[i].text;
            result.texts.back().last = place;
            result.ids.push_back(tokens[i].id);
        }
        result.weights.resize(result.ids.size(), 1);
        for (size_t i = 0; i < count; ++i)
            result.weights[start + 1 + i] = static_cast<float>(part[tokens[begin + i].text].weight);
        result.ids.push_back(empty[1]);
        result.ids.resize(start + empty.size(), empty.back());
        result.weights.resize(result.ids.size(), 1);
        begin += count;
    } while (begin < tokens.size());
    return result;
}

}  // namespace diffapple
