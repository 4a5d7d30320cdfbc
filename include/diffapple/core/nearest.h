// "Did you mean ...?": of the words that there are, the one that a mistyped word is closest to.
#pragma once

#include <string>
#include <vector>

namespace diffapple {

/// The closest of `known` to `word` by the letters to add, drop, change or swap with their neighbour, without regard to
/// case; or the only one that it begins. "" where nothing is close.
std::string nearest(const std::string& word, const std::vector<std::string>& known);

/// "; did you mean --steps?", or "" where nothing is close.
std::string did_you_mean(const std::string& word, const std::vector<std::string>& known);

}  // namespace diffapple
