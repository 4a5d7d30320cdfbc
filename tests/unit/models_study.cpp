// The study's models built from their embedded configs, without weights: they have the sizes of the real ones.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "diffapple/core/error.h"
#include "diffapple/io/json_fields.h"
#include "diffapple/models/autoencoder_kl.h"
#include "diffapple/models/checkpoint.h"
#include "diffapple/models/clip_text.h"
#include "diffapple/models/state_loading.h"
#include "diffapple/models/unet_2d.h"
#include "diffapple/models/unet_2d_condition.h"
#include "diffapple/study/study.h"
#include "io_support.h"

namespace diffapple {
namespace {

template <typename Model, typename Config>
int64_t parameters(const std::string& experiment, const std::string& component) {
    const auto config = parse_json(find_study_experiment(experiment).config(component), component);
    const auto model = std::make_shared<Model>(Config::from_json(JsonFields(config, component)));
    return parameter_count(*model);
}

int64_t text_parameters(const std::string& experiment, const std::string& component) {
    return parameters<ClipTextModel, ClipTextConfig>(experiment, component);
}

TEST(StudyModels, UNetsAreFullSize) {
    using Model = UNet2DConditionModel;
    using Config = UNet2DConditionConfig;
    EXPECT_EQ((parameters<UNet2DModel, UNet2DConfig>("ddpm", "unet")), 113'673'219);
    EXPECT_EQ((parameters<Model, Config>("sd15", "unet")), 859'520'964);
    EXPECT_EQ((parameters<Model, Config>("sd2-inpaint", "unet")), 865'925'124);
    EXPECT_EQ((parameters<Model, Config>("sdxl-turbo", "unet")), 2'567'463'684);
}

TEST(StudyModels, AutoencodersAreFullSize) {
    for (const char* const experiment : {"sd15", "sd2-inpaint", "sdxl-turbo"})
        EXPECT_EQ((parameters<AutoencoderKL, AutoencoderKLConfig>(experiment, "vae")), 83'653'863) << experiment;
}

TEST(StudyModels, TextEncodersAreFullSize) {
    EXPECT_EQ(text_parameters("sd15", "text_encoder"), 123'060'480);
    EXPECT_EQ(text_parameters("sd2-inpaint", "text_encoder"), 340'387'840);
    EXPECT_EQ(text_parameters("sdxl-turbo", "text_encoder"), 123'060'480);
    EXPECT_EQ(text_parameters("sdxl-turbo", "text_encoder_2"), 694'659'840);
}

TEST(StudyModels, PicturesOfBenchAreTheModelsSize) {
    for (const auto& experiment : study_experiments()) {
        const auto unet = parse_json(experiment.config("unet"), experiment.name);
        const int64_t factor = experiment.configs.contains("vae") ? 8 : 1;
        const int64_t side = factor * unet.at("sample_size").get<int64_t>();
        EXPECT_EQ(experiment.bench.picture, (Size{side, side})) << experiment.name;
    }
}

/// A Hub cache of its own, in which models can be put.
class StudyCheckpoint : public testing::Test {
protected:
    void add(const std::string& repository) {
        folder_.write("hub/" + repository + "/snapshots/aaa/model_index.json", "{}");
        folder_.write("hub/" + repository + "/refs/main", "aaa");
    }

    TemporaryFolder folder_;
    ScopedVariable cache_{"HF_HUB_CACHE", (folder_.path() / "hub").c_str()};
    ScopedVariable hf_home_{"HF_HOME", nullptr};
    ScopedVariable home_{"HOME", (folder_.path() / "home").c_str()};
};

TEST_F(StudyCheckpoint, IsTheFirstOfItsHubIdsThatIsHere) {
    const StudyExperiment& inpaint = find_study_experiment("sd2-inpaint");
    EXPECT_FALSE(find_study_checkpoint(inpaint));
    add("models--sd2-community--stable-diffusion-2-inpainting");
    EXPECT_EQ(find_study_checkpoint(inpaint)->name, "sd2-community/stable-diffusion-2-inpainting");
    add("models--stabilityai--stable-diffusion-2-inpainting");
    EXPECT_EQ(find_study_checkpoint(inpaint)->name, "stabilityai/stable-diffusion-2-inpainting");
    EXPECT_EQ(require_study_checkpoint(inpaint).name, "stabilityai/stable-diffusion-2-inpainting");
}

TEST_F(StudyCheckpoint, AMissingOneSaysHowToGetIt) {
    const StudyExperiment& inpaint = find_study_experiment("sd2-inpaint");
    try {
        require_study_checkpoint(inpaint);
        FAIL() << "found";
    } catch (const Error& error) {
        const std::string message = error.what();
        EXPECT_NE(message.find(inpaint.model()), std::string::npos) << message;
        EXPECT_NE(message.find(inpaint.download_command()), std::string::npos) << message;
        EXPECT_NE(message.find("models/stable-diffusion-2-inpainting/"), std::string::npos) << message;
    }
}

TEST_F(StudyCheckpoint, DemosAreKnown) {
    for (const auto& experiment : study_experiments()) {
        EXPECT_TRUE(!experiment.demo || Checkpoint{.name = experiment.demo->name}.is_demo());
        EXPECT_FALSE(Checkpoint{.name = experiment.model()}.is_demo());
    }
}

}  // namespace
}  // namespace diffapple
