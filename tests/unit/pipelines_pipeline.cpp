// Pipelines behind their interface: which one a checkpoint gets, what is found out before sampling, what is loaded
// when.
#include "diffapple/pipelines/pipeline.h"

#include <ATen/ATen.h>

#include "pipelines_samples.h"

namespace diffapple {
namespace {

using Names = std::vector<std::string>;

const OnLostText no_matter = [](const std::string&, size_t) {};

std::unique_ptr<Scheduler> three_steps() {
    return make_scheduler("ddim", nlohmann::json::object(), "test", {.steps = 3});
}

class PixelPipelineTest : public testing::Test {
protected:
    SampleCheckpoint files;
};

class StableDiffusionTest : public testing::Test {
protected:
    StableDiffusionTest() { files.write_stable_diffusion(); }

    std::unique_ptr<Pipeline> open(bool with_safety_checker = true) const {
        return open_pipeline(files.checkpoint(), on_cpu, with_safety_checker);
    }
    std::string refusal(bool with_safety_checker = true) const {
        return error_of([&] { open(with_safety_checker); });
    }
    /// Loses its end, as an interrupted download.
    void cut_off(const std::string& file) const {
        std::filesystem::resize_file(files / file, std::filesystem::file_size(files / file) / 2);
    }
    static BatchRequest request() {
        return {.pictures = 2,
                .size = {32, 16},
                .prompts = {{.text = "a"}, {.text = "b"}},
                .negative_prompt = {.text = "c"},
                .guidance = {.scale = 3}};
    }
    static std::shared_ptr<const PictureInputs> grey_picture(bool masked) {
        PictureInputs inputs{.image = blank_image(32, 16, 3)};
        if (masked) inputs.mask = blank_image(32, 16, 1);
        return std::make_shared<PictureInputs>(std::move(inputs));
    }
    /// A batch from prompts to checked pictures, as an experiment makes it.
    static at::Tensor make(Pipeline& pipeline, const BatchRequest& request) {
        pipeline.prepare({request.prompts[0], request.prompts[1], request.negative_prompt}, no_matter);
        const auto scheduler = three_steps();
        NoiseSource noise(/*seed=*/1);
        const auto denoised = pipeline.sample(request, *scheduler, noise, [](size_t, size_t) {});
        const auto pictures = pipeline.decode(denoised.sample);
        pipeline.find_unsafe(to_images(pictures));
        pipeline.components().end_batch();
        return pictures;
    }
    /// What is loaded for two batches.
    static Names loaded_in_two(Pipeline& pipeline, const BatchRequest& request, Keep keep) {
        Names loaded;
        pipeline.components().set_residency(keep, [&](const std::string& name, double) { loaded.push_back(name); });
        make(pipeline, request);
        make(pipeline, request);
        return loaded;
    }

