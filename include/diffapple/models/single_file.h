// A checkpoint in one file, mostly under the names of the original code (LDM, SGM): .safetensors, .ckpt, .gguf ...
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "diffapple/io/weights.h"

namespace diffapple {

/// What the tensors of a single file say it is, and what such a file takes for granted.
struct SingleFileKind {
    std::string name;                               ///< "Stable Diffusion v1"
    std::map<std::string, nlohmann::json> configs;  ///< by their place in diffusers layout: "unet/config.json"
    std::map<std::string, std::string> pads;        ///< pad token by tokenizer: "tokenizer_2"
    std::string guessed;  ///< what of it only the file's name says, and how to choose otherwise; "": nothing
};

struct SingleFilePlace;

class SingleFile {
public:
    /// Reads the header. Throws Error naming the file where it is damaged or not of a known form.
    explicit SingleFile(const std::filesystem::path& path);

    const std::filesystem::path& path() const { return path_; }
    /// The name that its user knows it by: the file's without its extension.
    std::string name() const;

    /// Whether it holds tensors of a component ("unet", "vae", "text_encoder", "text_encoder_2").
    bool has(const std::string& component) const;
    /// What the names of a component's tensors begin with in such files, for messages about one that is missing.
    static std::string beginning_of(const std::string& component);

    /// A component's tensors by their names in diffusers; how many blocks there are, its config says. Where both a
    /// UNet's weights and their means (EMA) are there, the means are left out, as diffusers leaves them out. Throws
    /// Error where the component is absent.
    StoredTensors tensors(const std::string& component, const nlohmann::json& config) const;

    /// Recognises the model by its tensors alone, as diffusers' from_single_file; where these are the same for two
    /// models (SDXL and its Turbo; the two predictions of SD v2), by the file's name. Throws Error for a file of a
    /// model that is not supported.
    SingleFileKind kind() const;

private:
    const SingleFilePlace* find_place(const std::string& component) const;  ///< null: it has none
    bool has_beginning(const std::string& beginning) const;
    /// The shape of a tensor of the UNet, by its name in the original code and in diffusers; empty where there is none.
    std::vector<int64_t> unet_shape(const std::string& original, const std::string& current) const;

    std::filesystem::path path_;
    StoredTensors tensors_;
};

/// How the names of checkpoints in one file end.
const std::vector<std::string>& single_file_extensions();

/// Whether a file's name is that of a checkpoint in one file.
bool is_single_file_name(const std::filesystem::path& path);

/// The tensors of a single file that holds these components, given by their names in diffusers (a text encoder's
/// without "text_model."), each with its config.
StoredTensors original_layout(const std::map<std::string, StoredTensors>& components,
                              const std::map<std::string, nlohmann::json>& configs);

}  // namespace diffapple
