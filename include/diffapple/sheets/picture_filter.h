// Choosing among finished pictures: by their settings, and in an order that people count in.
#pragma once

#include <string>
#include <vector>

#include "diffapple/recipes/picture_facts.h"

namespace diffapple {

/// The pictures whose settings are those of every condition: "steps=4", or one of several, "steps=4,8". Numbers are
/// equal as numbers. Throws Error (exit code 2) for a condition that is none, names no setting of the pictures, or
/// leaves none of them.
std::vector<PictureFacts> filter_pictures(std::vector<PictureFacts> pictures, const std::vector<std::string>& where);

/// The order in which numbers within texts count as numbers: "n2" before "n16".
bool natural_less(const std::string& a, const std::string& b);

}  // namespace diffapple
