// The table of settings: what every row must keep, the grid of batches that lists make, what options mean.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <set>

#include "diffapple/core/error.h"
#include "diffapple/recipes/output_names.h"
#include "diffapple/recipes/settings.h"

namespace diffapple {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

/// A folder with files to start from.
class Inputs {
public:
    Inputs() {
        fs::create_directories(folder_);
        for (const char* const name : {"a", "b", "c"}) std::ofstream(folder_ / name) << name;
    }
    ~Inputs() { fs::remove_all(folder_); }
    std::string file(const std::string& name) const { return (folder_ / name).string(); }

private:
    fs::path folder_ = fs::temp_directory_path() / ("diffapple-settings-" + std::to_string(getpid()));
};

/// Texts that the option of a row takes; a row that determines pictures must have some here.
std::map<std::string, std::vector<std::string>> samples(const Inputs& inputs) {
    const std::vector<std::string> files{inputs.file("a"), inputs.file("b"), inputs.file("c")};
    const std::vector<std::string> texts{"", "a cat, fat", "Käse 猫", "x\ny", std::string(150, 'w')};
    return {{"model", {"org/one", "two", "three words"}},
            {"config", {"a/configs", "other configs/", "third"}},
            {"vae", {"a/fine.v1.safetensors", "another", "b/third/"}},
            {"device", {"cpu", "mps", "cuda"}},
            {"dtype", {"fp32", "bf16", "fp16"}},
            {"scheduler", {"ddim", "euler-a", "pndm", "dpmsolver++"}},
            {"width", {"64", "512", "8"}},
            {"height", {"64", "512", "136"}},
            {"batch_size", {"1", "2", "5"}},
            {"latents", files},
            {"batch", {"a cat", "A cat", "a/b", "a:b", "猫", ""}},
            {"negative_prompt", texts},
            {"negative_prompt_2", texts},
            {"prompt_2", texts},
            {"guidance_rescale", {"0", "0.7", "1"}},
            {"clip_skip", {"0", "1", "2"}},
            {"prompt_syntax", {"plain", "weighted"}},
            {"weights", {"as-is", "int8"}},
            {"vae_tiling", {"on", "off", "auto"}},
            {"eta", {"0", "0.5", "1"}},
            {"original_size", {"512x512", "64x8", "1x1"}},
            {"target_size", {"512x512", "64x8", "1x1"}},
            {"crop_top_left", {"0,0", "0,64", "64,0"}},
            {"strength", {"0.5", "0.8", "1", "0.25"}},
            {"image", files},
            {"mask", files},
            {"mask_blur", {"0", "2", "4.5"}},
            {"padding_mask_crop", {"0", "32"}},
            {"keep_unmasked", {"true"}},
            {"safety", {"on", "off"}},
            {"guidance", {"0", "1", "7.5", "7.25", "1.5"}},
            {"rng", {"cpu", "cuda"}},
            {"steps", {"1", "25", "1000"}},
            {"seed", {"0", "42", "9223372036854775807", "18446744073709551615"}}};
}

/// What the experiment finds: a model that can do all that its kind can, on the device that is asked for.
Circumstances circumstances_of(const StudyExperiment& study, const BatchSettings& batch, bool is_xl) {
    const bool prompts = study.has_prompts();
    return {.experiment = study,
            .traits = {.default_size = Size{512, 512},
                       .size_factor = 8,
                       .has_prompts = prompts,
                       .is_xl = is_xl,
                       .zeros_for_no_prompt = is_xl,
                       .skippable_text_layers = 2,
                       .has_safety_checker = prompts,
                       .reads_mask = study.inpaints,
                       .tile = 128},
            .model = batch.model.empty() ? study.model() : batch.model,
            .own_scheduler = "pndm",
            .device = batch.device == "auto" ? "cpu" : batch.device,
            .dtype = batch.dtype == "auto" ? "fp32" : batch.dtype,
            .default_dtype = "fp32",
            .default_size = Size{512, 512},
            .tiles = batch.vae_tiling.value_or(false)};
}

struct Kind {
    const StudyExperiment* study;
    bool is_xl;
};

std::vector<Kind> kinds() {
    std::vector<Kind> all;
    for (const StudyExperiment& study : study_experiments()) {
        all.push_back({&study, false});
        if (study.has_prompts()) all.push_back({&study, true});
    }
    return all;
}

using Given = std::map<std::string, std::string>;  // by key

BatchSettings settled(const Kind& kind, const Given& given) {
    std::vector<GivenOption> options;
    for (const Setting& row : settings())  // in the table's order
        if (const auto found = given.find(row.key); !row.key.empty() && found != given.end())
            options.push_back({&row, {found->second}});
    const RunSettings run = read_run(*kind.study, options);
    return settle(run.batch, circumstances_of(*kind.study, run.batch, kind.is_xl));
}

fs::path path_of(const Kind& kind, const BatchSettings& batch) {
    return picture_path("out", batch, 0, circumstances_of(*kind.study, batch, kind.is_xl));
}

/// Random runs of every kind of experiment, some 100 each or more, all of them such as a user may start.
template <typename Check>
void for_random_runs(const Inputs& inputs, Check check) {
    const auto texts = samples(inputs);
    std::mt19937 random(1);
    const auto below = [&](size_t count) { return std::uniform_int_distribution<size_t>(0, count - 1)(random); };
    for (const Kind& kind : kinds()) {
        int accepted = 0;
        for (int i = 0; i < 4000; ++i) {
            Given given;
            for (const Setting& row : settings())
                if (row.write && row.applies_to(*kind.study) && below(3) == 0)
                    given[row.key] = texts.at(row.key)[below(texts.at(row.key).size())];
            if (kind.study->inpaints) given["image"] = inputs.file("a"), given["mask"] = inputs.file("b");
            try {
                check(kind, given, settled(kind, given), below);
                ++accepted;
            } catch (const Error& error) {
                ASSERT_EQ(error.code(), ExitCode::usage) << error.what();  // options that do not go together
            }
        }
        EXPECT_GT(accepted, 50) << kind.study->name;
    }
}

TEST(Settings, EveryRowIsWhole) {
    const Inputs inputs;
    const auto texts = samples(inputs);
    std::set<std::string> keys, options;
    for (const Setting& row : settings()) {
        SCOPED_TRACE(row.key + " " + row.option);
        EXPECT_TRUE(row.option.starts_with("--"));
        EXPECT_FALSE(row.help.empty());
        EXPECT_TRUE(row.read);
        EXPECT_TRUE(options.insert(row.option).second);
        EXPECT_EQ(!row.key.empty(), static_cast<bool>(row.write));
        EXPECT_EQ(static_cast<bool>(row.write), static_cast<bool>(row.restore));
        if (!row.write) continue;
        EXPECT_TRUE(keys.insert(row.key).second);
        EXPECT_TRUE(texts.contains(row.key)) << "give this test texts for the new setting";
        EXPECT_EQ(&setting(row.key), &row);
    }
}

TEST(Settings, WhatARunDeterminesGivesTheSameRun) {
    const Inputs inputs;
    for_random_runs(inputs, [](const Kind& kind, const Given&, const BatchSettings& batch, const auto&) {
        const json recipe = write_settings(batch);
        const BatchSettings restored = restore_settings(JsonFields(recipe, "recipe"), *kind.study);
        EXPECT_EQ(restored, batch) << recipe.dump(1);
        EXPECT_EQ(settle(batch, circumstances_of(*kind.study, batch, kind.is_xl)), batch) << recipe.dump(1);
    });
}

TEST(Settings, RunsThatDifferInOneSettingDifferInRecipeAndName) {
    const Inputs inputs;
    const auto texts = samples(inputs);
    std::set<std::string> told_apart;
    for_random_runs(inputs, [&](const Kind& kind, Given given, const BatchSettings& batch, const auto& below) {
        const Setting& row = settings()[below(settings().size())];
        if (!row.write || !row.applies_to(*kind.study)) return;
        given[row.key] = texts.at(row.key)[below(texts.at(row.key).size())];
        const BatchSettings other = settled(kind, given);
        const bool same = batch == other;
        EXPECT_EQ(write_settings(batch) == write_settings(other), same) << row.key;
        if (same || row.in_name) {
            EXPECT_EQ(path_of(kind, batch) == path_of(kind, other), same) << row.key;
        }
        if (!same) told_apart.insert(row.key);
    });
    for (const Setting& row : settings()) {
        EXPECT_TRUE(!row.write || told_apart.contains(row.key)) << row.key << " was never tried";
    }
}

TEST(Names, FoldersOfPromptsNeverMeet) {
    const std::vector<std::string> prompts{"a b", "A B", "a_b",         "\u00e9",  "e\u0301",  "x/y",
                                           "x:y", "x-y", "stra\u00dfe", "STRASSE", "other one"};
    const auto meeting = find_meeting_prompts(prompts);
    EXPECT_FALSE(meeting.contains("other one"));
    EXPECT_EQ(meeting.size(), prompts.size() - 1);
    const Kind kind = kinds().at(1);
    std::set<fs::path> folders;
    for (const std::string& prompt : prompts) {
        BatchSettings batch = settled(kind, {{"batch", prompt}});
        Circumstances now = circumstances_of(*kind.study, batch, kind.is_xl);
        const auto folder = [&](Naming naming) {
            return picture_path("out", batch, 0, now, naming).parent_path().filename().string();
        };
        EXPECT_EQ(folder(Naming::older), safe_name(prompt));
        const bool replaced = prompt == "x/y" || prompt == "x:y";
        EXPECT_EQ(folder(Naming::usual) == safe_name(prompt), !replaced) << prompt;
        now.meeting_prompts = std::make_shared<const std::set<std::string>>(meeting);
        EXPECT_EQ(folder(Naming::usual) == safe_name(prompt), prompt == "other one") << prompt;
        EXPECT_TRUE(folders.insert(folder(Naming::usual)).second) << prompt;
        EXPECT_TRUE(folder(Naming::apart).starts_with(safe_name(prompt) + "-"));
    }
}

TEST(Names, FitAFileSystemWhateverIsSet) {
    const Inputs inputs;
    for_random_runs(inputs, [](const Kind& kind, const Given&, const BatchSettings& batch, const auto&) {
        const fs::path path = path_of(kind, batch);
        EXPECT_LT((path.stem().string() + "_latents.safetensors").size(), 255U) << path;
    });
}

TEST(Settings, OneSideKeepsThePicturesShape) {
    const Inputs inputs;
    const Kind kind = kinds().at(1);
    const auto size = [&](const Given& more) {
        Given given{{"image", inputs.file("a")}};
        given.insert(more.begin(), more.end());
        std::vector<GivenOption> options;
        for (const Setting& row : settings())
            if (const auto found = given.find(row.key); !row.key.empty() && found != given.end())
                options.push_back({&row, {found->second}});
        const RunSettings run = read_run(*kind.study, options);
        Circumstances now = circumstances_of(*kind.study, run.batch, kind.is_xl);
        now.image_size = Size{300, 400};
        now.default_size = Size{296, 400};
        return settle(run.batch, now).size();
    };
    EXPECT_EQ(size({}), (Size{296, 400}));
    EXPECT_EQ(size({{"width", "96"}}), (Size{96, 128}));
    EXPECT_EQ(size({{"height", "96"}}), (Size{72, 96}));
    EXPECT_EQ(size({{"width", "96"}, {"height", "96"}}), (Size{96, 96}));
}

TEST(Settings, ThatNoNameShowsAreThese) {
    std::set<std::string> hidden;
    for (const Setting& row : settings())
        if (!row.in_name) hidden.insert(row.key);
    EXPECT_EQ(hidden, (std::set<std::string>{"batch", "batch_size", "device"}));
}

RunSettings run_of(const std::string& study,
                   const std::vector<std::pair<std::string, std::vector<std::string>>>& options) {
    std::vector<GivenOption> given;
    for (const Setting& row : settings())
        for (const auto& [option, texts] : options)
            if (row.option == option) given.push_back({&row, texts});
    return read_run(find_study_experiment(study), given);
}

TEST(Grid, EveryCombinationOnceSeedsFastest) {
    const RunSettings run = run_of("sd15", {{"--seed", {"1,2"}}, {"--steps", {"5,10"}}, {"--guidance", {"0,7.5"}}});
    ASSERT_EQ(run.batch_count(), 8U);
    EXPECT_EQ(run.batch_at(0).seed, 1U);
    EXPECT_EQ(run.batch_at(1).seed, 2U);
    EXPECT_EQ(run.batch_at(1).guidance, 0.0);
    EXPECT_EQ(run.batch_at(2).guidance, 7.5);
    EXPECT_EQ(run.batch_at(3).steps, 5);
    EXPECT_EQ(run.batch_at(4).steps, 10);
    EXPECT_EQ(run.batch_at(7).scheduler, "");
    EXPECT_FALSE(run.batch_at(7).strength);
}

TEST(Grid, SchedulersAreTheSlowest) {
    const RunSettings run = run_of("sd15", {{"--scheduler", {"euler,pndm"}}, {"--seed", {"0..7"}}});
    ASSERT_EQ(run.batch_count(), 16U);
    EXPECT_EQ(run.batch_at(0).scheduler, "euler");
    EXPECT_EQ(run.batch_at(15).scheduler, "pndm");
}

TEST(Grid, ExperimentsWithoutPromptsHaveNoGuidance) {
    const RunSettings run = run_of("ddpm", {{"--steps", {"3"}}});
    ASSERT_EQ(run.batch_count(), 1U);
    EXPECT_FALSE(run.batch_at(0).guidance);
}

TEST(Grid, TooManyPicturesAreRefused) {
    EXPECT_THROW(run_of("sd15", {{"--batch-size", {"10000"}}, {"--seed", {"0..9"}}}), Error);
}

TEST(Grid, OneFileOfLatentsIsForOneBatch) {
    EXPECT_THROW(run_of("sd15", {{"--save-latents", {"x.safetensors"}}, {"--seed", {"0,1"}}}), Error);
    EXPECT_EQ(run_of("sd15", {{"--save-latents", {"x.safetensors"}}, {"--seed", {"1"}}}).batch_count(), 1U);
}

TEST(ReadRun, TheStudysPromptsBringTheirNegativePrompt) {
    const StudyExperiment& study = find_study_experiment("sd15");
    EXPECT_EQ(run_of("sd15", {}).batch.prompts, study.prompts);
    EXPECT_EQ(run_of("sd15", {}).batch.negative_prompt, study.negative_prompt);
    EXPECT_FALSE(run_of("sd15", {{"--prompt", {"a"}}}).batch.negative_prompt);
    EXPECT_EQ(run_of("sd15", {{"--negative-prompt", {""}}}).batch.negative_prompt, "");
}

TEST(ReadRun, DrawnSeedsAreKeptAsAList) {
    const RunSettings run = run_of("sd15", {{"--seed", {"3,random:2"}}});
    ASSERT_EQ(run.batch_count(), 3U);
    EXPECT_EQ(run.drawn_seeds, concat("3,", run.batch_at(1).seed, ',', run.batch_at(2).seed));
    EXPECT_EQ(run_of("sd15", {{"--seed", {"3"}}}).drawn_seeds, "");
    EXPECT_THROW(run_of("sd15", {{"--seed", {"random:4"}}, {"--shard", {"1/2"}}}), Error);
}

TEST(ReadRun, ChoicesAreOneOfThem) {
    for (const char* const option : {"--safety", "--sheet"}) {
        EXPECT_THROW(run_of("sd15", {{option, {"off,on"}}}), Error) << option;
        EXPECT_THROW(run_of("sd15", {{option, {"maybe"}}}), Error) << option;
    }
    EXPECT_THROW(run_of("sd15", {{"--steps", {"2", "4"}}}), Error);
}

}  // namespace
}  // namespace diffapple
