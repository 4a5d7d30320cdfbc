// What reads model_index.json and the configs of components. Nothing is built of them but samplers.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "diffapple/core/utf8.h"
#include "diffapple/io/json_fields.h"
#include "diffapple/models/autoencoder_kl.h"
#include "diffapple/models/checkpoint.h"
#include "diffapple/models/clip_image_processor.h"
#include "diffapple/models/clip_text.h"
#include "diffapple/models/safety_checker.h"
#include "diffapple/models/single_file.h"
#include "diffapple/models/unet_2d.h"
#include "diffapple/models/unet_2d_condition.h"
#include "diffapple/schedulers/scheduler.h"
#include "fuzz/fuzz.h"

namespace diffapple::fuzz {
namespace {

/// The study's configs of a component.
std::vector<std::string> study_configs(const std::string& component) {
    std::vector<std::string> texts;
    for (const StudyExperiment& experiment : study_experiments())
        if (const auto found = experiment.configs.find(component); found != experiment.configs.end())
            texts.push_back(found->second);
    return texts;
}

template <typename Config>
Target config_target(std::vector<std::string> seeds) {
    return {std::move(seeds), [](const std::string& text) {
                const nlohmann::json json = parse_json(text, "config.json");
                Config::from_json(JsonFields(json, "config.json"));
            }};
}

void read_scheduler(const std::string& text) {
    const nlohmann::json config = parse_json(text, "scheduler_config.json");
    accepts([&] { find_scheduler_name(config, "x"); });
    for (const std::string& name : scheduler_names()) {
        accepts([&] { a1111_sampler_name(name, config); });
        accepts([&] { make_scheduler(name, config, "x", {.steps = 3})->timesteps(); });
    }
}

/// Configs of networks with few layers, so that the lists of their names are short.
const std::map<std::string, nlohmann::json>& small_configs() {
    static const std::map<std::string, nlohmann::json> configs = [] {
        const StudyExperiment& xl = find_study_experiment("sdxl-turbo");
        std::map<std::string, nlohmann::json> all;
        for (const char* const component : {"unet", "vae", "text_encoder", "text_encoder_2"})
            all[component] = parse_json(xl.config(component), component);
        all["unet"].merge_patch({{"block_out_channels", {320, 640, 640}}, {"transformer_layers_per_block", {1, 1, 1}}});
        for (const char* const component : {"text_encoder", "text_encoder_2"}) all[component]["num_hidden_layers"] = 2;
        return all;
    }();
    return configs;
}

/// Lines "name 320,4,3,3": the tensors of a file, whose data is a hole.
void read_single_file(const std::string& lines) {
    constexpr int64_t most_bytes = 1 << 24;
    nlohmann::json header = nlohmann::json::object();
    int64_t end = 0;
    std::istringstream stream(lines);
    for (std::string line; std::getline(stream, line);) {
        std::istringstream words(line.substr(std::min(line.rfind(' '), line.size())));
        std::vector<int64_t> shape;
        int64_t bytes = 2;
        for (int64_t size = 0; shape.size() < 5 && words >> size; words.ignore(1)) {
            shape.push_back(std::clamp<int64_t>(size, 0, 1 << 12));
            bytes *= shape.back();
        }
        if (end + bytes > most_bytes) break;
        header[valid_utf8(line.substr(0, line.rfind(' ')))] = {
            {"dtype", "F16"}, {"shape", shape}, {"data_offsets", {end, end + bytes}}};
        end += bytes;
    }
    const std::string text = header.dump();
    const auto length = static_cast<uint64_t>(text.size());
    const auto path =
        folder().write("a.safetensors", std::string(reinterpret_cast<const char*>(&length), sizeof length) + text);
    std::filesystem::resize_file(path, sizeof length + text.size() + static_cast<uint64_t>(end));
    const SingleFile file(path);
    accepts([&] { file.kind(); });
    for (const auto& [component, config] : small_configs()) {
        if (!file.has(component)) continue;
        for (const auto& [name, tensor] : file.tensors(component, config)) tensor.read();
    }
}

std::vector<std::string> single_file_seeds() {
    return {
        "model.diffusion_model.input_blocks.0.0.weight 320,4,3,3\n"
        "model.diffusion_model.input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight 320,768\n"
        "model.diffusion_model.out.2.bias 4\nfirst_stage_model.decoder.up.0.block.0.norm1.weight 8\n"
        "first_stage_model.encoder.mid.attn_1.q.weight 8,8,1,1\n"
        "cond_stage_model.transformer.text_model.final_layer_norm.bias 8\n",
        "model.diffusion_model.input_blocks.0.0.weight 320,9,3,3\nmodel.diffusion_model.label_emb.0.0.weight 8,2816\n"
        "conditioner.embedders.1.model.transformer.resblocks.0.attn.in_proj_weight 24,8\n"
        "conditioner.embedders.1.model.text_projection 8,4\nconditioner.embedders.1.model.logit_scale 1\n"
        "conditioner.embedders.0.transformer.text_model.embeddings.position_ids 1,77\n",
        "input_blocks.0.0.weight 320,4,3,3\nlabel_emb.0.0.weight 8,2816\n"
        "cond_stage_model.1.transformer.text_model.encoder.layers.0.self_attn.in_proj.weight 24,8\n"
        "cond_stage_model.1.transformer.text_model.text_projection 8,4\n",
        "conv_in.weight 320,4,3,3\nup_blocks.0.resnets.0.norm1.weight 8\nadd_embedding.linear_1.weight 8,2816\n",
        "model_ema.diffusion_modelinput_blocks00weight 320,4,3,3\n"
        "model_ema.diffusion_modelinput_blocks21transformer_blocks0attn2to_kweight 320,1024\n"};
}

void read_index(const std::string& text) {
    folder().write("model_index.json", text);
    folder().write("scheduler_config.json", R"({"_class_name":"DDPMScheduler"})");
    folder().write("config.json", R"({"_class_name":"UNet2DModel"})");
    const Checkpoint checkpoint{.name = "x", .folder = folder().path()};
    accepts([&] { checkpoint.pipeline_class(); });
    accepts([&] { checkpoint.component_names(); });
    accepts([&] { checkpoint.scheduler_config(); });
    for (const char* const name : {"unet", "vae", "safety_checker", "scheduler"}) {
        accepts([&] { checkpoint.class_in_index(name); });
        accepts([&] { checkpoint.uses(name); });
        accepts([&] { checkpoint.component(name); });
    }
}

}  // namespace

const std::map<std::string, Target>& targets() {
    static const std::string index =
        R"({"_class_name":"StableDiffusionPipeline","_diffusers_version":"0.6.0","scheduler":["diffusers",)"
        R"("PNDMScheduler"],"unet":["diffusers","UNet2DConditionModel"],"vae":["diffusers","AutoencoderKL"],)"
        R"("safety_checker":[null,null],"requires_safety_checker":true})";
    static const std::string safety =
        R"({"projection_dim":8,"vision_config":{"hidden_size":16,"intermediate_size":8,"num_hidden_layers":1,)"
        R"("num_attention_heads":2,"image_size":8,"patch_size":4,"hidden_act":"quick_gelu","layer_norm_eps":1e-5}})";
    static const std::string processor =
        R"({"crop_size":{"height":8,"width":8},"do_resize":true,"do_center_crop":true,"do_normalize":true,)"
        R"("image_mean":[0.5,0.5,0.5],"image_std":[0.5,0.5,0.5],"resample":3,"size":{"shortest_edge":8}})";
    static const std::map<std::string, Target> all = {
        {"model_index", {{index}, read_index}},
        {"scheduler", {study_configs("scheduler"), read_scheduler}},
        {"unet_2d", config_target<UNet2DConfig>(study_configs("unet"))},
        {"unet_2d_condition", config_target<UNet2DConditionConfig>(study_configs("unet"))},
        {"autoencoder", config_target<AutoencoderKLConfig>(study_configs("vae"))},
        {"text_encoder", config_target<ClipTextConfig>(study_configs("text_encoder"))},
        {"safety_checker", config_target<SafetyCheckerConfig>({safety})},
        {"single_file", {single_file_seeds(), read_single_file}},
        {"image_processor", config_target<ClipImageProcessorConfig>({processor})},
    };
    return all;
}

}  // namespace diffapple::fuzz
