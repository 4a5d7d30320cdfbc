// Model folders: the project's models/ folder and the local cache of the Hugging Face Hub. Never touches the network.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace diffapple {

/// Folders that may hold the Hub's cache, in the order in which they are searched. huggingface_hub uses the first one
/// that applies: $HF_HUB_CACHE, $HUGGINGFACE_HUB_CACHE, $HF_HOME/hub, $XDG_CACHE_HOME/huggingface/hub,
/// ~/.cache/huggingface/hub, with ~ and $VARIABLE inside the variables expanded as Python does.
std::vector<std::filesystem::path> hub_cache_folders();

/// The file in which the Hub's client keeps its token: $HF_TOKEN_PATH, $HF_HOME/token,
/// $XDG_CACHE_HOME/huggingface/token or ~/.cache/huggingface/token.
std::filesystem::path hub_token_file();

/// Whether a text is a Hub id ("org/name"), whose parts cannot lead to another folder.
bool is_hub_id(const std::string& id);

/// The folder of a Hub id inside the cache: models--org--name.
std::string hub_folder_name(const std::string& id);

/// The snapshot folder of a Hub id ("org/name", optionally "org/name@revision") in the local cache: the revision that
/// refs/<revision> (default main) points to, else the only or newest snapshot. Empty when it is not there.
std::optional<std::filesystem::path> find_hub_snapshot(const std::string& id);

/// A file of a model, as its user writes it: "org/name/path", optionally "org/name@revision/path".
struct HubFileName {
    std::string id;    ///< with the revision
    std::string path;  ///< inside the model; leads nowhere else
};
/// Absent where the text is no such name.
std::optional<HubFileName> parse_hub_file(const std::string& text);

/// Such a file in the snapshot of its model. Empty when it is not there.
std::optional<std::filesystem::path> find_hub_file(const std::string& name);

/// Whether a path stays inside the folder that it is joined to, and is plain text.
bool stays_inside(const std::string& path);

/// A snapshot of the Hub cache.
struct HubModel {
    std::string id;  ///< org/name
    std::filesystem::path snapshot;
    std::filesystem::path repository;  ///< the models--org--name folder: what removing the model removes
};
/// All models of the Hub's cache.
std::vector<HubModel> list_hub_models();

}  // namespace diffapple
