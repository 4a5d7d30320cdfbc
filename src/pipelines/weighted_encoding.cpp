#include "weighted_encoding.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace diffapple {
namespace {

/// Share of what is made without a text, beside 1 of what is made with it.
double share_without(double weight) {
    constexpr double least = 1e-5;  // not infinite
    return std::tan((1 - std::max(weight, least)) * std::numbers::pi / 2);
}

/// [1, L, D] with each token's difference to the empty text's multiplied by its weight [1, L, 1]. Those of weight 1
/// stay as they are, to the bit.
at::Tensor weigh(const at::Tensor& hidden, const at::Tensor& weights, const at::Tensor& empty) {
    return at::where(weights == 1, hidden, empty + (hidden - empty) * weights);
}

/// The places in a chunk between `first` and `last` of all ids: padding between two chunks' texts too, but not the
/// chunk's first and last token.
std::vector<int64_t> places_in_chunk(const WeightedTokens::Range& text, size_t chunk, size_t length) {
    std::vector<int64_t> places;
    const size_t start = chunk * length;
    for (size_t place = 1; place + 1 < length; ++place)
        if (start + place >= text.first && start + place <= text.last) places.push_back(static_cast<int64_t>(place));
    return places;
}

}  // namespace

at::Tensor encode_weighted(const WeightedTokens& tokens, const at::Tensor& empty, const EncodeChunk& encode) {
    const size_t length = tokens.chunk_length;
    const auto count = static_cast<int64_t>(length);
    const at::Tensor all_weights = at::tensor(tokens.weights, at::kFloat).to(empty.device());
    const at::Tensor none = empty.to(at::kFloat);
    double shares = 1;
    for (const auto& text : tokens.texts)
        if (text.weight < 1) shares += share_without(text.weight);
    std::vector<at::Tensor> chunks;
    for (size_t chunk = 0; chunk < tokens.chunks(); ++chunk) {
        const auto begin = tokens.ids.begin() + static_cast<std::ptrdiff_t>(chunk * length);
        const std::vector<int64_t> ids(begin, begin + count);
        const at::Tensor weights = all_weights.narrow(0, static_cast<int64_t>(chunk) * count, count).view({1, -1, 1});
        const auto encoded = [&](const std::vector<int64_t>& unseen) {
            return weigh(encode(ids, unseen).to(at::kFloat), weights, none);
        };
        const at::Tensor whole = encoded({});
        at::Tensor mixed = whole;
        for (const auto& text : tokens.texts) {
            const auto unseen = places_in_chunk(text, chunk, length);
            // Without a text of another chunk, this one is the same.
            if (text.weight < 1 && !unseen.empty())
                mixed = mixed + (encoded(unseen) - whole) * (share_without(text.weight) / shares);
        }
        chunks.push_back(mixed.to(empty.scalar_type()));
    }
    return at::cat(chunks, 1);
}

}  // namespace diffapple
