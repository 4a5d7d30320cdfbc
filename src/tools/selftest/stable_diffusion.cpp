// Short runs of Stable Diffusion's pipelines, text and noise to picture, against the same runs in double precision on
// the CPU.
#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#include "diffapple/pipelines/inpaint.h"
#include "diffapple/pipelines/text_to_image.h"
#include "parts.h"

namespace diffapple::selftest {
namespace {

constexpr int64_t text_width = 32, text_length = 16, vocabulary = 100, pooled_width = 24;
constexpr int64_t latent_height = 8, latent_width = 12, factor = 2;  // factor: pixels per latent

template <typename Config>
Config read(const nlohmann::json& json) {
    return Config::from_json(JsonFields(json, "selftest"));
}

UNet2DConditionConfig unet_config(const nlohmann::json& changes) {
    nlohmann::json config{{"sample_size", latent_height},
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
    std::unique_ptr<StableDiffusion> tested, exact;
};

PipelineTwins make_pipelines(const Shape& shape, const Placement& placement) {
    StableDiffusionConfig config{.unet = unet_config(shape.unet), .vae = vae_config()};
    config.text_encoders = {"text_encoder"};
    if (shape.is_xl) config.text_encoders.emplace_back("text_encoder_2");
    const auto unet = make_twins<UNet2DConditionModel>(config.unet, placement);
    const auto vae = make_twins<AutoencoderKL>(config.vae, placement);
    const auto source_of = [](const std::shared_ptr<ClipTextModel>& model) {
        return PromptEncoder::Source{ids_of, [model](const Placement&, const OnLoaded&) { return model; }};
    };
    std::vector<PromptEncoder::Source> tested_texts, exact_texts;
    for (size_t i = 0; i < config.text_encoders.size(); ++i) {
        const auto text = make_twins<ClipTextModel>(text_config(/*projects=*/i > 0), placement);
        tested_texts.push_back(source_of(text.tested));
        exact_texts.push_back(source_of(text.exact));
    }
    const auto pipeline = [&](const auto& the_unet, const auto& the_vae, const auto& texts, const Placement& where) {
        const StableDiffusionComponents components{.unet = [=](const Placement&, const OnLoaded&) { return the_unet; },
                                                   .vae = [=](const Placement&, const OnLoaded&) { return the_vae; },
                                                   .text_encoders = [=] { return texts; }};
        return std::make_unique<StableDiffusion>(components, config, where);
    };
    return {.tested = pipeline(unet.tested, vae.tested, tested_texts, placement),
            .exact = pipeline(unet.exact, vae.exact, exact_texts, {at::kCPU, at::kDouble})};
}

Start start_of(const Shape& shape, StableDiffusion& model, const std::vector<int64_t>& latents,
               const Scheduler& scheduler, NoiseSource& noise) {
    const c10::Device device = model.placement().device;
    if (!shape.inpaints) return start_from_noise(latents, {}, scheduler, device, noise);
    const at::Tensor image = at::linspace(-1, 1, 3 * factor * latent_height * factor * latent_width, at::kFloat)
                                 .reshape({1, 3, factor * latent_height, factor * latent_width});
    at::Tensor mask = at::zeros({1, 1, latent_height, latent_width}, at::kFloat);
    mask.slice(3, 0, latent_width / 2).fill_(1);
    return start_inpainting({.masked_image = model.encode_image(image), .mask = mask.to(device)}, /*noise_alone=*/true,
                            latents, {}, scheduler, noise);
}

/// Two pictures of a model.
at::Tensor run(const Shape& shape, StableDiffusion& model) {
    constexpr uint64_t seed = 8;
    constexpr int64_t steps = 3;
    const Prompt first{.text = "a", .text_2 = "a"}, second{.text = "bbb", .text_2 = "bb"}, negative{.text = "cc"};
    model.encode({first, second, negative}, [](const std::string&) {});
    const nlohmann::json config{
        {"beta_start", 0.00085}, {"beta_end", 0.012}, {"beta_schedule", "scaled_linear"}, {"skip_prk_steps", true}};
    const auto scheduler = make_scheduler(shape.scheduler, config, "selftest", {.steps = steps});
    NoiseSource noise(seed);
    StableDiffusion::Request request{
        .prompts = {first, second}, .negative_prompt = negative, .guidance = {.scale = shape.guidance_scale}};
    if (shape.is_xl) request.sizes = {.original = {16, 24}, .crop = {0, 0}, .target = {16, 24}};
    const Start start = start_of(shape, model, {2, 4, latent_height, latent_width}, *scheduler, noise);
    const auto latents = model.denoise(request, start, *scheduler, noise, [](size_t, size_t) {}).sample;
    return model.decode(latents);
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
