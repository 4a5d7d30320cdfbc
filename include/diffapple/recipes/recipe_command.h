// The command that makes a picture again, from its recipe.
#pragma once

#include <string>

#include "diffapple/recipes/recipe.h"

namespace diffapple {

/// The call that makes the picture's whole batch, for a shell: "diffapple sd15 --prompt 'a cat' --seed 3 ...". Files,
/// of which a recipe knows digests, and models whose name leads to a place are words in capitals (IMAGE, MASK, MODEL),
/// to be replaced. Every text is a stranger's, and quoted. "" where no call can say it: recipes of other programs, or
/// with values that a replay would refuse.
std::string command_of(const Recipe& recipe);

}  // namespace diffapple
