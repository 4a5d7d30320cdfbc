// Where time goes: each operator's own calls and seconds.
#include <ATen/ATen.h>
#include <ATen/record_function.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <thread>

#include "diffapple/core/operator_times.h"

namespace diffapple {
namespace {

using namespace std::chrono_literals;

const OperatorTime* find(const std::vector<OperatorTime>& times, const std::string& name) {
    const auto found = std::find_if(times.begin(), times.end(), [&](const auto& time) { return time.name == name; });
    return found == times.end() ? nullptr : &*found;
}

void kernel_of_our_own(std::chrono::milliseconds duration) {
    RECORD_FUNCTION("diffapple::test", std::vector<c10::IValue>());
    std::this_thread::sleep_for(duration);
}

TEST(OperatorTimes, AreEachOperatorsOwn) {
    const auto a = at::ones({8, 8});
    const auto times = measure_operators(at::kCPU, [&] {
        for (int i = 0; i < 3; ++i) at::matmul(a, a);
        kernel_of_our_own(30ms);
        std::this_thread::sleep_for(60ms);
    });
    ASSERT_TRUE(find(times, "aten::matmul") && find(times, "aten::mm") && find(times, "diffapple::test"));
    EXPECT_EQ(find(times, "aten::matmul")->calls, 3);
    EXPECT_EQ(find(times, "aten::mm")->calls, 3) << "within matmul";
    EXPECT_EQ(find(times, "diffapple::test")->calls, 1);
    EXPECT_GE(find(times, "diffapple::test")->seconds, 0.03);
    EXPECT_EQ(times[0].name, "") << "the slowest is what no operator did";
    EXPECT_GE(times[0].seconds, 0.06);
    EXPECT_EQ(times[1].name, "diffapple::test");
    EXPECT_TRUE(std::is_sorted(times.begin(), times.end(), [](auto& x, auto& y) { return x.seconds > y.seconds; }));
}

TEST(OperatorTimes, EndWithTheWork) {
    EXPECT_THROW(measure_operators(at::kCPU, [] { throw std::runtime_error("no"); }), std::runtime_error);
    at::ones({2});  // nobody listens
    EXPECT_EQ(find(measure_operators(at::kCPU, [] {}), "aten::ones"), nullptr);
}

}  // namespace
}  // namespace diffapple
