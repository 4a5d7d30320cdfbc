// The grid of batches that a run's lists make.
#include <gtest/gtest.h>

#include "diffapple/core/error.h"
#include "diffapple/recipes/run_settings.h"

namespace diffapple {
namespace {

RunSettings lists() {
    RunSettings settings;
    settings.seeds = {1, 2};
    settings.steps = {5, 10};
    settings.guidance = {0, 7.5};
    settings.prompts = {"a", "b"};
    return settings;
}

TEST(ExpandBatches, EveryCombinationOnceSeedsFastest) {
    const auto batches = expand_batches(lists(), "ddim");
    ASSERT_EQ(batches.size(), 8U);
    EXPECT_EQ(batches[0].seed, 1U);
    EXPECT_EQ(batches[1].seed, 2U);
    EXPECT_EQ(batches[1].guidance, 0.0);
    EXPECT_EQ(batches[2].guidance, 7.5);
    EXPECT_EQ(batches[3].steps, 5);
    EXPECT_EQ(batches[4].steps, 10);
    EXPECT_EQ(batches[7].scheduler, "ddim");
    EXPECT_FALSE(batches[7].strength);
}

TEST(ExpandBatches, NamedSchedulersReplaceTheDefault) {
    RunSettings settings = lists();
    settings.schedulers = {"euler", "pndm"};
    const auto batches = expand_batches(settings, "ddim");
    ASSERT_EQ(batches.size(), 16U);
    EXPECT_EQ(batches.front().scheduler, "euler");
    EXPECT_EQ(batches.back().scheduler, "pndm");
}

TEST(ExpandBatches, ExperimentsWithoutPromptsHaveNoGuidance) {
    RunSettings settings;
    settings.steps = {3};
    const auto batches = expand_batches(settings, "ddpm");
    ASSERT_EQ(batches.size(), 1U);
    EXPECT_FALSE(batches.front().guidance);
}

TEST(ExpandBatches, TooManyPicturesAreRefused) {
    RunSettings settings = lists();
    settings.batch_size = 10'000;
    EXPECT_THROW(expand_batches(settings, "ddim"), Error);
}

TEST(ExpandBatches, OneFileOfLatentsIsForOneBatch) {
    RunSettings settings = lists();
    settings.save_latents = "x.safetensors";
    EXPECT_THROW(expand_batches(settings, "ddim"), Error);
    settings.seeds = {1};
    settings.steps = {5};
    settings.guidance = {2};
    EXPECT_EQ(expand_batches(settings, "ddim").size(), 1U);  // of two prompts
}

}  // namespace
}  // namespace diffapple
