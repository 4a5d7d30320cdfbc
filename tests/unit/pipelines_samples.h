// Small checkpoints with random weights, written to a temporary folder.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "diffapple/io/json_fields.h"
#include "diffapple/io/weights.h"
#include "diffapple/models/autoencoder_kl.h"
#include "diffapple/models/checkpoint.h"
#include "diffapple/models/clip_text.h"
#include "diffapple/models/safety_checker.h"
#include "diffapple/models/state_loading.h"
#include "diffapple/models/unet_2d.h"
#include "diffapple/models/unet_2d_condition.h"
#include "io_support.h"
#include "text_samples.h"

namespace diffapple {

const Placement on_cpu{c10::kCPU, c10::kFloat};

class SampleCheckpoint {
public:
    /// Makes pictures of 16x8 pixels without prompts.
    static nlohmann::json pixel_unet() {
        return {{"_class_name", "UNet2DModel"},
                {"sample_size", {8, 16}},
                {"down_block_types", {"DownBlock2D", "AttnDownBlock2D"}},
                {"up_block_types", {"AttnUpBlock2D", "UpBlock2D"}},
                {"block_out_channels", {8, 16}},
                {"attention_head_dim", 8},
                {"layers_per_block", 1},
                {"norm_num_groups", 4}};
    }
    static nlohmann::json unet() {
        return {{"_class_name", "UNet2DConditionModel"},
                {"sample_size", {8, 16}},
                {"down_block_types", {"CrossAttnDownBlock2D", "DownBlock2D"}},
                {"up_block_types", {"UpBlock2D", "CrossAttnUpBlock2D"}},
                {"block_out_channels", {8, 16}},
                {"layers_per_block", 1},
                {"attention_head_dim", 2},
                {"cross_attention_dim", 16},
                {"norm_num_groups", 4}};
    }
    static nlohmann::json vae() {
        return {{"_class_name", "AutoencoderKL"},
                {"block_out_channels", {8, 8}},
                {"down_block_types", {"DownEncoderBlock2D", "DownEncoderBlock2D"}},
                {"up_block_types", {"UpDecoderBlock2D", "UpDecoderBlock2D"}},
                {"layers_per_block", 1},
                {"norm_num_groups", 4}};
    }
    static nlohmann::json text_encoder() {
        return {{"architectures", {"CLIPTextModel"}},
                {"vocab_size", 22},
                {"hidden_size", 16},
                {"intermediate_size", 32},
                {"num_hidden_layers", 2},
                {"num_attention_heads", 2},
                {"max_position_embeddings", 6},
                {"eos_token_id", 20}};
    }
    static nlohmann::json safety_checker() {
        return {{"architectures", {"StableDiffusionSafetyChecker"}},
                {"projection_dim", 16},
                {"vision_config",
                 {{"hidden_size", 16},
                  {"intermediate_size", 32},
                  {"num_hidden_layers", 1},
                  {"num_attention_heads", 2},
                  {"image_size", 8},
                  {"patch_size", 4}}}};
    }

    void write_pixel_model(const nlohmann::json& config = pixel_unet()) const {
        write_component<UNet2DModel, UNet2DConfig>("unet", config);
    }
    void write_stable_diffusion() const {
        write_component<UNet2DConditionModel, UNet2DConditionConfig>("unet", unet());
        write_component<AutoencoderKL, AutoencoderKLConfig>("vae", vae());
        write_component<ClipTextModel, ClipTextConfig>("text_encoder", text_encoder(), "model.safetensors");
        write_component<SafetyCheckerModel, SafetyCheckerConfig>("safety_checker", safety_checker(),
                                                                 "model.safetensors");
        for (const auto& [file, text] : small_tokenizer_files) write("tokenizer/" + file, text);
        write("feature_extractor/preprocessor_config.json", R"({"crop_size": 8, "size": 8})");
    }

    template <typename Model, typename Config>
    void write_component(const std::string& name, const nlohmann::json& config,
                         const std::string& file = "diffusion_pytorch_model.safetensors") const {
        write(name + "/config.json", config.dump());
        Model model(Config::from_json(JsonFields(config, name)));
        load_random_state(model, /*seed=*/1, on_cpu);
        std::map<std::string, at::Tensor> tensors;
        for (const auto& parameter : model.named_parameters())
            tensors[parameter.key()] = parameter.value().contiguous();
        save_safetensors(folder_.path() / name / file, tensors);
    }
    void write(const std::string& file, const std::string& content) const { folder_.write(file, content); }
    std::filesystem::path operator/(const std::string& file) const { return folder_.path() / file; }
    Checkpoint checkpoint() const { return {.name = "test", .folder = folder_.path()}; }

private:
    TemporaryFolder folder_;
};

}  // namespace diffapple
