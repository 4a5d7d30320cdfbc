// The stand-in mps device as the program sees it: found by name, with memory that is counted, and private.
#include <ATen/ATen.h>
#include <ATen/DeviceAccelerator.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "diffapple/core/device.h"
#include "diffapple/core/libtorch.h"

namespace diffapple {
namespace {

const at::Device kDevice(at::kMPS);

uint64_t current_bytes() {
    return static_cast<uint64_t>(at::accelerator::getDeviceStats(0).allocated_bytes.at(0).current);
}

at::Tensor floats(int64_t count) {
    return at::empty({count}, at::device(kDevice).dtype(at::kFloat));
}

}  // namespace

TEST(StandinDevice, IsTheAcceleratorThatAutoFinds) {
    EXPECT_EQ(find_device("auto").type(), at::kMPS);
    EXPECT_EQ(device_name(find_device("mps")), "mps");
    EXPECT_EQ(at::accelerator::getAccelerator(), at::kMPS);
    EXPECT_EQ(libtorch::device_count(at::kMPS), 1);
    synchronize(kDevice);
    at::accelerator::synchronizeDevice(0);
    empty_cache(kDevice);
}

TEST(StandinDevice, ListsAMacWith16Gigabytes) {
    const auto memory = libtorch::memory(kDevice);
    EXPECT_EQ(memory.recommended, 11'453'251'584);
    ASSERT_TRUE(memory.free.has_value());
    EXPECT_EQ(*memory.free, *memory.recommended - current_bytes());
}

TEST(StandinDevice, CountsCurrentAndPeakBytes) {
    at::accelerator::resetPeakStats(0);
    const uint64_t before = current_bytes();
    const at::Tensor kept = floats(1000);
    { const at::Tensor dropped = floats(500); }
    EXPECT_EQ(current_bytes(), before + 4000);
    EXPECT_EQ(peak_memory(kDevice), before + 6000);
}

TEST(StandinDevice, CountsTheResultsOfOperators) {
    const at::Tensor x = at::ones({1000}, kDevice);
    const uint64_t before = current_bytes();
    const at::Tensor y = at::relu(x);
    EXPECT_EQ(current_bytes(), before + 4000);
    const at::Tensor view = y.slice(0, 0, 10);
    EXPECT_EQ(current_bytes(), before + 4000);
}

TEST(StandinDevice, RunsOutOfMemoryAsAMacDoes) {
    // LibTorch's own limit is 1.7 times of what is recommended; the program sets 1.1, and a lower bound that fits.
    const auto count = static_cast<int64_t>(*libtorch::memory(kDevice).recommended / sizeof(float));
    EXPECT_THROW(floats(2 * count), c10::OutOfMemoryError);
    EXPECT_STREQ(std::getenv("PYTORCH_MPS_HIGH_WATERMARK_RATIO"), "1.1");
    EXPECT_STREQ(std::getenv("PYTORCH_MPS_LOW_WATERMARK_RATIO"), "1.0");
}

TEST(StandinDevice, FreeMemoryIsNoMoreThanTheMachineHas) {
    for (const auto& info : list_devices()) {
        if (info.name != "mps") continue;
        ASSERT_TRUE(info.free_memory.has_value());
        EXPECT_LE(*info.free_memory, physical_memory());
        EXPECT_LE(*info.free_memory, *info.recommended_memory);
    }
}

TEST(StandinDevice, MarksInTheQueueArePassed) {
    commit(kDevice);
    const at::Tensor x = at::ones({4}, kDevice);
    EXPECT_TRUE(QueueMark(kDevice).passed());
    EXPECT_TRUE(QueueMark(c10::Device(c10::kCPU)).passed());
    end_stage(kDevice);
}

TEST(StandinDevice, DrawsOtherNumbersThanTheCpu) {
    at::manual_seed(7);
    const at::Tensor on_device = at::randn({8}, kDevice);
    EXPECT_TRUE(on_device.is_mps());
    EXPECT_FALSE(at::equal(at::randn({8}), on_device.cpu()));
}

TEST(StandinDeviceDeathTest, ItsMemoryCannotBeReadByTheCpu) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    const at::Tensor x = at::ones({4}, kDevice);
    EXPECT_DEATH({ EXPECT_EQ(*static_cast<const volatile float*>(x.const_data_ptr()), 1.0F); }, "");
}

}  // namespace diffapple
