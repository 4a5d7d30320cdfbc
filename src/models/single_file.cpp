#include "diffapple/models/single_file.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "diffapple/core/error.h"
#include "diffapple/core/text.h"
#include "diffapple/core/utf8.h"
#include "diffapple/io/json_fields.h"
#include "diffapple/models/clip_text.h"
#include "diffapple/study/study.h"
#include "original_keys.h"

namespace diffapple {

namespace fs = std::filesystem;
using nlohmann::json;

/// Where components are in a single file.
struct SingleFilePlace {
    /// How it names its tensors; of clip and current, as transformers and diffusers do, of flat_unet, without dots.
    enum class Naming { unet, flat_unet, vae, clip, open_clip, second_open_clip, current };

    const char* component;
    const char* beginning;  ///< of its tensors' names
    Naming naming;
    const char* witness;  ///< behind the beginning: with what the name of one of them begins
};

namespace {

using Naming = SingleFilePlace::Naming;

/// The first that fits counts. UNets and VAEs also stand alone in a file, without a beginning. Of the means of a UNet's
/// weights (EMA), diffusers reads none; they are read where there are no others.
const std::vector<SingleFilePlace>& places() {
    static const std::vector<SingleFilePlace> table{
        {"unet", "model.diffusion_model.", Naming::unet, ""},
        {"unet", "", Naming::unet, "input_blocks.0.0.weight"},
        {"unet", "", Naming::current, "up_blocks."},
        {"unet", "model_ema.diffusion_model", Naming::flat_unet, "input_blocks00weight"},
        {"vae", "first_stage_model.", Naming::vae, ""},
        {"vae", "vae.", Naming::vae, ""},
        {"vae", "", Naming::vae, "decoder.up."},
        {"vae", "", Naming::current, "decoder.up_blocks."},
        {"text_encoder", "cond_stage_model.transformer.", Naming::clip, ""},
        {"text_encoder", "cond_stage_model.model.", Naming::open_clip, ""},
        {"text_encoder", "conditioner.embedders.0.transformer.", Naming::clip, ""},
        {"text_encoder_2", "conditioner.embedders.1.model.", Naming::second_open_clip, ""},
        {"text_encoder_2", "cond_stage_model.1.transformer.", Naming::clip, ""},  // of stable-diffusion.cpp
    };
    return table;
}

/// Encodings of weights that need a number beside each tensor, without which they would be silently wrong.
bool is_scale(const std::string& name) {
    return name.ends_with(".scale_weight") || name.ends_with(".weight_scale") || name == "scaled_fp8";
}

/// What else people keep in such files, by names that only it has.
struct Stranger {
    const char* part;  ///< of a tensor's name
    const char* what;
};
constexpr std::array strangers{
    Stranger{"joint_blocks.", "a Stable Diffusion 3"},
    Stranger{"double_blocks.", "a FLUX model"},
    Stranger{"control_model.", "a ControlNet"},
    Stranger{"controlnet_cond_embedding.", "a ControlNet"},
    Stranger{"lora_unet_", "a LoRA, which changes a model but is none"},
    Stranger{"lora_te_", "a LoRA, which changes a model but is none"},
    Stranger{".lora_down.", "a LoRA, which changes a model but is none"},
    Stranger{".lora_A.", "a LoRA, which changes a model but is none"},
    Stranger{"emb_params", "a textual inversion, which belongs into a tokenizer"},
    Stranger{"motion_modules.", "an AnimateDiff motion module"},
    Stranger{"down_blocks.", "one component of a folder in diffusers layout: give the folder that holds its config"},
    Stranger{"text_model.", "a text encoder alone"},
    Stranger{"token_embd.", "a language model"},
};

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

/// A model of the study whose configs stand for a kind of files, and what is different of that kind.
struct KindRow {
    const char* id;
    const char* name;
    const char* study;     ///< experiment
    const char* pipeline;  ///< diffusers' class
    const char* changes;   ///< of its configs, as a JSON merge patch
};

/// The configs of the repositories that diffusers takes for such files (DIFFUSERS_DEFAULT_PIPELINE_PATHS of its
/// single_file_utils.py): v1-5, 2-1 (or 2-1-base), xl-base-1.0 (or sdxl-turbo), and their inpainting models. Of 2-1,
/// 2-1-base and xl-base-1.0, UNet and VAE are what diffusers' create_..._diffusers_config_from_ldm makes of Stability's
/// own yaml files (stablediffusion: v2-inference-v.yaml, v2-inference.yaml; generative-models: sd_xl_base.yaml), key by
/// key, with the sizes of the pictures; the schedulers are SCHEDULER_DEFAULT_CONFIG there, and 2-1's in its repository.
constexpr std::array kinds{
    KindRow{"v1", "Stable Diffusion v1", "sd15", "StableDiffusionPipeline", "{}"},
    KindRow{"v1 inpaint", "Stable Diffusion v1 inpainting", "sd15", "StableDiffusionInpaintPipeline", "{}"},
    KindRow{"v2", "Stable Diffusion v2 (768, v-prediction)", "sd2-inpaint", "StableDiffusionPipeline",
            R"({"unet/config.json": {"sample_size": 96, "upcast_attention": true},
                "vae/config.json": {"sample_size": 768},
                "scheduler/scheduler_config.json":
                    {"_class_name": "DDIMScheduler", "prediction_type": "v_prediction"}})"},
    KindRow{"v2 base", "Stable Diffusion v2 base (512)", "sd2-inpaint", "StableDiffusionPipeline", "{}"},
    KindRow{"v2 inpaint", "Stable Diffusion v2 inpainting", "sd2-inpaint", "StableDiffusionInpaintPipeline", "{}"},
    KindRow{"xl", "SDXL", "sdxl-turbo", "StableDiffusionXLPipeline",
            R"({"unet/config.json": {"sample_size": 128},
                "scheduler/scheduler_config.json": {"_class_name": "EulerDiscreteScheduler",
                                                    "timestep_spacing": "leading", "use_karras_sigmas": false}})"},
    KindRow{"xl turbo", "SDXL Turbo", "sdxl-turbo", "StableDiffusionXLPipeline", "{}"},
    KindRow{"xl inpaint", "SDXL inpainting", "sdxl-turbo", "StableDiffusionXLInpaintPipeline",
            R"({"unet/config.json": {"sample_size": 128},
                "scheduler/scheduler_config.json": {"_class_name": "EulerDiscreteScheduler",
                                                    "timestep_spacing": "leading", "use_karras_sigmas": false}})"},
};

