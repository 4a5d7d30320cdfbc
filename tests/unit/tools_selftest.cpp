// The self-test must be able to fail: wrong results, NaNs and exceptions count, and nothing stops the other checks.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>

#include "diffapple/core/error.h"
#include "diffapple/core/stop.h"
#include "diffapple/tools/selftest/selftest.h"

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

TEST(Selftest, ChecksHaveNamesOfTheirOwn) {
    std::set<std::string> names;
    for (const auto& check : selftest_checks()) EXPECT_TRUE(names.insert(check.name).second) << check.name;
}

}  // namespace
}  // namespace diffapple
