// The size of pictures: what is asked for, else the model's.
#include <gtest/gtest.h>

#include "diffapple/core/error.h"
#include "diffapple/recipes/settings.h"

namespace diffapple {
namespace {

Size settled(std::optional<int64_t> width, std::optional<int64_t> height, const std::optional<Size>& usual) {
    const Circumstances now{
        .experiment = find_study_experiment("ddpm"), .traits = {.size_factor = 4}, .default_size = usual};
    BatchSettings batch;
    batch.width = width;
    batch.height = height;
    for (const char* const side : {"width", "height"}) setting(side).settle(batch, now);
    return batch.size();
}

}  // namespace

TEST(PictureSize, FollowsTheModel) {
    const Size usual{.width = 32, .height = 16};
    EXPECT_EQ(settled({}, {}, usual), usual);
    EXPECT_EQ(settled(8, {}, usual), (Size{8, 16}));
    EXPECT_EQ(settled(8, 12, {}), (Size{8, 12}));
    for (const int64_t width : {0, 2, 30}) EXPECT_THROW(settled(width, {}, usual), Error) << width;
    EXPECT_THROW(settled({}, 30, usual), Error);
    EXPECT_THROW(settled(8, {}, {}), Error);
}

}  // namespace diffapple