/// model_index.json of a pipeline with these configs.
json make_index(const KindRow& row, const std::map<std::string, json>& configs, bool is_xl) {
    const auto class_of = [&](const std::string& file) { return configs.at(file).at("_class_name"); };
    json index{{"_class_name", row.pipeline},
               {"scheduler", {"diffusers", class_of("scheduler/scheduler_config.json")}},
               {"unet", {"diffusers", "UNet2DConditionModel"}},
               {"vae", {"diffusers", "AutoencoderKL"}},
               {"text_encoder", {"transformers", "CLIPTextModel"}},
               {"tokenizer", {"transformers", "CLIPTokenizer"}}};
    if (is_xl) {
        index["text_encoder_2"] = {"transformers", "CLIPTextModelWithProjection"};
        index["tokenizer_2"] = {"transformers", "CLIPTokenizer"};
        index["force_zeros_for_empty_prompt"] = true;
    } else {
        index["safety_checker"] = {nullptr, nullptr};
        index["feature_extractor"] = {nullptr, nullptr};
        index["requires_safety_checker"] = false;
    }
    return index;
}

SingleFileKind make_kind(const std::string& id, int64_t in_channels) {
    const auto row = std::find_if(kinds.begin(), kinds.end(), [&](const KindRow& known) { return known.id == id; });
    const StudyExperiment& study = find_study_experiment(row->study);
    SingleFileKind kind{.name = row->name};
    for (const auto& [component, text] : study.configs)
        kind.configs[component + (component == "scheduler" ? "/scheduler_config.json" : "/config.json")] =
            parse_json(text, component);
    const json changes = json::parse(row->changes);
    for (const auto& [file, change] : changes.items()) kind.configs[file].merge_patch(change);
    kind.configs["unet/config.json"]["in_channels"] = in_channels;
    kind.configs["model_index.json"] = make_index(*row, kind.configs, study.is_xl());
    const bool is_v1_or_xl = study.name != "sd2-inpaint";
    kind.pads = {{"tokenizer", is_v1_or_xl ? "<|endoftext|>" : "!"}, {"tokenizer_2", "!"}};
    return kind;
}

}  // namespace

