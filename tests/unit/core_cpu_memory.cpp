// The allocator that keeps large blocks for the next tensors.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

#include "diffapple/core/cpu_memory.h"

namespace diffapple {
namespace {

constexpr size_t large = ReusingAllocator::smallest_kept;

class ReusedMemory : public ::testing::Test {
protected:
    void SetUp() override { memory.release(); }
    void TearDown() override { memory.release(); }

    ReusingAllocator& memory = ReusingAllocator::instance();
};

TEST_F(ReusedMemory, ABlockServesTheNextTensorOfItsSize) {
    auto block = memory.allocate(large);
    void* const place = block.get();
    EXPECT_EQ(reinterpret_cast<uintptr_t>(place) % 64, 0U);
    std::memset(place, 1, large);
    block.clear();
    EXPECT_EQ(memory.kept_bytes(), large);
    const auto same = memory.allocate(large);
    EXPECT_EQ(same.get(), place);
    EXPECT_EQ(memory.kept_bytes(), 0U);
}

TEST_F(ReusedMemory, SmallBlocksAreNotKept) {
    memory.allocate(large - 1).clear();
    memory.allocate(0).clear();
    EXPECT_EQ(memory.kept_bytes(), 0U);
}

TEST_F(ReusedMemory, WhatIsKeptAndUsedIsNeverMoreThanWasUsedAtOnce) {
    {
        const auto a = memory.allocate(3 * large), b = memory.allocate(2 * large);  // 5 at once
    }
    EXPECT_EQ(memory.kept_bytes(), 5 * large);
    const auto c = memory.allocate(4 * large);  // of another size: the block that was freed first goes
    EXPECT_LE(memory.kept_bytes(), large);
    const auto d = memory.allocate(2 * large);
    EXPECT_EQ(memory.kept_bytes(), 0U);
    memory.release();
}

TEST_F(ReusedMemory, ReleaseGivesAllBackAndForgetsThePeak) {
    memory.allocate(9 * large).clear();
    memory.release();
    EXPECT_EQ(memory.kept_bytes(), 0U);
    memory.allocate(large).clear();
    const auto other = memory.allocate(2 * large);
    EXPECT_EQ(memory.kept_bytes(), 0U) << "2 is more than was used at once since, so nothing is kept beside it";
}

TEST_F(ReusedMemory, WhereThereIsNoMemoryWhatIsKeptIsGivenBackFirst) {
    memory.allocate(large).clear();
    EXPECT_ANY_THROW(memory.allocate(size_t{1} << 60));
    EXPECT_EQ(memory.kept_bytes(), 0U);
    EXPECT_NE(memory.allocate(large).get(), nullptr);
}

TEST_F(ReusedMemory, FromSeveralThreads) {
    std::vector<std::thread> threads;
    for (int number = 1; number <= 4; ++number)
        threads.emplace_back([this, number] {
            for (size_t i = 0; i < 200; ++i) {
                const size_t bytes = large + i % 3;
                const auto block = memory.allocate(bytes);
                auto* const data = static_cast<unsigned char*>(block.get());
                data[0] = data[bytes - 1] = static_cast<unsigned char>(number);
                std::this_thread::yield();
                ASSERT_EQ(data[0] + data[bytes - 1], 2 * number);
            }
        });
    for (auto& thread : threads) thread.join();
    memory.release();
    EXPECT_EQ(memory.kept_bytes(), 0U);
}

}  // namespace
}  // namespace diffapple
