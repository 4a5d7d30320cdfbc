// Which of a model's files a run needs. Private to fetch.
#pragma once

#include <vector>

#include "hub_site.h"

namespace diffapple {

/// Configs, tokenizers, the scheduler, and of each component's weights one form: as find_weight_files (io/weights.h)
/// would take it, the fp16 variant first where `prefer_half`. Empty where the model is not in diffusers layout.
std::vector<HubFile> choose_files(const std::vector<HubFile>& files, bool prefer_half);

}  // namespace diffapple
