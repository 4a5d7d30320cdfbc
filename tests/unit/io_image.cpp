// Picture files of every kind read, and pictures turned, cropped, resized and blurred. (Values are compared with
// Pillow's in tests/python/test_images.py.)
#include "../../src/io/exif.h"
#include "diffapple/io/image.h"
#include "diffapple/io/png.h"
#include "diffapple/io/resample.h"
#include "image_samples.h"
#include "io_support.h"

namespace diffapple {
namespace {

/// 0, 1, 2, ... in every value.
Image counting(int64_t width, int64_t height, int64_t channels) {
    Image image = blank_image(width, height, channels);
    for (size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = static_cast<uint8_t>(i);
    return image;
}

class ReadImage : public ::testing::Test {
protected:
    Image read(const std::string& bytes) { return read_image(folder_.write("x", bytes)); }

    TemporaryFolder folder_;
};

}  // namespace

TEST_F(ReadImage, GivesBackAWrittenPng) {
    for (const int64_t channels : {1, 3}) {
        const Image image = counting(7, 5, channels);
        const auto png = encode_png(image, {{"key", "text"}});
        EXPECT_EQ(read({reinterpret_cast<const char*>(png.data()), png.size()}), image);
    }
}

TEST_F(ReadImage, ReadsEveryKind) {
    for (const std::string& sample : image_samples()) {
        const Image image = read(sample);
        EXPECT_EQ(image.pixels.size(), static_cast<size_t>(image.width * image.height * image.channels));
        EXPECT_TRUE(image.channels == 1 || image.channels == 3);
    }
}

TEST_F(ReadImage, TurnsByExif) {
    for (const std::string& file : {grey_jpeg(), lossy_webp()}) {  // 17x9 as stored
        const Image image = read(file);
        EXPECT_EQ(image.width, 9);
        EXPECT_EQ(image.height, 17);
    }
}

TEST_F(ReadImage, RefusesTheStartOfAnyFile) {
    for (const std::string& sample : image_samples())
        for (size_t size = 0; size + 1 < sample.size(); size += 7) EXPECT_ERROR(read(sample.substr(0, size)), "x: ");
}

TEST_F(ReadImage, RefusesLies) {
    EXPECT_ERROR(read(sample_png(20000, 1, 8, 0, false, 20001)), "at most 16384 a side");
    EXPECT_ERROR(read(sample_png(16384, 16384, 8, 0, false, 9)), "and at most");
    EXPECT_ERROR(read(sample_png(3, 2, 8, 2, false, 19)), "ends before the picture does");
    EXPECT_ERROR(read(sample_png(3, 2, 8, 2, false, 10'000'000)), "more than its picture");
    ChunkList cut_stream = png_chunks(sample_png(3, 2, 8, 2, false, 20));
    for (auto& [type, data] : cut_stream)
        if (type == "IDAT") data.resize(data.size() - 2);  // all pixels, but not the whole checksum
    EXPECT_ERROR(read(png_file(cut_stream)), "ends before the picture does");
    EXPECT_ERROR(read(sample_bmp(16000, 6000, 24, 0, "", 24)), "ends before the picture does");
    EXPECT_ERROR(read(sample_bmp(3, 2, 8, 1, std::string(1024, ' '), 8)), "compression 1");
    std::string jpeg = progressive_jpeg();
    const size_t frame = jpeg.find("\xff\xc2");
    ASSERT_NE(frame, std::string::npos);
    jpeg.replace(frame + 5, 4, "\x20\x00\x20\x00", 4);
    EXPECT_ERROR(read(jpeg), "is too short for a picture of 8192x8192");
    EXPECT_ERROR(read("GIF89a"), "is not a PNG, JPEG or BMP file");
    EXPECT_ERROR(read(""), "is empty");
}

TEST(Oriented, FollowsExif) {
    const Image image{2, 1, 1, {1, 2}};
    const std::vector<std::vector<uint8_t>> expected = {{1, 2}, {2, 1}, {2, 1}, {1, 2}, {1, 2}, {1, 2}, {2, 1}, {2, 1}};
    for (int orientation = 1; orientation <= 8; ++orientation) {
        const Image turned = oriented(image, orientation);
        EXPECT_EQ(turned.pixels, expected[orientation - 1]) << orientation;
        EXPECT_EQ(turned.width, orientation < 5 ? 2 : 1) << orientation;
    }
}

TEST(Crop, IsBlackOutside) {
    const Image image = counting(3, 2, 1);
    EXPECT_EQ(crop(image, 1, 0, 3, 2), (Image{2, 2, 1, {1, 2, 4, 5}}));
    EXPECT_EQ(crop(image, -1, 1, 1, 3), (Image{2, 2, 1, {0, 3, 0, 0}}));
    EXPECT_THROW(crop(image, 2, 0, 2, 1), Error);
}

TEST(Paste, LeavesOutWhatDoesNotFit) {
    Image onto = blank_image(3, 3, 1);
    paste(onto, {2, 2, 1, {1, 2, 3, 4}}, 2, -1);
    EXPECT_EQ(onto.pixels, (std::vector<uint8_t>{0, 0, 3, 0, 0, 0, 0, 0, 0}));
    paste(onto, {2, 2, 1, {1, 2, 3, 4}}, 5, 5);
    EXPECT_EQ(onto.pixels[8], 0);
    EXPECT_THROW(paste(onto, blank_image(1, 1, 3), 0, 0), Error);
}

TEST(Resize, KeepsAConstantPicture) {
    Image image = blank_image(13, 9, 3);
    std::fill(image.pixels.begin(), image.pixels.end(), 201);
    for (const Filter filter : {Filter::nearest, Filter::box, Filter::bilinear, Filter::bicubic, Filter::lanczos}) {
        for (const auto& [width, height] : {std::pair{5, 30}, std::pair{40, 2}, std::pair{1, 1}}) {
            const Image resized = resize(image, width, height, filter);
            EXPECT_EQ(resized.width, width);
            EXPECT_EQ(std::count(resized.pixels.begin(), resized.pixels.end(), 201), width * height * 3);
        }
    }
    EXPECT_EQ(resize(image, 13, 9, Filter::lanczos), image);
    EXPECT_THROW(resize(image, 0, 9, Filter::lanczos), Error);
    EXPECT_THROW(resize(image, 5, 5, Filter::lanczos, {0, 0, 14, 9}), Error);
}

TEST(GaussianBlur, SpreadsAPoint) {
    Image image = blank_image(9, 9, 1);
    image.pixels[40] = 255;
    const Image blurred = gaussian_blur(image, 1);
    EXPECT_LT(blurred.pixels[40], 60);
    EXPECT_GT(blurred.pixels[40], blurred.pixels[41]);
    EXPECT_EQ(blurred.pixels[39], blurred.pixels[49]);
    EXPECT_EQ(gaussian_blur(image, 0), image);
    EXPECT_THROW(gaussian_blur(image, -1), Error);
    EXPECT_THROW(gaussian_blur(image, std::numeric_limits<double>::quiet_NaN()), Error);
}

}  // namespace diffapple
