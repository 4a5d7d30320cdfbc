// CLIP's own merge list, which is part of the program (clip/merges.txt, MIT). Private to the text layer.
#pragma once

#include <string_view>

namespace diffapple {

/// merges.txt as the Hub's tokenizers have it: a line of its version, then 48,894 merges.
extern const std::string_view clip_merges;

}  // namespace diffapple
