// Images and masks for the pipelines. (Values are compared with diffusers' in tests/python/test_image_processor.py.)
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "diffapple/core/error.h"
#include "diffapple/pipelines/image_processor.h"

namespace diffapple {

TEST(ToImages, ScalesRoundsAndClamps) {
    // 0 is 127.5 in 8-bit levels, an exact tie; -1.5 and 2 are outside
    const auto images = to_images(at::tensor({0.0, 1.0, -1.5, 2.0}, at::kDouble).to(at::kFloat).view({1, 1, 2, 2}));
    ASSERT_EQ(images.size(), 1U);
    EXPECT_EQ(images[0].channels, 1);
    EXPECT_EQ(images[0].pixels, (std::vector<uint8_t>{128, 255, 0, 255}));
}

TEST(SizeOfImage, RoundsDown) {
    EXPECT_EQ(size_of_image({71, 16}, 8), (Size{64, 16}));
    EXPECT_THROW(size_of_image({71, 7}, 8), Error);
}

TEST(ImageTensor, IsRgbFromMinusOneToOne) {
    const auto tensor = image_tensor({2, 1, 1, {0, 255}}, {2, 1});
    EXPECT_TRUE(tensor.equal(at::tensor({-1.F, 1.F, -1.F, 1.F, -1.F, 1.F}).view({1, 3, 1, 2})));
}

TEST(MaskTensor, HasItsThresholdAtOneHalf) {
    const auto mask = mask_tensor({4, 1, 1, {0, 127, 128, 255}}, {4, 1});
    EXPECT_TRUE(mask.equal(at::tensor({0.F, 0.F, 1.F, 1.F}).view({1, 1, 1, 4})));
    const auto image = at::full({1, 3, 1, 4}, 0.5F);
    EXPECT_TRUE(masked_image(image, mask)[0][2][0].equal(at::tensor({0.5F, 0.5F, 0.F, 0.F})));
    EXPECT_TRUE(mask_to_latents(mask, 1, 2).equal(at::tensor({0.F, 1.F}).view({1, 1, 1, 2})));
}

TEST(CropRegion, TakesTheAspectRatioOfThePicture) {
    Image mask = blank_image(64, 32, 1);
    mask.pixels[10 * 64 + 60] = 1;
    EXPECT_EQ(crop_region(mask, {8, 8}, 0), (CropRegion{60, 10, 61, 11}));
    EXPECT_EQ(crop_region(mask, {8, 8}, 4), (CropRegion{55, 6, 64, 15}));
    EXPECT_EQ(crop_region(mask, {16, 8}, 1000), (CropRegion{0, 0, 64, 32}));
    EXPECT_THROW(crop_region(blank_image(4, 4, 1), {8, 8}, 1), Error);
}

TEST(KeepUnmasked, TakesTheOriginalWhereTheMaskIsBlack) {
    const Image original{2, 1, 3, {1, 2, 3, 4, 5, 6}}, result{2, 1, 3, {9, 9, 9, 9, 9, 9}}, mask{2, 1, 1, {0, 255}};
    EXPECT_EQ(keep_unmasked(result, original, mask).pixels, (std::vector<uint8_t>{1, 2, 3, 9, 9, 9}));
}

}  // namespace diffapple
