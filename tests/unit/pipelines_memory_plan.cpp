// The memory plan, over the stages of real pipelines whose components are only sizes.
#include "diffapple/pipelines/memory_plan.h"
#include "diffapple/pipelines/pixel_pipeline.h"
#include "diffapple/pipelines/stable_diffusion.h"
#include "pipelines_samples.h"

namespace diffapple {
namespace {

constexpr uint64_t million = 1'000'000;

template <typename Config>
Config parse(const nlohmann::json& config) {
    return Config::from_json(JsonFields(config, "test"));
}

ComponentDescription sized(const std::string& name, uint64_t quantisable, uint64_t other) {
    return {.name = name, .size = [=](const Placement&) { return ComponentSize{quantisable, other}; }};
}

StableDiffusion make_stable_diffusion(bool with_safety_checker, const nlohmann::json& vae = SampleCheckpoint::vae()) {
    std::vector<ComponentDescription> components{sized("unet", 800 * million, 60 * million),
                                                 sized("vae", 80 * million, 4 * million),
                                                 sized("text_encoder", 85 * million, 38 * million)};
    if (with_safety_checker) components.push_back(sized("safety_checker", 300 * million, 4 * million));
    return {components,
            {.unet = parse<UNet2DConditionConfig>(SampleCheckpoint::unet()),
             .vae = parse<AutoencoderKLConfig>(vae),
             .text_encoders = {"text_encoder"}},
            on_cpu};
}

PixelPipeline make_pixel_pipeline() {
    return {{sized("unet", 100 * million, 13 * million)}, parse<UNet2DConfig>(SampleCheckpoint::pixel_unet()), on_cpu};
}

MemoryRequest request_of(Size size, Keep keep = Keep::none) {
    return {.placement = on_cpu, .size = size, .keep = keep};
}

using Weights = std::vector<std::pair<std::string, uint64_t>>;

Weights weights_of(const Pipeline& pipeline, const MemoryRequest& request) {
    Weights weights;
    for (const auto& stage : pipeline.memory_stages(request)) weights.emplace_back(stage.name, stage.weights / million);
    return weights;
}

}  // namespace

TEST(MemoryStages, HoldWhatIsLoaded) {
    const auto model = make_stable_diffusion(/*with_safety_checker=*/false);
    const Size size{32, 16};
    EXPECT_EQ(weights_of(model, request_of(size)),
              (Weights{{"text encoding", 492}, {"denoising", 3440}, {"VAE decoding", 336}}));
    EXPECT_EQ(weights_of(model, request_of(size, Keep::loop)),
              (Weights{{"text encoding", 492}, {"denoising", 3776}, {"VAE decoding", 3776}}));
    EXPECT_EQ(weights_of(model, request_of(size, Keep::all)),
              (Weights{{"text encoding", 492}, {"denoising", 4268}, {"VAE decoding", 4268}}));
    MemoryRequest request = request_of(size);
    request.encodes_picture = true;
    EXPECT_EQ(weights_of(model, request)[1], (std::pair<std::string, uint64_t>{"VAE encoding", 336}));
    request.placement.weights = WeightStorage::int8;
    EXPECT_EQ(weights_of(model, request),
              (Weights{{"text encoding", 237}, {"VAE encoding", 336}, {"denoising", 1040}, {"VAE decoding", 336}}));
}

TEST(MemoryStages, CountATensorBesideTheWeightsWhileTheyAreLoaded) {
    std::vector<ComponentDescription> components{sized("unet", 800 * million, 0)};
    components[0].size = [](const Placement&) { return ComponentSize{800 * million, 0, 700 * million}; };
    const PixelPipeline model(components, parse<UNet2DConfig>(SampleCheckpoint::pixel_unet()), on_cpu);
    const auto plan = plan_memory(model, request_of({16, 8}), Tiling::off, 100'000 * million);
    EXPECT_EQ(plan.needed, (3200 + 2800) * million + base_memory(c10::kCPU)) << "more than its activations";
    EXPECT_NE(plan.describe().find("3200 MB of weights (loaded with 2800 MB beside them)"), std::string::npos)
        << plan.describe();
}

TEST(MemoryStages, CountTheSafetyChecker) {
    const auto model = make_stable_diffusion(/*with_safety_checker=*/true);
    const Size size{32, 16};
    EXPECT_EQ(weights_of(model, request_of(size)),
              (Weights{{"text encoding", 492}, {"denoising", 3440}, {"VAE decoding", 336}, {"safety check", 1216}}));
    EXPECT_EQ(weights_of(model, request_of(size, Keep::loop)),
              (Weights{{"text encoding", 492}, {"denoising", 4992}, {"VAE decoding", 4992}, {"safety check", 4992}}));
    EXPECT_EQ(weights_of(model, request_of(size, Keep::all)).back().second, 5484U);
    EXPECT_GT(model.memory_stages(request_of(size)).back().activations, 0U);
}

TEST(MemoryStages, ActivationsGrowWithTheBatchTheSizeAndTheGuidance) {
    const auto model = make_stable_diffusion(false);
    const auto denoising = [&](MemoryRequest request) { return model.memory_stages(request)[1].activations; };
    // Latents are half a picture's side; the first block has 8 channels; a share of the UNet's weights comes on top.
    const auto share = static_cast<uint64_t>(0.16 * 4 * 860 * million);
    const uint64_t tensors = 35 * uint64_t{8} * 64 * 32 * 4;
    MemoryRequest request = request_of({128, 64});
    EXPECT_EQ(denoising(request), tensors + share);
    request.guided = true;
    EXPECT_EQ(denoising(request), 2 * tensors + share);
    request.pictures = 3;
    EXPECT_EQ(denoising(request), 6 * tensors + share);
}

TEST(MemoryStages, OfAPixelModelAreOne) {
    const auto model = make_pixel_pipeline();
    EXPECT_EQ(weights_of(model, request_of({16, 8}, Keep::all)), (Weights{{"denoising", 452}}));
    const auto activations = [&](MemoryRequest request) { return model.memory_stages(request).front().activations; };
    MemoryRequest request = request_of({256, 256});
    const uint64_t one = activations(request);
    request.pictures = 2;
    EXPECT_GT(activations(request), one);
    request.placement.dtype = c10::kBFloat16;
    EXPECT_LT(activations(request), one + one);
}

/// Peaks of whole runs of two steps, resident memory on Linux (glibc), version 0.1.0.
TEST(MemoryPlan, OfAPixelModelIsNearTheMeasuredPeak) {
    struct Measured {
        const char* config;  ///< in the project
        uint64_t parameters;
        c10::ScalarType dtype;
        int64_t pictures, side;
        double megabytes;
    };
    const char *const demo = "models/ddpm-cat-demo/unet/config.json", *const cat =
                                                                          "tests/data/ddpm-cat-256/config.json";
    constexpr uint64_t of_demo = 5'578'499, of_cat = 113'673'219;
    const std::vector<Measured> measured{
        {demo, of_demo, c10::kFloat, 1, 64, 182},     {demo, of_demo, c10::kFloat, 8, 64, 251},
        {demo, of_demo, c10::kFloat, 1, 256, 325},    {demo, of_demo, c10::kFloat, 32, 64, 432},
        {demo, of_demo, c10::kBFloat16, 1, 64, 165},  {demo, of_demo, c10::kBFloat16, 8, 64, 200},
        {demo, of_demo, c10::kBFloat16, 1, 256, 241}, {demo, of_demo, c10::kBFloat16, 32, 64, 294},
        {cat, of_cat, c10::kFloat, 1, 64, 717},       {cat, of_cat, c10::kFloat, 1, 256, 954},
        {cat, of_cat, c10::kFloat, 4, 256, 1752},     {cat, of_cat, c10::kFloat, 1, 512, 1726},
        {cat, of_cat, c10::kBFloat16, 1, 64, 422},    {cat, of_cat, c10::kBFloat16, 1, 256, 647},
        {cat, of_cat, c10::kBFloat16, 4, 256, 1071}};
    const auto project = std::filesystem::path(__FILE__).parent_path().parent_path().parent_path();
    for (const auto& [config, parameters, dtype, pictures, side, megabytes] : measured) {
        const Placement placement{c10::kCPU, dtype};
        const PixelPipeline model({sized("unet", 0, parameters)}, parse<UNet2DConfig>(read_json_file(project / config)),
                                  placement);
        const MemoryRequest request{.placement = placement, .size = {side, side}, .pictures = pictures};
        const auto planned = static_cast<double>(plan_memory(model, request, Tiling::off, 0).needed) / million;
        EXPECT_GT(planned, 0.9 * megabytes) << config << ' ' << dtype << ' ' << pictures << ' ' << side;
        EXPECT_LT(planned, 1.25 * megabytes) << config << ' ' << dtype << ' ' << pictures << ' ' << side;
    }
}

/// A Mac with 16 GB, of which Metal recommends 11.45 GB for a program, and where the system and a browser hold 6 GB.
TEST(MemoryPlan, FitsEveryModelOfTheStudyOnAMacWith16Gigabytes) {
    constexpr uint64_t free = 10'000 * million;
    const auto config_of = [](const char* model, const char* component) {
        const auto project = std::filesystem::path(__FILE__).parent_path().parent_path().parent_path();
        return read_json_file(project / "tests" / "data" / model / component / "config.json");
    };
    struct Model {
        const char* name;
        uint64_t unet;
        std::vector<uint64_t> text_encoders;
        Size own;
        bool guided, encodes_picture;
        c10::ScalarType vae;
    };
    const std::vector<Model> models{
        {"sd-v1-5", 859'520'964, {123'060'480}, {512, 512}, true, false, c10::kHalf},
        {"sd-v2-inpainting", 865'925'124, {340'387'840}, {512, 512}, true, true, c10::kHalf},
        {"sdxl-turbo", 2'567'463'684, {123'060'480, 694'659'840}, {512, 512}, false, false, c10::kFloat}};
    for (const auto& model : models) {
        const Placement placement{c10::kMPS, c10::kHalf};
        std::vector<ComponentDescription> components{sized("unet", model.unet, 0), sized("vae", 0, 83'653'863)};
        StableDiffusionConfig config{.unet = parse<UNet2DConditionConfig>(config_of(model.name, "unet")),
                                     .vae = parse<AutoencoderKLConfig>(config_of(model.name, "vae"))};
        for (const uint64_t parameters : model.text_encoders) {
            config.text_encoders.push_back(config.text_encoders.empty() ? "text_encoder" : "text_encoder_2");
            components.push_back(sized(config.text_encoders.back(), parameters, 0));
        }
        const StableDiffusion pipeline(components, config, placement);
        EXPECT_EQ(pipeline.dtypes().at("vae"), model.vae) << model.name;
        for (const Size size : {model.own, Size{1024, 1024}}) {
            const MemoryRequest request{.placement = placement,
                                        .size = size,
                                        .guided = model.guided,
                                        .encodes_picture = model.encodes_picture,
                                        .keep = Keep::loop};
            const MemoryPlan plan = plan_memory(pipeline, request, std::nullopt, free);
            EXPECT_TRUE(plan.fits()) << model.name << ' ' << size.width << ": " << plan.describe();
            EXPECT_GT(plan.needed, base_memory(c10::kMPS) + 2 * model.unet) << model.name;
            if (size == model.own) EXPECT_EQ(plan.tiling, Tiling::off) << model.name << ": " << plan.describe();
        }
    }
    const auto cat = parse<UNet2DConfig>(config_of("ddpm-cat-256", "."));
    const Placement placement{c10::kMPS, c10::kHalf};
    const PixelPipeline pixels({sized("unet", 0, 113'673'219)}, cat, placement);
    for (const int64_t side : {256, 1024})
        EXPECT_TRUE(plan_memory(pixels, {.placement = placement, .size = {side, side}}, {}, free).fits()) << side;
}

TEST(MemoryPlan, TheVaesAttentionIsBoundedOnMps) {
    const auto activations = [](c10::DeviceType device, int64_t side) {
        nlohmann::json vae = SampleCheckpoint::vae();
        const auto model = make_stable_diffusion(false, vae);
        MemoryRequest request = request_of({side, side});
        request.placement = {device, c10::kFloat};
        return model.memory_stages(request).back().activations;
    };
    const auto products = [&](int64_t side) { return activations(c10::kMPS, side) - activations(c10::kCPU, side); };
    constexpr uint64_t latents_of_128 = 64 * 64;  // latents are half a picture's side
    EXPECT_NEAR(static_cast<double>(products(128)), 3.0 * latents_of_128 * latents_of_128 * 4, 2);
    EXPECT_NEAR(static_cast<double>(products(2048)), 3.0 * (512 << 20), 2);
}

TEST(MemoryPlan, KeepsAsMuchAsFits) {
    const auto model = make_stable_diffusion(true);
    const MemoryRequest request = request_of({32, 16}, Keep::all);
    const auto plan = [&](uint64_t free) { return plan_memory(model, request, Tiling::off, free); };
    const MemoryPlan all = plan(100'000 * million);
    EXPECT_EQ(all.keep, Keep::all);
    EXPECT_EQ(all.needed, largest_stage(all.stages).bytes() + base_memory(c10::kCPU));
    EXPECT_NE(all.describe().find("all components stay loaded"), std::string::npos) << all.describe();
    const MemoryPlan loop = plan(all.needed - 1);
    EXPECT_EQ(loop.keep, Keep::loop);
    const MemoryPlan none = plan(loop.needed - 1);
    EXPECT_EQ(none.keep, Keep::none);
    EXPECT_TRUE(none.fits());
    EXPECT_FALSE(plan(none.needed - 1).fits());
}

TEST(MemoryPlan, TilesOnlyWhereTheVaeWouldNotFit) {
    const auto model = make_stable_diffusion(false);
    const MemoryRequest request = request_of({4096, 4096});
    const MemoryPlan whole = plan_memory(model, request, std::nullopt, 100'000 * million);
    EXPECT_EQ(whole.tiling, Tiling::off);
    EXPECT_EQ(plan_memory(model, request, std::nullopt, whole.needed - 1).tiling, Tiling::on);
    EXPECT_EQ(plan_memory(model, request, Tiling::off, whole.needed - 1).tiling, Tiling::off);
}

TEST(MemoryPlan, OfAPixelModelSaysNothingOfOtherComponents) {
    const auto model = make_pixel_pipeline();
    const auto text = plan_memory(model, request_of({16, 8}), Tiling::off, 100'000 * million).describe();
    EXPECT_NE(text.find("memory plan: denoising 452 MB of weights"), std::string::npos) << text;
    EXPECT_EQ(text.find("VAE"), std::string::npos) << text;
}

TEST(MemoryAdvice, NamesWhatWouldFit) {
    const auto model = make_stable_diffusion(false);
    const MemoryRequest request = request_of({32, 16});
    const uint64_t needed = plan_memory(model, request, Tiling::on, 0).needed;
    EXPECT_TRUE(advise(model, request, needed - 1).starts_with("--dtype bf16 ("));
    EXPECT_TRUE(advise(model, request, needed / 2).starts_with("--weights int8 ("));
    EXPECT_EQ(advise(model, request, 0), "");
}

TEST(MemoryAdvice, NamesOnlyOptionsOfTheModel) {
    const auto model = make_pixel_pipeline();
    MemoryRequest request = request_of({1024, 1024});
    request.pictures = 4;
    const uint64_t needed = plan_memory(model, request, {}, 0).needed;
    EXPECT_TRUE(advise(model, request, needed - 1).starts_with("--dtype bf16 ("));
    request.placement.dtype = c10::kBFloat16;
    const uint64_t in_bf16 = plan_memory(model, request, {}, 0).needed;
    EXPECT_TRUE(advise(model, request, in_bf16 - 1).starts_with("--batch-size 1 ("));
    request.pictures = 1;
    const uint64_t of_one = plan_memory(model, request, {}, 0).needed;
    EXPECT_TRUE(advise(model, request, of_one - 1).starts_with("--width 16 --height 8 ("));
    EXPECT_EQ(advise(model, request, 0), "");
}

}  // namespace diffapple
