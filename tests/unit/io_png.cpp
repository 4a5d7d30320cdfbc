// PNG files with text chunks, written and read back, and hostile ones.
#include "diffapple/io/png.h"
#include "io_support.h"

namespace diffapple {
namespace {

namespace fs = std::filesystem;

Image gradient(int64_t width, int64_t height, int64_t channels) {
    Image image{width, height, channels, {}};
    for (int64_t i = 0; i < width * height * channels; ++i) image.pixels.push_back(static_cast<uint8_t>(i * 7));
    return image;
}

std::string encode(const Image& image, const std::vector<TextChunk>& text = {}) {
    const std::vector<std::byte> png = encode_png(image, text);
    return {reinterpret_cast<const char*>(png.data()), png.size()};
}

class Png : public ::testing::Test {
protected:
    PngInfo read(const std::string& bytes) { return read_png_info(folder_.write("x.png", bytes)); }
    /// Reads a small picture with these chunks before its pixels.
    PngInfo read_with(const std::string& chunks) { return read(png_.substr(0, 33) + chunks + png_.substr(33)); }

    TemporaryFolder folder_;
    const std::string png_ = encode(gradient(2, 2, 3));
};

}  // namespace

TEST_F(Png, WritesTextBeforeThePixels) {
    const std::vector<TextChunk> text = {{"parameters", "{\"prompt\": \"a cat\"}\nsecond line"},
                                         {"Title", "caf\xc3\xa9"},
                                         {"Name", "\xe7\x8c\xab \xf0\x9f\x90\x88"},
                                         {"tab", "a\tb"},
                                         {"Stra\xc3\x9f"
                                          "e",
                                          ""}};
    const std::string png = encode(gradient(5, 3, 3), text);
    EXPECT_LT(png.find("Title"), png.find("IDAT"));
    EXPECT_TRUE(contains(png, std::string("tEXtTitle\0caf\xe9", 14)));
    EXPECT_TRUE(contains(png, std::string("iTXtName\0\0\0\0\0", 13)));
    EXPECT_TRUE(contains(png, "iTXttab"));
    const PngInfo info = read(png);
    EXPECT_EQ(info.width, 5);
    EXPECT_EQ(info.height, 3);
    ASSERT_EQ(info.text.size(), text.size());
    for (size_t i = 0; i < text.size(); ++i) {
        EXPECT_EQ(info.text[i].keyword, text[i].keyword);
        EXPECT_EQ(info.text[i].text, text[i].text);
    }
}

TEST_F(Png, WritesGreyRgbAndRgbaTheSameEachTime) {
    for (const int64_t channels : {1, 3, 4}) {
        const Image image = gradient(17, 9, channels);
        EXPECT_EQ(encode(image), encode(image));
        EXPECT_EQ(read(encode(image)).width, 17);
    }
}

TEST_F(Png, RefusesImpossiblePictures) {
    EXPECT_ERROR(encode_png({2, 2, 2, std::vector<uint8_t>(8)}, {}), "2 channels");
    EXPECT_ERROR(encode_png({2, 2, 3, std::vector<uint8_t>(11)}, {}), "has 11 bytes of pixels");
    EXPECT_ERROR(encode_png({0, 2, 3, {}}, {}), "0x2 pixels cannot be written");
    EXPECT_ERROR(encode_png({2, -1, 3, {}}, {}), "cannot be written");
    EXPECT_ERROR(encode_png({1 << 16, 1 << 16, 1, {}}, {}), "cannot be written");
    EXPECT_ERROR(encode_png({INT64_MAX, INT64_MAX, 4, {}}, {}), "cannot be written");
}

TEST_F(Png, RefusesTextThatPngCannotHold) {
    const Image image = gradient(1, 1, 1);
    for (const std::string& keyword : std::vector<std::string>{"", std::string(80, 'k'), " a", "a ", "a\nb",
                                                               std::string("a\0b", 3), "\xe7\x8c\xab", "\xff"}) {
        EXPECT_ERROR(encode_png(image, {{keyword, "x"}}), "PNG keyword");
    }
    for (const std::string& text : std::vector<std::string>{std::string("a\0b", 3), "\xff", "\xc3", "\xc0\x80",
                                                            "\xed\xa0\x80", "\xf4\x90\x80\x80", "\x80"}) {
        EXPECT_ERROR(encode_png(image, {{"key", text}}), "is not UTF-8");
    }
    EXPECT_ERROR(encode_png(image, {{"key", std::string((16 << 20) + 1, 'x')}}), "is larger than");
    EXPECT_EQ(read(encode(image, {{std::string(79, 'k'), "x"}})).text.size(), 1U);
}

TEST_F(Png, ReadsCompressedTextWhereverItStands) {
    const std::string nul(1, '\0');
    const std::string text =
        png_chunk("zTXt", "z" + nul + nul + deflated("z\xe9")) +
        png_chunk("iTXt", "i" + nul + "\x01" + nul + "de" + nul + "wort" + nul + deflated("\xe7\x8c\xab"));
    EXPECT_EQ(read_with(text).text.at(0).text, "z\xc3\xa9");
    EXPECT_EQ(read_with(text).text.at(1).text, "\xe7\x8c\xab");
    const std::string after = png_.substr(0, png_.size() - 12) + text + png_.substr(png_.size() - 12);
    EXPECT_EQ(read(after + "anything after the end").text.size(), 2U);
}

TEST_F(Png, EveryTruncationIsAnError) {
    const std::string png = encode(gradient(2, 2, 3), {{"a", "b"}});
    for (size_t size = 0; size < png.size(); ++size) {
        EXPECT_THROW(read(png.substr(0, size)), Error) << "cut after " << size << " bytes";
    }
}

TEST_F(Png, EveryDamagedByteIsNoticed) {
    const std::string png = encode(gradient(2, 2, 3), {{"a", "b"}});
    for (size_t i = 0; i < png.size(); ++i) {
        std::string damaged = png;
        damaged[i] = static_cast<char>(damaged[i] ^ 0x20);
        EXPECT_THROW(read(damaged), Error) << "byte " << i;
    }
}

TEST_F(Png, RejectsMalformedChunks) {
    const std::string nul(1, '\0');
    const std::string malformed = "malformed text chunk";
    EXPECT_ERROR(read_with(png_chunk("tEXt", "no end")), malformed);
    EXPECT_ERROR(read_with(png_chunk("tEXt", "")), malformed);
    EXPECT_ERROR(read_with(png_chunk("tEXt", nul + "text")), malformed);
    EXPECT_ERROR(read_with(png_chunk("tEXt", std::string(1000, 'k') + nul)), malformed);
    EXPECT_ERROR(read_with(png_chunk("zTXt", "k" + nul)), malformed);
    EXPECT_ERROR(read_with(png_chunk("zTXt", "k" + nul + "\x01" + deflated("x"))), malformed);
    EXPECT_ERROR(read_with(png_chunk("zTXt", "k" + nul + nul + "no zlib")), malformed);
    EXPECT_ERROR(read_with(png_chunk("zTXt", "k" + nul + nul + deflated("text").substr(0, 5))), malformed);
    EXPECT_ERROR(read_with(png_chunk("iTXt", "k" + nul)), malformed);
    EXPECT_ERROR(read_with(png_chunk("iTXt", "k" + nul + "\x02" + nul + nul + nul)), malformed);
    EXPECT_ERROR(read_with(png_chunk("iTXt", "k" + nul + nul + nul + "no language end")), malformed);
    EXPECT_ERROR(read_with(png_chunk("iTXt", "k" + nul + nul + nul + nul + nul + "\xff")), malformed);
    EXPECT_ERROR(read_with(big_endian(0xffffffff) + "tEXt"), "cut off");
    EXPECT_ERROR(read_with(big_endian(0x7fffffff) + "tEXt"), "cut off");
}

TEST_F(Png, RejectsOtherFilesAndMissingParts) {
    const std::string signature = png_.substr(0, 8), end = png_chunk("IEND", "");
    const auto header = [](uint32_t width, uint32_t height) {
        return png_chunk("IHDR", big_endian(width) + big_endian(height) + std::string("\x08\x02\0\0\0", 5));
    };
    const std::string pixels = png_chunk("IDAT", "x");
    EXPECT_EQ(read(signature + header(7, 8) + pixels + end).height, 8);
    EXPECT_ERROR(read(""), "is not a PNG file");
    EXPECT_ERROR(read("GIF89a"), "is not a PNG file");
    EXPECT_ERROR(read(signature), "ends before");
    EXPECT_ERROR(read(signature + pixels + end), "no header chunk");
    EXPECT_ERROR(read(signature + png_chunk("IHDR", "short") + pixels + end), "no header chunk");
    EXPECT_ERROR(read(signature + header(0, 8) + pixels + end), "impossible size");
    EXPECT_ERROR(read(signature + header(7, 0x80000000) + pixels + end), "impossible size");
    EXPECT_ERROR(read(signature + header(7, 8) + end), "no picture");
    EXPECT_ERROR(read_png_info(folder_.path()), "is not a file");
    EXPECT_ERROR(read_png_info(folder_.path() / "absent.png"), "absent.png: cannot open");
}

TEST_F(Png, CompressedBombsEndAtTheLimit) {
    const std::string nul(1, '\0');
    const std::string bomb = deflated(std::string(10 << 20, 'x'));
    EXPECT_EQ(read_with(png_chunk("zTXt", "k" + nul + nul + bomb)).text.at(0).text.size(), size_t{10} << 20);
    const std::string two =
        png_chunk("zTXt", "k" + nul + nul + bomb) + png_chunk("iTXt", "k" + nul + "\x01" + nul + nul + nul + bomb);
    EXPECT_ERROR(read_with(two), "more than 16777216 bytes of text");
    EXPECT_ERROR(read_with(png_chunk("tEXt", "k" + nul + std::string(17 << 20, 'x'))), "bytes of text");
}

}  // namespace diffapple