    SampleCheckpoint files;
};

}  // namespace

TEST_F(PixelPipelineTest, IsChosenByTheClassOfTheUNet) {
    files.write_pixel_model();
    const auto pipeline = open_pipeline(files.checkpoint(), on_cpu, /*with_safety_checker=*/true);
    EXPECT_EQ(pipeline->traits().default_size, (Size{16, 8}));
    EXPECT_EQ(pipeline->traits().size_factor, 2);
    EXPECT_FALSE(pipeline->traits().has_prompts);
    EXPECT_EQ(pipeline->dtypes(), (std::map<std::string, c10::ScalarType>{{"unet", c10::kFloat}}));
    EXPECT_EQ(pipeline->latents_shape(2, {16, 8}), (std::vector<int64_t>{2, 3, 8, 16}));

    nlohmann::json config = SampleCheckpoint::pixel_unet();
    config.erase("_class_name");
    files.write("unet/config.json", config.dump());
    EXPECT_FALSE(open_pipeline(files.checkpoint(), on_cpu, true)->traits().has_prompts) << "there is no VAE";
    config["_class_name"] = "UNet3DModel";
    files.write("unet/config.json", config.dump());
    EXPECT_ERROR(open_pipeline(files.checkpoint(), on_cpu, true), "UNet3DModel");
}

TEST_F(PixelPipelineTest, Samples) {
    files.write_pixel_model();
    const auto pipeline = open_pipeline(files.checkpoint(), on_cpu, true);
    EXPECT_FALSE(pipeline->components().is_loaded("unet"));
    const auto sample = [&](std::optional<at::Tensor> start_noise) {
        const auto scheduler = three_steps();
        NoiseSource noise(/*seed=*/1);
        const BatchRequest request{.pictures = 2, .size = {16, 8}, .start_noise = std::move(start_noise)};
        return pipeline->decode(pipeline->sample(request, *scheduler, noise, [](size_t, size_t) {}).sample);
    };
    const auto drawn = sample({});
    EXPECT_EQ(drawn.sizes(), (std::vector<int64_t>{2, 3, 8, 16}));
    NoiseSource noise(/*seed=*/1);
    EXPECT_TRUE(at::equal(drawn, sample(noise.normal({2, 3, 8, 16}, c10::kCPU, c10::kFloat))));
    EXPECT_ERROR(sample(at::zeros({1, 3, 8, 16})), "--latents");
}

TEST_F(PixelPipelineTest, DamageIsFoundBeforeLoading) {
    nlohmann::json config = SampleCheckpoint::pixel_unet();
    config["in_channels"] = config["out_channels"] = 5;
    files.write_pixel_model(config);
    EXPECT_ERROR(open_pipeline(files.checkpoint(), on_cpu, true), "5 channels");
    files.write_pixel_model();
    config = SampleCheckpoint::pixel_unet();
    config["layers_per_block"] = 2;
    files.write("unet/config.json", config.dump());
    EXPECT_ERROR(open_pipeline(files.checkpoint(), on_cpu, true), "tensors do not fit the config");
}

TEST_F(StableDiffusionTest, SaysWhatItIs) {
    const auto pipeline = open();
    const ModelTraits& traits = pipeline->traits();
    EXPECT_EQ(traits.default_size, (Size{32, 16}));
    EXPECT_EQ(traits.size_factor, 2);
    EXPECT_TRUE(traits.has_prompts && traits.has_safety_checker);
    EXPECT_FALSE(traits.is_xl || traits.reads_mask || traits.zeros_for_no_prompt);
    EXPECT_EQ(traits.skippable_text_layers, 2);
    EXPECT_EQ(traits.tile, 32);
    EXPECT_EQ(pipeline->latents_shape(2, {32, 16}), (std::vector<int64_t>{2, 4, 8, 16}));
    const std::map<std::string, c10::ScalarType> dtypes{
        {"unet", c10::kFloat}, {"vae", c10::kFloat}, {"text_encoder", c10::kFloat}};
    EXPECT_EQ(pipeline->dtypes(), dtypes);
    EXPECT_TRUE(open(/*with_safety_checker=*/false)->traits().has_safety_checker) << "whether in use or not";
}

TEST_F(StableDiffusionTest, IdentifiesAllThatDeterminesAPicture) {
    const TemporaryFolder cache;
    const ScopedVariable cache_variable("XDG_CACHE_HOME", cache.path().c_str());
    const auto names = [](const Pipeline& pipeline) {
        Names names;
        for (const auto& [name, identity] :
             pipeline.components().identify(at::kFloat, [](const std::string&) { return at::kFloat; })) {
            const bool has_weights = name != "tokenizer" && name != "feature_extractor";
            EXPECT_EQ(!identity.weights.empty(), has_weights) << name;
            EXPECT_FALSE(identity.config.empty()) << name;
            names.push_back(name);
        }
        return names;
    };
    EXPECT_EQ(names(*open()),
              (Names{"feature_extractor", "safety_checker", "text_encoder", "tokenizer", "unet", "vae"}));
    EXPECT_EQ(names(*open(false)), (Names{"text_encoder", "tokenizer", "unet", "vae"}));
}

TEST_F(StableDiffusionTest, WithNothingKeptEachBatchLoadsAll) {
    EXPECT_EQ(loaded_in_two(*open(), request(), Keep::none),
              (Names{"text_encoder", "unet", "vae", "safety_checker", "unet", "vae", "safety_checker"}));
}

TEST_F(StableDiffusionTest, TheLoopKeepsWhatEveryBatchUses) {
    const auto pipeline = open();
    EXPECT_EQ(loaded_in_two(*pipeline, request(), Keep::loop),
              (Names{"text_encoder", "unet", "vae", "safety_checker"}));
    EXPECT_FALSE(pipeline->components().is_loaded("text_encoder"));
    EXPECT_TRUE(pipeline->components().is_loaded("safety_checker"));
}

TEST_F(StableDiffusionTest, WithAllKeptNewPromptsLoadNothing) {
    const auto pipeline = open(false);
    EXPECT_EQ(loaded_in_two(*pipeline, request(), Keep::all), (Names{"text_encoder", "unet", "vae"}));
    Names loaded;
    pipeline->components().set_residency(Keep::all, [&](const std::string& name, double) { loaded.push_back(name); });
    BatchRequest other = request();
    other.prompts[0].text = "d";
    make(*pipeline, other);
    EXPECT_TRUE(loaded.empty());
}

TEST_F(StableDiffusionTest, InputsAreEncodedOnceForAllBatches) {
    BatchRequest from_picture = request();
    from_picture.strength = 0.7;
    for (const bool masked : {false, true}) {
        from_picture.inputs = grey_picture(masked);
        EXPECT_EQ(loaded_in_two(*open(false), from_picture, Keep::none),
                  (Names{"text_encoder", "vae", "unet", "vae", "unet", "vae"}));
    }
}

TEST_F(StableDiffusionTest, PicturesDoNotDependOnWhatIsKept) {
    BatchRequest painted = request();
    painted.inputs = grey_picture(true);
    for (const BatchRequest& request : {request(), painted}) {
        const auto expected = make(*open(), request);
        EXPECT_EQ(expected.sizes(), (std::vector<int64_t>{2, 3, 16, 32}));
        const auto keeping = open();
        keeping->components().set_residency(Keep::all, {});
        EXPECT_TRUE(at::equal(make(*keeping, request), expected));
        EXPECT_TRUE(at::equal(make(*keeping, request), expected)) << "a second time";
    }
}

TEST_F(StableDiffusionTest, DamageIsFoundBeforeSampling) {
    const auto damaged = [&](const std::string& file) {
        cut_off(file);
        const std::string problem = refusal();
        files.write_stable_diffusion();
        return problem;
    };
    for (const std::string component : {"unet", "vae"})
        EXPECT_NE(damaged(component + "/diffusion_pytorch_model.safetensors").find(component), std::string::npos);
    EXPECT_NE(damaged("text_encoder/model.safetensors").find("text_encoder"), std::string::npos);
    EXPECT_NE(damaged("tokenizer/vocab.json").find("vocab.json"), std::string::npos);
    EXPECT_NE(damaged("safety_checker/model.safetensors").find("--safety off"), std::string::npos);
    EXPECT_NE(damaged("feature_extractor/preprocessor_config.json").find("--safety off"), std::string::npos);
}

TEST_F(StableDiffusionTest, WithoutItsSafetyCheckerItNeedsNoneOfItsFiles) {
    cut_off("safety_checker/model.safetensors");
    std::filesystem::remove_all(files / "feature_extractor");
    EXPECT_NE(refusal().find("--safety off"), std::string::npos);
    const auto pipeline = open(false);
    EXPECT_TRUE(pipeline->find_unsafe({blank_image(8, 8, 3)}).empty());
}

TEST_F(StableDiffusionTest, TheSafetyCheckerJudgesEveryPicture) {
    EXPECT_EQ(open()->find_unsafe({blank_image(32, 16, 3), blank_image(32, 16, 3)}).size(), 2U);
}

TEST_F(StableDiffusionTest, AVaeMakesRgbPictures) {
    nlohmann::json config = SampleCheckpoint::vae();
    config["out_channels"] = 4;
    files.write_component<AutoencoderKL, AutoencoderKLConfig>("vae", config);
    EXPECT_EQ(refusal(),
              "vae/config.json: key 'out_channels' is 4, but pictures have 3 channels; give another --model");
    config["out_channels"] = 3;
    config["in_channels"] = 1;
    files.write_component<AutoencoderKL, AutoencoderKLConfig>("vae", config);
    const auto pipeline = open();
    make(*pipeline, request());  // nothing is encoded
    BatchRequest from_picture = request();
    from_picture.inputs = grey_picture(false);
    EXPECT_ERROR(make(*pipeline, from_picture), "in_channels");
}

TEST(PictureSize, FollowsTheModel) {
    const ModelTraits traits{.size_factor = 4};
    const Size usual{.width = 32, .height = 16};
    EXPECT_EQ(picture_size(traits, usual, {}, {}), usual);
    EXPECT_EQ(picture_size(traits, usual, 8, {}), (Size{8, 16}));
    EXPECT_EQ(picture_size(traits, {}, 8, 12), (Size{8, 12}));
    for (const int64_t width : {0, 2, 30}) EXPECT_THROW(picture_size(traits, usual, width, {}), Error) << width;
    EXPECT_THROW(picture_size(traits, usual, {}, 30), Error);
    EXPECT_THROW(picture_size(traits, {}, 8, {}), Error);
}

TEST(PictureInputs, OnlyAMaskPutsAnythingBack) {
    const Image result{2, 1, 3, {9, 9, 9, 9, 9, 9}};
    PictureInputs inputs{.image = {2, 1, 3, {1, 2, 3, 4, 5, 6}}};
    EXPECT_EQ(inputs.task(), Task::image_to_image);
    EXPECT_EQ(inputs.finish(result), result);
    EXPECT_FALSE(inputs.compare(result).has_value());
    inputs.mask = Image{2, 1, 1, {0, 255}};
    EXPECT_EQ(inputs.task(), Task::inpaint);
    EXPECT_EQ(inputs.finish(result), result);
    EXPECT_EQ(inputs.compare(result)->width, 6);
    inputs.keep_unmasked = true;
    EXPECT_EQ(inputs.finish(result).pixels, (std::vector<uint8_t>{1, 2, 3, 9, 9, 9}));
}

TEST(DefaultStrength, IsThatOfTheDiffusersPipeline) {
    EXPECT_EQ(default_strength(Task::text_to_image, false), std::nullopt);
    EXPECT_EQ(default_strength(Task::image_to_image, false), 0.8);
    EXPECT_EQ(default_strength(Task::image_to_image, true), 0.3);
    EXPECT_EQ(default_strength(Task::inpaint, false), 1.0);
    EXPECT_EQ(default_strength(Task::inpaint, true), 0.9999);
}

}  // namespace diffapple
