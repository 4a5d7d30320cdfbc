// Where the Hub's cache may lie. Private to the io layer.
#pragma once

#include <filesystem>
#include <vector>

namespace diffapple {

/// Folders that may hold the Hub's cache, in order: $HF_HUB_CACHE, $HF_HOME/hub, ~/.cache/huggingface/hub.
std::vector<std::filesystem::path> hub_cache_folders();

}  // namespace diffapple
