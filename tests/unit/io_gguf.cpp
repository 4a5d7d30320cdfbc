// The GGUF reader against good and hostile files. Values of all types: tests/python/test_gguf.py.
#include <ATen/ATen.h>

#include "diffapple/io/weights.h"
#include "io_support.h"

namespace diffapple {
namespace {

constexpr uint32_t f32 = 0, q8_0 = 8, unknown_type = 99;

class Gguf : public ::testing::Test {
protected:
    StoredTensors open(const std::string& content) { return open_gguf(folder_.write("x.gguf", content)); }
    std::string error(const std::string& content) {
        std::string text = error_of([&] { open(content); });
        EXPECT_TRUE(contains(text, "x.gguf: ")) << text;
        return text;
    }

    TemporaryFolder folder_;
};

/// A block of q8_0: a scale of 0.5, and the numbers from 0.
std::string q8_block() {
    std::string block = bytes_of(uint16_t{0x3800});
    for (int8_t i = 0; i < 32; ++i) block += bytes_of(i);
    return block;
}

std::string padded(const std::string& text, size_t alignment = 32) {
    return text + std::string((alignment - text.size() % alignment) % alignment, '\0');
}

#define EXPECT_GGUF_ERROR(content, part)                            \
    do {                                                            \
        const std::string text = error(content);                    \
        EXPECT_TRUE(contains(text, part)) << "the error: " << text; \
    } while (false)

}  // namespace

TEST_F(Gguf, ReadsBlocksAsNumbersAndTheRestInPlace) {
    const std::string header =
        gguf_header({gguf_tensor("q", {32, 1}, q8_0, 0), gguf_tensor("v", {2}, f32, 64)}, {gguf_number("k", 7)});
    const StoredTensors tensors = open(padded(header) + padded(padded(q8_block()) + bytes_of(1.5F) + bytes_of(-2.0F)));
    const StoredTensor& blocks = tensors.at("q");
    EXPECT_EQ(blocks.dtype, at::kFloat);
    EXPECT_EQ(blocks.shape, (std::vector<int64_t>{1, 32})) << "ggml counts from the innermost";
    EXPECT_EQ(blocks.bytes, 128U);
    EXPECT_EQ(blocks.packing->name, "q8_0");
    EXPECT_EQ(blocks.packing->bytes, 34U);
    EXPECT_TRUE(at::equal(blocks.read(), at::arange(32).to(at::kFloat).mul(0.5).reshape({1, 32})));
    blocks.release();
    const StoredTensor& plain = tensors.at("v");
    EXPECT_FALSE(plain.packing);
    EXPECT_TRUE(at::equal(plain.read(), at::tensor({1.5F, -2.0F})));
    at::Tensor copy = at::empty({2});
    plain.read_into(copy);
    EXPECT_TRUE(at::equal(copy, plain.read()));
}

TEST_F(Gguf, TakesAlignmentAndOriginalShapesFromTheHeader) {
    const std::string header =
        gguf_header({gguf_tensor("a", {4}, f32, 0), gguf_tensor("b", {1}, f32, 64)},
                    {gguf_number("general.alignment", 64), gguf_numbers("comfy.gguf.orig_shape.a", {2, 1, 2, 1})});
    const StoredTensors tensors = open(padded(header, 64) + padded(std::string(16, '\0'), 64) + bytes_of(3.0F));
    EXPECT_EQ(tensors.at("a").shape, (std::vector<int64_t>{2, 1, 2, 1}));
    EXPECT_EQ(tensors.at("b").read().item<float>(), 3.0F) << "the last tensor need not be padded";
}

TEST_F(Gguf, RefusesOtherFiles) {
    EXPECT_GGUF_ERROR("", "cut off");
    EXPECT_GGUF_ERROR("GGML" + std::string(100, '\0'), "no GGUF file");
    EXPECT_GGUF_ERROR("GGUF" + bytes_of(uint32_t{1}) + std::string(100, '\0'), "version 1");
    EXPECT_GGUF_ERROR("GGUF" + bytes_of(uint32_t{3} << 24) + std::string(100, '\0'), "big-endian");
    EXPECT_GGUF_ERROR(gguf_header({}, {}), "holds no tensors");
    EXPECT_GGUF_ERROR("version https://git-lfs.github.com/spec/v1\n", "git lfs pull");
}

TEST_F(Gguf, RefusesCountsAndLengthsThatCannotBeTrue) {
    const uint64_t huge = uint64_t{1} << 60;
    const std::string tensor = gguf_tensor("a", {1}, f32, 0);
    const std::string start = "GGUF" + bytes_of(uint32_t{3});
    EXPECT_GGUF_ERROR(start + bytes_of(huge) + bytes_of(uint64_t{0}) + tensor, "cut off");
    EXPECT_GGUF_ERROR(start + bytes_of(uint64_t{1}) + bytes_of(huge) + tensor, "cut off");
    EXPECT_GGUF_ERROR(gguf_header({bytes_of(huge)}, {}), "a name of");
    EXPECT_GGUF_ERROR(gguf_header({tensor}, {gguf_text("k") + bytes_of(uint32_t{8}) + bytes_of(huge)}), "cut off");
    EXPECT_GGUF_ERROR(
        gguf_header({tensor}, {gguf_text("k") + bytes_of(uint32_t{9}) + bytes_of(uint32_t{4}) + bytes_of(huge)}),
        "cut off");
    EXPECT_GGUF_ERROR(gguf_header({tensor}, {gguf_text("k") + bytes_of(uint32_t{77})}), "unknown type 77");
    EXPECT_GGUF_ERROR(
        gguf_header({tensor}, {gguf_text("k") + bytes_of(uint32_t{9}) + bytes_of(uint32_t{9}) + bytes_of(uint64_t{1})}),
        "unknown type 9");
    for (const uint64_t alignment : {uint64_t{0}, uint64_t{3}, uint64_t{1} << 31})
        EXPECT_GGUF_ERROR(gguf_header({tensor}, {gguf_number("general.alignment", alignment)}), "no power of two");
}

TEST_F(Gguf, RefusesTensorsThatDoNotFit) {
    const auto file = [](const std::vector<std::string>& tensors, const std::vector<std::string>& values = {}) {
        return padded(gguf_header(tensors, values)) + std::string(256, '\0');
    };
    const uint64_t wide = uint64_t{1} << 40, negative = ~uint64_t{31};
    EXPECT_GGUF_ERROR(file({gguf_tensor("a", {1}, unknown_type, 0)}), "ggml's type 99");
    EXPECT_GGUF_ERROR(file({gguf_tensor("a", {33}, q8_0, 0)}), "no whole blocks of q8_0");
    EXPECT_GGUF_ERROR(file({gguf_tensor("a", {wide, wide}, f32, 0)}), "too large");
    EXPECT_GGUF_ERROR(file({gguf_tensor("a", {wide}, f32, 0)}), "ends after the end");
    EXPECT_GGUF_ERROR(file({gguf_tensor("a", {negative}, q8_0, 0)}), "too large");
    EXPECT_GGUF_ERROR(file({gguf_tensor("a", {0}, f32, 0)}), "empty");
    EXPECT_GGUF_ERROR(file({gguf_text("a") + bytes_of(uint32_t{1} << 31)}), "dimensions");
    EXPECT_GGUF_ERROR(file({gguf_tensor("a", {1}, f32, uint64_t{1} << 63)}), "starts at byte");
    EXPECT_GGUF_ERROR(file({gguf_tensor("a", {1}, f32, 0), gguf_tensor("b", {1}, f32, 0)}), "starts at byte 0");
    EXPECT_GGUF_ERROR(file({gguf_tensor("a", {1}, f32, 0), gguf_tensor("a", {1}, f32, 32)}), "twice");
    EXPECT_GGUF_ERROR(file({gguf_tensor("a", {4}, f32, 0)}, {gguf_numbers("comfy.gguf.orig_shape.a", {2, 3})}),
                      "original shape");
    EXPECT_GGUF_ERROR(file({gguf_tensor("a", {4}, f32, 0)}, {gguf_numbers("comfy.gguf.orig_shape.a", {-2, -2})}),
                      "original shape");
    const std::string whole = padded(gguf_header({gguf_tensor("a", {32}, q8_0, 0)}, {})) + q8_block();
    for (size_t kept = 0; kept < whole.size(); ++kept) error(whole.substr(0, kept));
    EXPECT_EQ(open(whole).size(), 1U);
}

}  // namespace diffapple
