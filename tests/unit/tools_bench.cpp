// The plan and the run of bench: what is measured, what cannot be and says so, what a step costs.
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "diffapple/core/error.h"
#include "diffapple/io/json_fields.h"
#include "diffapple/tools/bench/bench.h"
#include "diffapple/tools/bench/budget.h"

namespace diffapple {
namespace {

BenchSettings tiny_settings() {
    return {.experiments = {"ddpm"},
            .devices = {"cpu"},
            .dtypes = {"fp32"},
            .sizes = {32},
            .steps = 1,
            .repeats = 2,
            .random = true};
}

TEST(BenchModel, IsTheFullSizeModel) {
    const BenchExperiment ddpm = ddpm_bench(find_study_experiment("ddpm"));
    EXPECT_EQ(ddpm.parameters, 113'673'219);
    EXPECT_EQ(ddpm.study_shape, (BenchShape{1, {256, 256}}));
    EXPECT_EQ(ddpm.size_factor, 32);
}

std::map<std::string, BenchExperiment> experiments_by_name() {
    std::map<std::string, BenchExperiment> experiments;
    for (const auto& experiment : bench_experiments()) experiments.emplace(experiment.name, experiment);
    return experiments;
}

TEST(BenchModel, StableDiffusionIsFullSize) {
    constexpr int64_t vae = 83'653'863;
    const auto experiments = experiments_by_name();
    EXPECT_EQ(experiments.at("sd15").parameters, 859'520'964 + vae + 123'060'480);
    EXPECT_EQ(experiments.at("sd2-inpaint").parameters, 865'925'124 + vae + 340'387'840);
    EXPECT_EQ(experiments.at("sdxl-turbo").parameters, 2'567'463'684 + vae + 123'060'480 + 694'659'840);
    EXPECT_EQ(experiments.at("sd15").size_factor, 8);
}

/// FlopCounterMode for diffusers' UNet2DConditionModel under 77 tokens, less the texts' keys and values (once per
/// prompt here), SDXL's added embedding (likewise), and, since the time is the batch's here, less the time embedding of
/// all pictures but one.
TEST(BenchModel, FlopsOfStableDiffusionAreTorchs) {
    const auto experiments = experiments_by_name();
    const auto& sd15 = experiments.at("sd15");
    EXPECT_EQ(sd15.flop_per_step({1, {512, 512}}), 1'606'546'882'560 - 5'904'138'240 - 55'705'600);
    EXPECT_EQ(sd15.flop_per_step({1, {320, 192}}), 337'178'378'240 - 5'904'138'240 - 55'705'600);
    EXPECT_EQ(sd15.flop_per_step({2, {512, 512}}), 3'213'093'765'120 - 11'808'276'480 - int64_t{3} * 55'705'600);
    EXPECT_EQ(experiments.at("sd2-inpaint").flop_per_step({1, {512, 512}}),
              1'608'750'858'240 - 7'872'184'320 - 55'705'600);
    EXPECT_EQ(experiments.at("sdxl-turbo").flop_per_step({1, {512, 512}}),
              1'588'778'762'240 - 52'481'228'800 - 10'485'760);
    EXPECT_EQ(experiments.at("sdxl-turbo").flop_per_step({2, {512, 512}}),
              3'177'557'524'480 - 104'962'457'600 - int64_t{2} * 10'485'760 - 4'096'000);
}

TEST(BenchModel, FlopsOfTheAutoencoderAreTorchs) {
    const auto experiments = experiments_by_name();
    EXPECT_EQ(experiments.at("sd15").flop_to_decode({1, {512, 512}}), 2'514'518'933'504);
    EXPECT_EQ(experiments.at("sd15").flop_to_decode({2, {320, 192}}), 2 * 583'174'748'160);
    const auto& sd2 = experiments.at("sd2-inpaint");
    const auto texts = sd2.flop_to_encode({1, {512, 512}}) - 1'116'658'466'816;
    EXPECT_EQ(sd2.flop_to_encode({1, {320, 192}}) - texts, 255'551'201'280);
}

/// The study's models in miniature: what an experiment does is the same.
StudyExperiment small_study(const std::string& name) {
    StudyExperiment study = find_study_experiment(name);
    const bool is_xl = study.configs.contains("text_encoder_2");
    auto unet = parse_json(study.config("unet"), "unet"), vae = parse_json(study.config("vae"), "vae");
    constexpr int64_t channels = 32, heads = 4, text_width = 16;
    unet.update({{"block_out_channels", std::vector<int64_t>(unet["down_block_types"].size(), channels)},
                 {"attention_head_dim", heads},
                 {"layers_per_block", 1},
                 {"cross_attention_dim", text_width * (is_xl ? 2 : 1)}});
    if (is_xl) unet["projection_class_embeddings_input_dim"] = int64_t{6} * 256 + text_width;
    vae["block_out_channels"] = {channels, channels, channels, channels};
    study.configs["unet"] = unet.dump();
    study.configs["vae"] = vae.dump();
    for (auto& [component, config] : study.configs) {
        if (!component.starts_with("text_encoder")) continue;
        auto text = parse_json(config, component);
        text.update({{"hidden_size", text_width},
                     {"intermediate_size", 2 * text_width},
                     {"num_hidden_layers", 2},
                     {"num_attention_heads", 2},
                     {"vocab_size", 100},
                     {"projection_dim", text_width}});
        config = text.dump();
    }
    return study;
}

class StableDiffusionBenchTest : public testing::TestWithParam<const char*> {};

TEST_P(StableDiffusionBenchTest, RunsInEveryShape) {
    const BenchExperiment experiment = stable_diffusion_bench(small_study(GetParam()));
    for (const auto dtype : {c10::kFloat, c10::kBFloat16}) {
        const auto model = experiment.load({c10::kCPU, dtype}, /*random=*/true);
        for (const BenchShape& shape : {BenchShape{2, {64, 64}}, BenchShape{1, {64, 32}}}) {
            EXPECT_TRUE(model->encode(shape));
            EXPECT_TRUE(model->encode(shape)) << "a second time";
            EXPECT_GT(model->denoise(shape, 1), 0);
            EXPECT_GT(model->denoise(shape, 2), 0);
            model->decode(shape);
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Study, StableDiffusionBenchTest, testing::Values("sd15", "sd2-inpaint", "sdxl-turbo"));

/// The counts of torch.utils.flop_counter.FlopCounterMode for diffusers' UNet2DModel of this config.
TEST(BenchModel, FlopsAreTorchs) {
    const BenchExperiment ddpm = ddpm_bench(find_study_experiment("ddpm"));
    EXPECT_EQ(ddpm.flop_per_step({1, {256, 256}}), 497'027'514'368);
    EXPECT_EQ(ddpm.flop_per_step({1, {128, 128}}), 124'137'635'840);
    EXPECT_EQ(ddpm.flop_per_step({1, {64, 96}}), 46'548'459'520);
    EXPECT_EQ(ddpm.flop_per_step({1, {32, 32}}), 7'766'312'960);
    // diffusers embeds the time of each picture, we that of the batch: 15,728,640 each.
    EXPECT_NEAR(ddpm.flop_per_step({4, {64, 64}}), 124'138'422'272, 3 * 15'728'640);
}

TEST(BenchPlan, HasARowForEachConfiguration) {
    BenchSettings settings = tiny_settings();
    settings.dtypes = {"fp32", "bf16"};
    settings.batch_sizes = {1, 4};
    settings.sizes = {32, 64, 96};
    const auto rows = plan_bench(settings, bench_experiments());
    ASSERT_EQ(rows.size(), 12);
    EXPECT_EQ(rows.front().dtype, "fp32");
    EXPECT_EQ(rows.back().shape, (BenchShape{4, {96, 96}}));
    for (const auto& row : rows) EXPECT_EQ(row.status, BenchStatus::pending);
}

TEST(BenchPlan, SaysWhatCannotRun) {
    BenchSettings settings = tiny_settings();
    settings.devices = {"cpu", "cuda:99"};
    settings.dtypes = {"fp16"};
    const auto rows = plan_bench(settings, bench_experiments());
    ASSERT_EQ(rows.size(), 2);
    EXPECT_EQ(rows[0].status, BenchStatus::refused);
    EXPECT_NE(rows[0].note.find("no fast path"), std::string::npos) << rows[0].note;
    EXPECT_EQ(rows[1].status, BenchStatus::absent);
}

TEST(BenchPlan, RefusesWrongCalls) {
    BenchSettings settings = tiny_settings();
    settings.sizes = {100};
    EXPECT_THROW(plan_bench(settings, bench_experiments()), Error);
    settings = tiny_settings();
    settings.devices = {"gpu"};
    EXPECT_THROW(plan_bench(settings, bench_experiments()), Error);
}

TEST(BenchPlan, StudyQuotesItsFigures) {
    BenchSettings settings{.devices = {"cpu"}, .dtypes = {"fp32"}, .random = true, .study = true};
    const auto rows = plan_bench(settings, bench_experiments());
    ASSERT_EQ(rows.size(), study_experiments().size());
    for (const auto& row : rows) ASSERT_TRUE(row.quoted) << row.experiment;
    EXPECT_EQ(rows.front().shape, (BenchShape{1, {256, 256}}));
    EXPECT_EQ(rows.front().quoted->rtx_a5000_it_per_s, 42);
}

TEST(Bench, MeasuresARow) {
    std::vector<std::string> told;
    const BenchReport report = run_bench(tiny_settings(), [&](const std::string& line) { told.push_back(line); });
    ASSERT_EQ(report.results.size(), 1);
    const BenchResult& row = report.results.front();
    EXPECT_EQ(row.status, BenchStatus::measured) << row.note;
    EXPECT_EQ(row.step_seconds.size(), 2);
    EXPECT_GT(row.gemm_share(), 0);
    EXPECT_GT(*row.load_seconds, 0);
    EXPECT_FALSE(row.encode_seconds);
    EXPECT_GT(*row.decode_seconds, 0);
    constexpr uint64_t weights = 4 * uint64_t{113'673'219};
    EXPECT_GT(row.memory->peak(), weights);
    EXPECT_LT(row.memory->peak(), 3 * weights);
    EXPECT_NE(told.at(0).find("random weights"), std::string::npos) << told[0];
    EXPECT_NE(told.at(1).find("at most"), std::string::npos) << told[1];
}

TEST(Bench, BeginsNothingThatDoesNotFit) {
    BenchSettings settings = tiny_settings();
    settings.max_minutes = 0.0001;
    const BenchReport report = run_bench(settings, [](const std::string&) {});
    EXPECT_EQ(report.results.front().status, BenchStatus::out_of_time);
    EXPECT_TRUE(report.results.front().step_seconds.empty());
}

TEST(BenchBudget, EstimateGrowsWithTheWork) {
    const BenchWork work{.flop_per_step = 100e9, .flop_per_second = 100e9, .parameters = 0, .pixels = 0};
    BenchSettings settings{.steps = 2, .repeats = 5};
    const double one = estimate_seconds({work}, settings);
    EXPECT_GT(one, 11) << "11 steps that take at least a second each";
    EXPECT_DOUBLE_EQ(estimate_seconds({work, work}, settings), 2 * one);
    settings.sustained_minutes = 2;
    EXPECT_DOUBLE_EQ(estimate_seconds({work}, settings), one + 120);
    EXPECT_EQ(guess_load_seconds(0), 0);
}

TEST(BenchBudget, LimitIsWholeMinutesAboveTheEstimate) {
    EXPECT_EQ(limit_seconds(10, {}), 120);
    EXPECT_EQ(limit_seconds(61, {}), 240);
    EXPECT_EQ(limit_seconds(61, 0.5), 30);
}

TEST(BenchBudget, AllowsWhatFitsWithAMargin) {
    Budget budget(1000);
    EXPECT_TRUE(budget.allows(900 / Budget::margin));
    EXPECT_FALSE(budget.allows(1001 / Budget::margin));
    budget.set_limit(0);
    EXPECT_FALSE(budget.allows(0));
}

}  // namespace
}  // namespace diffapple
