// Short runs of Stable Diffusion's pipelines, text and noise to picture, against the same runs in double precision on
// the CPU.
#include "diffapple/pipelines/stable_diffusion.h"

#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#include "diffapple/models/clip_text.h"
#include "diffapple/models/component_descriptions.h"
#include "parts.h"

namespace diffapple::selftest {
namespace {

constexpr int64_t text_width = 32, text_length = 16, vocabulary = 100, pooled_width = 24;
constexpr Size latent_size{.width = 12, .height = 8}, full_size{.width = 24, .height = 16};

template <typename Config>
Config read(const nlohmann::json& json) {
    return Config::from_json(JsonFields(json, "selftest"));
}

UNet2DConditionConfig unet_config(const nlohmann::json& changes) {
    nlohmann::json config{{"sample_size", latent_size.height},
                          {"down_block_types", {"CrossAttnDownBlock2D", "DownBlock2D"}},
                          {"up_block_types", {"UpBlock2D", "CrossAttnUpBlock2D"}},
                          {"block_out_channels", {32, 64}},
                          {"layers_per_block", 1},
                          {"attention_head_dim", 4},
                          {"cross_attention_dim", text_width},
                          {"norm_num_groups", 8}};
    config.update(changes);
    return read<UNet2DConditionConfig>(config);
}

AutoencoderKLConfig vae_config() {
    return read<AutoencoderKLConfig>({{"block_out_channels", {16, 32}},
                                      {"down_block_types", {"DownEncoderBlock2D", "DownEncoderBlock2D"}},
                                      {"up_block_types", {"UpDecoderBlock2D", "UpDecoderBlock2D"}},
                                      {"layers_per_block", 1},
                                      {"latent_channels", 4},
                                      {"norm_num_groups", 8},
                                      {"sample_size", 16},
                                      {"force_upcast", false}});  // one dtype for all components
}

ClipTextConfig text_config(bool projects) {
    nlohmann::json config{{"vocab_size", vocabulary}, {"hidden_size", text_width},
                          {"intermediate_size", 64},  {"num_hidden_layers", 2},
                          {"num_attention_heads", 4}, {"max_position_embeddings", text_length},
                          {"eos_token_id", 2},        {"projection_dim", pooled_width}};
    if (projects) config["architectures"] = {"CLIPTextModelWithProjection"};
    return read<ClipTextConfig>(config);
}

/// Other ids for every text.
ClipTokenizer::Padded ids_of(const std::string& text) {
    constexpr int64_t stride = 37;
    ClipTokenizer::Padded padded;
    for (int64_t i = 0; i < text_length; ++i)
        padded.ids.push_back((i * stride + static_cast<int64_t>(text.size())) % vocabulary);
    return padded;
}

/// The shape of one pipeline's model, and how its run differs.
struct Shape {
    nlohmann::json unet = nlohmann::json::object();  ///< keys that replace those of SD v1.5's shape
    const char* scheduler;
    double guidance_scale;
    bool inpaints = false, is_xl = false;
};

/// Both copies of a pipeline.
struct PipelineTwins {
    std::unique_ptr<Pipeline> tested, exact;
};

/// A component that is in memory already.
template <typename Model>
ComponentDescription made(const std::string& name, const std::shared_ptr<Model>& model) {
    return {.name = name, .load = [model](const Placement&) { return model; }};
}

PipelineTwins make_pipelines(const Shape& shape, const Placement& placement) {
    StableDiffusionConfig config{.unet = unet_config(shape.unet), .vae = vae_config()};
    config.text_encoders = {"text_encoder"};
    if (shape.is_xl) config.text_encoders.emplace_back("text_encoder_2");
    std::vector<ComponentDescription> tested, exact;
    const auto add = [&](const std::string& name, const auto& twins) {
        tested.push_back(made(name, twins.tested));
        exact.push_back(made(name, twins.exact));
    };
    const auto packed = [](const auto& twins) {
        nn::pack_weights(*twins.tested);
        return twins;
    };
    add("unet", packed(make_twins<UNet2DConditionModel>(config.unet, placement)));
    add("vae", packed(make_twins<AutoencoderKL>(config.vae, placement)));
    for (const auto& name : config.text_encoders) {
        add(name, make_twins<ClipTextModel>(text_config(/*projects=*/name != "text_encoder"), placement));
        const auto tokenize = std::make_shared<Tokenize>(Tokenize{.padded = ids_of, .weighted = {}});
        add(tokenizer_of(name), Twins<Tokenize>{.tested = tokenize, .exact = tokenize});
    }
    return {.tested = std::make_unique<StableDiffusion>(tested, config, placement),
            .exact = std::make_unique<StableDiffusion>(exact, config, Placement{at::kCPU, at::kDouble})};
}

/// A picture of all levels, of which the left half is painted anew.
std::shared_ptr<const PictureInputs> half_masked_picture() {
    PictureInputs inputs{.image = blank_image(full_size.width, full_size.height, 3),
                         .mask = blank_image(full_size.width, full_size.height, 1)};
    auto& levels = inputs.image.pixels;
    for (size_t i = 0; i < levels.size(); ++i) levels[i] = static_cast<uint8_t>(255 * i / (levels.size() - 1));
    constexpr auto width = static_cast<size_t>(full_size.width);
    for (size_t i = 0; i < inputs.mask->pixels.size(); ++i) inputs.mask->pixels[i] = i % width < width / 2 ? 255 : 0;
    return std::make_shared<PictureInputs>(std::move(inputs));
}

/// Two pictures of a model.
at::Tensor run(const Shape& shape, Pipeline& pipeline) {
    constexpr uint64_t seed = 8;
    constexpr int64_t steps = 3;
    const Prompt first{.text = "a", .text_2 = "a"}, second{.text = "bbb", .text_2 = "bb"}, negative{.text = "cc"};
    pipeline.prepare({first, second, negative}, [](const std::string&, size_t) {});
    const nlohmann::json config{
        {"beta_start", 0.00085}, {"beta_end", 0.012}, {"beta_schedule", "scaled_linear"}, {"skip_prk_steps", true}};
    const auto scheduler = make_scheduler(shape.scheduler, config, "selftest", {.steps = steps});
    NoiseSource noise(seed);
    const BatchRequest request{.pictures = 2,
                               .size = full_size,
                               .prompts = {first, second},
                               .negative_prompt = negative,
                               .guidance = {.scale = shape.guidance_scale},
                               .inputs = shape.inpaints ? half_masked_picture() : nullptr};
    return pipeline.decode(pipeline.sample(request, *scheduler, noise, [](size_t, size_t) {}).sample);
}

Check run_check(const std::string& name, const Shape& shape) {
    return {name, [=](const Placement& placement) {
                constexpr int64_t roundings = 400;  // of 3 turns and the decoder; guidance makes the first ones larger
                const auto twins = make_pipelines(shape, placement);
                const at::Tensor exact = run(shape, *twins.exact);
                return compare(run(shape, *twins.tested), exact.to(at::kDouble), placement, roundings);
            }};
}

}  // namespace

std::vector<Check> stable_diffusion_checks() {
    const nlohmann::json nine_channels{{"in_channels", 9}, {"use_linear_projection", true}};
    constexpr int64_t time_ids = 6, time_id_width = 8;
    const nlohmann::json added_embedding{
        {"use_linear_projection", true},
        {"cross_attention_dim", 2 * text_width},
        {"transformer_layers_per_block", {1, 2}},
        {"addition_embed_type", "text_time"},
        {"addition_time_embed_dim", time_id_width},
        {"projection_class_embeddings_input_dim", time_ids * time_id_width + pooled_width}};
    return {run_check("text to image, guided", {.scheduler = "dpmsolver++", .guidance_scale = 3}),
            run_check("inpainting, 9 channels",
                      {.unet = nine_channels, .scheduler = "pndm", .guidance_scale = 3, .inpaints = true}),
            run_check("SDXL, added embedding",
                      {.unet = added_embedding, .scheduler = "euler-a", .guidance_scale = 0, .is_xl = true})};
}

}  // namespace diffapple::selftest