SingleFile::SingleFile(const fs::path& path) : path_(path), tensors_(open_weights({{path}, {}})) {
    if (tensors_.empty()) fail(path_.string(), ": holds no tensors");
    for (const auto& [name, tensor] : tensors_)
        if (is_scale(name))
            fail(path_.string(), ": holds scaled 8-bit weights (", quote(name),
                 "), which are not supported; get the model in fp16, bf16 or plain fp8");
}

std::string SingleFile::name() const {
    return valid_utf8(path_.stem().string());
}

bool SingleFile::has_beginning(const std::string& beginning) const {
    const auto found = tensors_.lower_bound(beginning);
    return found != tensors_.end() && found->first.starts_with(beginning);
}

const SingleFilePlace* SingleFile::find_place(const std::string& component) const {
    for (const SingleFilePlace& place : places())
        if (place.component == component && has_beginning(std::string(place.beginning) + place.witness)) return &place;
    return nullptr;
}

bool SingleFile::has(const std::string& component) const {
    return find_place(component) != nullptr;
}

std::string SingleFile::beginning_of(const std::string& component) {
    std::vector<std::string> beginnings;
    for (const SingleFilePlace& place : places())
        if (place.component == component && *place.beginning) beginnings.emplace_back(place.beginning);
    return join(beginnings, " or ");
}

namespace {

KeyRules rules_of_naming(Naming naming, const JsonFields& config) {
    switch (naming) {
        case Naming::unet:
            return unet_keys(UNet2DConditionConfig::from_json(config));
        case Naming::flat_unet:
            return flat_unet_keys(UNet2DConditionConfig::from_json(config));
        case Naming::vae:
            return vae_keys(AutoencoderKLConfig::from_json(config));
        case Naming::clip:
            return clip_keys(ClipTextConfig::from_json(config).encoder.layers);
        case Naming::open_clip:
            return open_clip_keys(ClipTextConfig::from_json(config).encoder.layers, /*all=*/false);
        case Naming::second_open_clip:
            return open_clip_keys(ClipTextConfig::from_json(config).encoder.layers, /*all=*/true);
        default:
            return {};
    }
}

}  // namespace

StoredTensors SingleFile::tensors(const std::string& component, const json& config) const {
    const SingleFilePlace* const place = find_place(component);
    if (!place)
        fail(path_.string(), ": holds no ", component, " (no tensor begins with ", beginning_of(component), ")");
    const JsonFields fields(config, component + "/config.json");
    return with_current_names(tensors_, place->beginning, rules_of_naming(place->naming, fields));
}

std::vector<int64_t> SingleFile::unet_shape(const std::string& original, const std::string& current) const {
    const SingleFilePlace* const unet = find_place("unet");
    if (!unet) return {};
    std::string name = unet->naming == Naming::current ? current : original;
    if (unet->naming == Naming::flat_unet) std::erase(name, '.');
    const auto found = tensors_.find(unet->beginning + name);
    return found == tensors_.end() ? std::vector<int64_t>{} : found->second.shape;
}

