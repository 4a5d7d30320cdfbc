// Prompts with weights, as A1111's web UI writes them: "a (fat:1.3) cat [in fog] BREAK a sofa".
#pragma once

#include <string>
#include <vector>

namespace diffapple {

/// How a prompt is read.
enum class PromptSyntax {
    plain,     ///< as it stands, as in diffusers
    weighted,  ///< brackets are weights, and long prompts are read to their end
};

/// A text of one weight.
struct WeightedText {
    std::string text;  ///< not blank; without white space at its ends
    double weight = 1;
    bool operator==(const WeightedText&) const = default;
};

/// What stands between two BREAKs: it is encoded by itself. Neighbours differ in weight.
using WeightedPart = std::vector<WeightedText>;

constexpr double max_prompt_weight = 10;

/// Takes a prompt apart. "(x)" multiplies the weight of x by 1.1, "[x]" divides it by 1.1, "(x:1.3)" multiplies it by
/// 1.3; brackets nest. "\(" is a bracket that is meant. "BREAK" as a word of its own ends a part; parts without text
/// are left out, but for one that is all there is. Throws Error (exit code 2), naming the place, for brackets without
/// their counterparts, for weights that are no numbers from 0 to max_prompt_weight, and for what web UIs write with the
/// same characters and this program has not: "[a:b:0.5]", "[a|b]", "<lora:...>".
std::vector<WeightedPart> parse_weighted_prompt(const std::string& prompt);

/// The texts of all parts, with blanks between them.
std::string without_weights(const std::vector<WeightedPart>& parts);

}  // namespace diffapple
