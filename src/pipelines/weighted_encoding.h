// What a text encoder makes of a prompt with weights.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "diffapple/text/weighted_tokens.h"

namespace diffapple {

/// From the ids of one chunk, of which no token attends to those at the places `unseen`, to [1, L, D].
using EncodeChunk = std::function<at::Tensor(const std::vector<int64_t>& ids, const std::vector<int64_t>& unseen)>;

/// A part of a prompt: [1, chunks * L, D]. `empty` [1, L, D] is the encoded empty text. As the Python package compel
/// (2.5, class Compel) computes it: of every token, the difference to the empty text's is multiplied by its weight; and
/// for each text of a weight w below 1, the result is mixed with what is made without seeing that text, in the
/// proportion of 1 to tan((1 - w) * pi / 2): at 1/2 each has a half, at 0 the text is gone.
at::Tensor encode_weighted(const WeightedTokens& tokens, const at::Tensor& empty, const EncodeChunk& encode);

}  // namespace diffapple
