// The self-test must be able to fail: wrong results, NaNs and exceptions count, and nothing stops the other checks.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>

#include "diffapple/core/error.h"
#include "diffapple/core/stop.h"
#include "diffapple/tools/selftest/selftest.h"
#include "diffapple/tools/selftest/summary.h"

namespace diffapple {
namespace {

const c10::Device cpu(c10::kCPU);
const std::vector<c10::ScalarType> both{c10::kFloat, c10::kBFloat16};

Check fixed(const std::string& name, double error, double limit) {
    return {name, [=](const Placement&) { return Comparison{error, limit}; }};
}

TEST(Selftest, JudgesByTheLimit) {
    const auto results =
        run_checks({fixed("good", 0.5, 1), fixed("at the limit", 1, 1), fixed("bad", 1.5, 1)}, cpu, {c10::kFloat});
    ASSERT_EQ(results.size(), 3);
    EXPECT_TRUE(results[0].ok);
    EXPECT_TRUE(results[1].ok);
    EXPECT_FALSE(results[2].ok);
}

TEST(Selftest, NaNFails) {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    EXPECT_FALSE(run_checks({fixed("nan", nan, 1)}, cpu, {c10::kFloat}).front().ok);
}

TEST(Selftest, ThrowingCheckFailsAndOthersGoOn) {
    const Check throwing{"throws", [](const Placement&) -> Comparison { throw std::runtime_error("no\nbacktrace"); }};
    const auto results = run_checks({throwing, fixed("good", 0, 0)}, cpu, {c10::kFloat});
    ASSERT_EQ(results.size(), 2);
    EXPECT_FALSE(results[0].ok);
    EXPECT_EQ(results[0].problem, "no");
    EXPECT_TRUE(std::isnan(results[0].comparison.error));
    EXPECT_TRUE(results[1].ok);
}

TEST(Selftest, StopRequestEndsIt) {
    const Check stopping{"stops", [](const Placement&) -> Comparison { throw Interrupted(); }};
    EXPECT_THROW(run_checks({stopping}, cpu, {c10::kFloat}), Interrupted);
}

TEST(Selftest, RunsEveryDtypeOrOnceInFp32) {
    std::vector<c10::ScalarType> seen;
    const auto record = [&](const Placement& placement) {
        seen.push_back(placement.dtype);
        return Comparison{0, 0};
    };
    const auto results = run_checks({{"each", record}, {"once", record, /*every_dtype=*/false}}, cpu, both);
    EXPECT_EQ(seen, (std::vector{c10::kFloat, c10::kBFloat16, c10::kFloat}));
    ASSERT_EQ(results.size(), 3);
    EXPECT_EQ(results[0].dtype, "fp32");
    EXPECT_EQ(results[1].dtype, "bf16");
    EXPECT_EQ(results[2].dtype, "-");
}

TEST(Selftest, FailureIsExitCode3) {
    const auto results = run_checks({fixed("good", 0, 0), fixed("broken layer", 1, 0)}, cpu, both);
    try {
        require_all_passed(results, cpu);
        FAIL() << "did not throw";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::differs);
        EXPECT_NE(std::string(error.what()).find("2 of 4"), std::string::npos) << error.what();
        EXPECT_NE(std::string(error.what()).find("broken layer"), std::string::npos) << error.what();
    }
    EXPECT_NO_THROW(require_all_passed(run_checks({fixed("good", 0, 0)}, cpu, both), cpu));
}

TEST(Selftest, DtypesOfTheCpuLeaveOutFp16) {
    EXPECT_EQ(selftest_dtypes(cpu), both);
}

TEST(Selftest, AllChecksPassOnTheCpu) {
    for (const auto& result : run_checks(selftest_checks(), cpu, selftest_dtypes(cpu)))
        EXPECT_TRUE(result.ok) << result.name << ' ' << result.dtype << ": " << result.comparison.error << " > "
                               << result.comparison.limit << ' ' << result.problem;
}

TEST(SelftestSummary, HoldsMachineChecksAndSpeed) {
    const Check throwing{"throws", [](const Placement&) -> Comparison { throw std::runtime_error("no such kernel"); }};
    const auto checks =
        run_checks({fixed("near", 0.8, 1), fixed("far", 0.1, 1), fixed("bad", 2, 1), throwing}, cpu, {c10::kFloat});
    BenchReport speed{.machine = {.cpu = "Apple M2", .gpu = "", .os = "macOS 26.1", .libtorch = "2.14.1", .cores = 8}};
    EXPECT_NE(selftest_summary(cpu, checks, speed).find("speed: not measured"), std::string::npos);
    speed.results = {{.experiment = "sd15", .dtype = "fp16", .shape = {1, {512, 512}}},
                     {.experiment = "sdxl-turbo", .dtype = "fp16", .shape = {1, {512, 512}}}};
    speed.results[0].step_seconds = {0.5, 0.5};
    speed.results[0].memory = MemoryUse{.device = 3'000'000'000, .resident = 400'000'000};
    speed.results[1].status = BenchStatus::out_of_time;
    const std::string text = selftest_summary(cpu, checks, speed);
    for (const char* const part : {"Apple M2, 8 cores", "macOS 26.1", "LibTorch 2.14.1", "2 of 4 passed",
                                   "at 80%: near", "FAILED fp32  bad: error 2", "throws: no such kernel",
                                   "sd15 fp16 512x512: 2.00 it/s; peak ", "sdxl-turbo fp16 512x512: out of time"})
        EXPECT_NE(text.find(part), std::string::npos) << part << "\nis not in\n" << text;
}

TEST(SelftestSummary, MeasuresEveryModelInItsUsualDtypeInFiveMinutes) {
    const BenchSettings settings = selftest_speed_settings(c10::Device(c10::kCUDA, 1));
    EXPECT_EQ(settings.devices, std::vector<std::string>{"cuda:1"});
    EXPECT_EQ(settings.dtypes, std::vector<std::string>{"fp16"});
    EXPECT_TRUE(settings.experiments.empty() && settings.random);
    EXPECT_EQ(settings.max_minutes, 5);
}

TEST(Selftest, ChecksHaveNamesOfTheirOwn) {
    std::set<std::string> names;
    for (const auto& check : selftest_checks()) EXPECT_TRUE(names.insert(check.name).second) << check.name;
}

}  // namespace
}  // namespace diffapple
