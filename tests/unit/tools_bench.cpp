// The plan and the run of bench: what is measured, what cannot be and says so, what a step costs.
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "diffapple/core/error.h"
#include "diffapple/io/json_fields.h"
#include "diffapple/tools/bench.h"
#include "diffapple/tools/bench_budget.h"
#include "diffapple/tools/flop_count.h"

namespace diffapple {
namespace {

namespace fs = std::filesystem;

BenchSettings tiny_settings() {
    return {.devices = {"cpu"}, .dtypes = {"fp32"}, .sizes = {32}, .steps = 1, .repeats = 2, .random = true};
}

TEST(BenchModel, ConfigIsTheCheckpoints) {
    const fs::path file = fs::path(__FILE__).parent_path().parent_path() / "data" / "ddpm-cat-256" / "config.json";
    EXPECT_EQ(parse_json(ddpm_cat_config(), "built-in"), read_json_file(file));
}

TEST(BenchModel, IsTheFullSizeModel) {
    const BenchExperiment ddpm = ddpm_bench();
    EXPECT_EQ(ddpm.parameters, 113'673'219);
    EXPECT_EQ(ddpm.study_shape, (BenchShape{1, 256, 256}));
    EXPECT_EQ(ddpm.size_factor, 32);
}

/// The counts of torch.utils.flop_counter.FlopCounterMode for diffusers' UNet2DModel of this config.
TEST(BenchModel, FlopsAreTorchs) {
    const BenchExperiment ddpm = ddpm_bench();
    EXPECT_EQ(ddpm.flop_per_step({1, 256, 256}), 497'027'514'368);
    EXPECT_EQ(ddpm.flop_per_step({1, 128, 128}), 124'137'635'840);
    EXPECT_EQ(ddpm.flop_per_step({1, 64, 96}), 46'548'459'520);
    EXPECT_EQ(ddpm.flop_per_step({1, 32, 32}), 7'766'312'960);
    // diffusers embeds the time of each picture, we that of the batch: 15,728,640 each.
    EXPECT_NEAR(ddpm.flop_per_step({4, 64, 64}), 124'138'422'272, 3 * 15'728'640);
}

TEST(BenchPlan, HasARowForEachConfiguration) {
    BenchSettings settings = tiny_settings();
    settings.dtypes = {"fp32", "bf16"};
    settings.batch_sizes = {1, 4};
    settings.sizes = {32, 64, 96};
    const auto rows = plan_bench(settings, bench_experiments());
    ASSERT_EQ(rows.size(), 12);
    EXPECT_EQ(rows.front().dtype, "fp32");
    EXPECT_EQ(rows.back().shape, (BenchShape{4, 96, 96}));
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
    ASSERT_EQ(rows.size(), study_figures().size());
    for (const auto& row : rows) ASSERT_TRUE(row.quoted) << row.experiment;
    EXPECT_EQ(rows.front().shape, (BenchShape{1, 256, 256}));
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