namespace {

/// What a file that is no checkpoint of this program's models may be.
[[noreturn]] void refuse_stranger(const fs::path& path, const StoredTensors& tensors) {
    for (const Stranger& stranger : strangers)
        for (const auto& [name, tensor] : tensors)
            if (contains(name, stranger.part))
                fail(path.string(), ": is ", stranger.what, " (it holds ", quote(name), ")");
    fail(path.string(), ": is no checkpoint of Stable Diffusion v1, v2 or SDXL (no tensor begins with ",
         SingleFile::beginning_of("unet"), "; the first is ", quote(tensors.begin()->first), ")");
}

/// SDXL and its Turbo have the same tensors.
std::string kind_of_xl(const std::string& name, std::string& guessed) {
    const bool turbo = contains(lower_ascii(name), "turbo");
    guessed = concat("by its ",
                     turbo ? "name, it is an SDXL Turbo: Euler ancestral, 512x512"
                           : "tensors, it is an SDXL (a Turbo, whose tensors are the same, would have it in its name)",
                     "; --config DIR takes the configs of a folder instead");
    return turbo ? "xl turbo" : "xl";
}

/// The two predictions of SD v2 have the same tensors.
std::string kind_of_v2(const std::string& name, std::string& guessed) {
    const std::string text = lower_ascii(name);
    const bool base = contains(text, "512") || contains(text, "base");
    guessed =
        concat("by its ",
               base ? "name, it is a Stable Diffusion v2 base, which predicts noise"
                    : "tensors, it is a Stable Diffusion v2 that predicts v (one that predicts noise has the same "
                      "tensors, and would have 512 or base in its name)",
               "; --config DIR takes the configs of a folder instead");
    return base ? "v2 base" : "v2";
}

}  // namespace

SingleFileKind SingleFile::kind() const {
    constexpr int64_t mask_channels = 9, v2_width = 1024, v1_width = 768, refiner_width = 2560;
    const std::string to_text = "transformer_blocks.0.attn2.to_k.weight";
    const auto input = unet_shape("input_blocks.0.0.weight", "conv_in.weight");
    const auto added = unet_shape("label_emb.0.0.weight", "add_embedding.linear_1.weight");
    const auto text = unet_shape("input_blocks.2.1." + to_text, "down_blocks.0.attentions.1." + to_text);
    const bool alone = find_place("unet") && find_place("unet")->naming == Naming::current;  // and perhaps of a DDPM
    if (input.size() != 4 || (alone && added.empty() && text.empty())) refuse_stranger(path_, tensors_);
    const bool inpaints = input[1] == mask_channels;
    std::string guessed, id;
    if (!added.empty() && added.back() == refiner_width)
        fail(path_.string(), ": is SDXL's refiner, which is not supported");
    if (!added.empty())
        id = inpaints ? "xl inpaint" : kind_of_xl(name(), guessed);
    else if (!text.empty() && text.back() == v2_width)
        id = inpaints ? "v2 inpaint" : kind_of_v2(name(), guessed);
    else if (!text.empty() && text.back() == v1_width)
        id = inpaints ? "v1 inpaint" : "v1";
    else
        fail(
            path_.string(), ": its UNet is of no known kind (its attention to texts is ",
            text.empty() ? "where SD v1, v2 and SDXL have none" : concat(text.back(), " wide, not 768, 1024 or SDXL's"),
            "); give the folder of its configs, in diffusers layout, with --config DIR");
    SingleFileKind kind = make_kind(id, input[1]);
    kind.guessed = guessed;
    return kind;
}

const std::vector<std::string>& single_file_extensions() {
    static const std::vector<std::string> extensions{".safetensors", ".ckpt", ".pt", ".bin", ".gguf"};
    return extensions;
}

bool is_single_file_name(const fs::path& path) {
    const std::string extension = lower_ascii(path.extension().string());
    const auto& known = single_file_extensions();
    return std::find(known.begin(), known.end(), extension) != known.end();
}

StoredTensors original_layout(const std::map<std::string, StoredTensors>& components,
                              const std::map<std::string, json>& configs) {
    const bool is_xl = components.contains("text_encoder_2");
    StoredTensors whole;
    for (const auto& [component, tensors] : components) {
        const JsonFields config(configs.at(component), component + "/config.json");
        const bool open_clip = component == "text_encoder" && !is_xl && config.text("hidden_act", "") == "gelu";
        const auto place = std::find_if(places().begin(), places().end(), [&](const SingleFilePlace& known) {
            const bool of_xl = std::string(known.beginning).starts_with("conditioner.");
            return known.component == component && (!component.starts_with("text_encoder") || of_xl == is_xl) &&
                   (known.naming == Naming::open_clip) == open_clip;
        });
        if (place == places().end()) fail("component ", component, ": has no place in the original layout");
        const std::string inner = place->naming == Naming::clip ? "text_model." : "";
        whole.merge(with_original_names(tensors, place->beginning + inner, rules_of_naming(place->naming, config)));
    }
    return whole;
}

}  // namespace diffapple
