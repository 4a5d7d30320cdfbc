// The table of the study: its names are distinct, its configs are those that the other tests read.
#include "diffapple/study/study.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "diffapple/core/error.h"
#include "diffapple/io/files.h"
#include "diffapple/io/json_fields.h"

namespace diffapple {
namespace {

namespace fs = std::filesystem;

TEST(Study, FoundByTheNameOfTheCommand) {
    EXPECT_EQ(study_experiment_names(), (std::vector<std::string>{"ddpm", "sd15", "sdxl-turbo", "sd2-inpaint"}));
    for (const auto& experiment : study_experiments()) EXPECT_EQ(&find_study_experiment(experiment.name), &experiment);
    EXPECT_THROW(find_study_experiment("sd3"), Error);
}

TEST(Study, NamesAreDistinct) {
    std::set<std::string> commands, outputs, models;
    size_t model_count = 0;
    const auto add_model = [&](const std::string& name) {
        models.insert(name);
        ++model_count;
    };
    for (const auto& experiment : study_experiments()) {
        commands.insert(experiment.name);
        outputs.insert(experiment.output_folder);
        for (const auto& known : experiment.hub_ids) add_model(known.id);
        add_model(experiment.model_folder());
        if (experiment.demo) add_model(experiment.demo->name);
    }
    EXPECT_EQ(commands.size(), study_experiments().size());
    EXPECT_EQ(outputs.size(), study_experiments().size());
    EXPECT_EQ(models.size(), model_count);
}

TEST(Study, SaysAllOfEachExperiment) {
    for (const auto& experiment : study_experiments()) {
        SCOPED_TRACE(experiment.name);
        EXPECT_FALSE(experiment.description.empty() || experiment.output_folder.empty());
        for (const auto& known : experiment.hub_ids) EXPECT_EQ(std::count(known.id.begin(), known.id.end(), '/'), 1);
        EXPECT_GT(experiment.download.bytes, 0U);
        EXPECT_FALSE(experiment.download.licence.empty());
        EXPECT_GT(experiment.steps, 0);
        EXPECT_GT(experiment.figures.memory_bytes, 0);
        EXPECT_GT(experiment.figures.m2_it_per_s, 0);
        EXPECT_GT(experiment.figures.rtx_a5000_it_per_s, experiment.figures.m2_it_per_s);
        EXPECT_GT(experiment.bench.size * experiment.bench.picture.width * experiment.bench.picture.height, 0);
        EXPECT_EQ(experiment.has_prompts(), experiment.stem != StemStyle::index_steps);
    }
}

TEST(Study, DownloadsAreNamed) {
    const StudyExperiment& inpaint = find_study_experiment("sd2-inpaint");
    EXPECT_EQ(inpaint.model(), "stabilityai/stable-diffusion-2-inpainting");
    EXPECT_EQ(inpaint.download_command(), "diffapple fetch sd2-inpaint --dtype fp16");
    EXPECT_EQ(find_study_experiment("ddpm").download_command(), "diffapple fetch ddpm-cat");
    EXPECT_TRUE(inpaint.has_hub_id("sd2-community/stable-diffusion-2-inpainting"));
    EXPECT_FALSE(inpaint.has_hub_id("stable-diffusion-2-inpainting"));
    EXPECT_EQ(inpaint.model_folder(), "stable-diffusion-2-inpainting");
}

/// The config files of a folder of tests/data, by component.
std::map<std::string, std::string> config_files(const std::string& model) {
    const fs::path folder = fs::path(__FILE__).parent_path().parent_path() / "data" / model;
    std::map<std::string, std::string> texts;
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
        const std::string name = entry.path().filename().string();
        const fs::path below = fs::relative(entry.path().parent_path(), folder);
        const bool in_root = below == ".";
        if (name == "config.json") texts[in_root ? "unet" : below.string()] = read_file(entry.path(), 1 << 20);
        if (name == "scheduler_config.json") texts["scheduler"] = read_file(entry.path(), 1 << 20);
    }
    return texts;
}

TEST(Study, ConfigsAreTheFilesThatTestsRead) {
    EXPECT_EQ(find_study_experiment("ddpm").configs, config_files("ddpm-cat-256"));
    EXPECT_EQ(find_study_experiment("sd15").configs, config_files("sd-v1-5"));
    EXPECT_EQ(find_study_experiment("sdxl-turbo").configs, config_files("sdxl-turbo"));
    EXPECT_EQ(find_study_experiment("sd2-inpaint").configs, config_files("sd-v2-inpainting"));
}

TEST(Study, EveryConfigIsJson) {
    for (const auto& experiment : study_experiments()) {
        EXPECT_TRUE(experiment.configs.contains("scheduler")) << experiment.name;
        for (const auto& [component, config] : experiment.configs)
            EXPECT_FALSE(parse_json(config, experiment.name + " " + component).empty());
    }
}

TEST(Study, AConfigThatAModelLacksIsAnError) {
    const StudyExperiment& ddpm = find_study_experiment("ddpm");
    EXPECT_EQ(ddpm.config("unet"), ddpm.configs.at("unet"));
    EXPECT_THROW(ddpm.config("vae"), Error);
}

}  // namespace
}  // namespace diffapple
