// Divides normalised text into the words that BPE never joins. Private to the text layer.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace diffapple {

/// The words of normalised text, in order: the matches of CLIP's pattern
///   <\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+
/// each divided again by GPT-2's pattern, which takes only the first two of these apart.
std::vector<std::string> split_words(std::string_view text);

}  // namespace diffapple
