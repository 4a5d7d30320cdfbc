// The safetensors reader against good and hostile files, and the writer against the reader.
#include <ATen/ATen.h>

#include <limits>

#include "diffapple/io/weights.h"
#include "io_support.h"

namespace diffapple {
namespace {

namespace fs = std::filesystem;

/// A header with one F32 tensor "a" of two elements, described by these fields.
std::string one_tensor(const std::string& fields) {
    return "{\"a\":{" + fields + "}}";
}

const std::string kGoodFields = R"("dtype":"F32","shape":[2],"data_offsets":[0,8])";

std::string two_floats() {
    return bytes_of(1.5F) + bytes_of(-2.0F);
}

class Safetensors : public ::testing::Test {
protected:
    StoredTensors open(const std::string& content) { return open_safetensors(folder_.write("x.safetensors", content)); }
    StoredTensors open(const std::string& header, const std::string& data) {
        return open(safetensors_bytes(header, data));
    }
    std::string error(const std::string& header, const std::string& data = two_floats()) {
        std::string text = error_of([&] { open(header, data); });
        EXPECT_TRUE(contains(text, "x.safetensors: ")) << text;
        return text;
    }

    TemporaryFolder folder_;
};

#define EXPECT_REJECTS(header, part)                                \
    do {                                                            \
        const std::string text = error(header);                     \
        EXPECT_TRUE(contains(text, part)) << "the error: " << text; \
    } while (false)

}  // namespace

TEST_F(Safetensors, ReadsATensorWithoutCopyingIt) {
    const StoredTensors tensors = open(one_tensor(kGoodFields) + "      ", two_floats());
    ASSERT_EQ(tensors.size(), 1U);
    const StoredTensor& stored = tensors.at("a");
    EXPECT_EQ(stored.dtype, at::kFloat);
    EXPECT_EQ(stored.shape, std::vector<int64_t>{2});
    EXPECT_EQ(stored.bytes, 8U);
    EXPECT_EQ(stored.file.filename(), "x.safetensors");
    const at::Tensor tensor = stored.read();
    EXPECT_TRUE(at::equal(tensor, at::tensor({1.5F, -2.0F})));
    EXPECT_EQ(tensor.const_data_ptr(), stored.read().const_data_ptr()) << "both borrow the mapped file";
    stored.release();
    EXPECT_TRUE(at::equal(stored.read(), at::tensor({1.5F, -2.0F}))) << "released pages come back";
}

TEST_F(Safetensors, ReadsATensorIntoMemoryOfTheCallers) {
    const StoredTensor stored = open(one_tensor(kGoodFields), two_floats()).at("a");
    const at::Tensor destination = at::zeros({1, 2});
    stored.read_into(destination);
    EXPECT_TRUE(at::equal(destination, at::tensor({1.5F, -2.0F}).view({1, 2})));
    for (const at::Tensor& wrong : {at::zeros({3}), at::zeros({4}, at::kHalf), at::zeros({2, 2}).select(1, 0)})
        EXPECT_TRUE(contains(error_of([&] { stored.read_into(wrong); }), "8 bytes of Float do not fit")) << wrong;
    fs::resize_file(folder_.path() / "x.safetensors", 20);
    EXPECT_TRUE(contains(error_of([&] { stored.read_into(destination); }), "cannot be read from byte"));
}

TEST_F(Safetensors, ATensorKeepsTheMappingAlive) {
    at::Tensor tensor;
    {
        const StoredTensors tensors = open(one_tensor(kGoodFields), two_floats());
        tensor = tensors.at("a").read();
    }
    fs::remove(folder_.path() / "x.safetensors");
    EXPECT_TRUE(at::equal(tensor, at::tensor({1.5F, -2.0F})));
}

TEST_F(Safetensors, CopiesMisalignedData) {
    for (int padding = 0; padding < 8; ++padding) {
        const StoredTensors tensors = open(one_tensor(kGoodFields) + std::string(padding, ' '), two_floats());
        const at::Tensor tensor = tensors.at("a").read();
        EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.const_data_ptr()) % 4, 0U);
        EXPECT_TRUE(at::equal(tensor, at::tensor({1.5F, -2.0F})));
    }
}

TEST_F(Safetensors, ReadsEmptyTensorsScalarsAndNoTensors) {
    EXPECT_TRUE(open("{}", "").empty());
    EXPECT_TRUE(open(R"({"__metadata__":{"format":"pt"}})", "").empty());
    const StoredTensors tensors = open(R"({"s":{"dtype":"F32","shape":[],"data_offsets":[0,4]},
        "e":{"dtype":"I64","shape":[3,0,2],"data_offsets":[4,4]},"z":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})",
                                       bytes_of(2.5F));
    EXPECT_EQ(tensors.at("s").read().item<float>(), 2.5F);
    EXPECT_EQ(tensors.at("s").read().dim(), 0);
    EXPECT_EQ(tensors.at("e").read().sizes(), (at::IntArrayRef{3, 0, 2}));
    EXPECT_EQ(tensors.at("z").read().numel(), 0);
    for (const auto& [name, tensor] : tensors) tensor.release();
}

TEST_F(Safetensors, SavesAndReadsEachType) {
    std::map<std::string, at::Tensor> tensors;
    for (const auto dtype : {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16, at::kLong, at::kInt, at::kShort,
                             at::kChar, at::kByte, at::kBool, at::kFloat8_e4m3fn, at::kFloat8_e5m2}) {
        tensors[c10::toString(dtype)] = at::arange(3).to(dtype);
    }
    tensors["odd \"name\" \xc3\xa9"] = at::arange(6).view({2, 3}).t();
    tensors["empty"] = at::empty({0, 2});
    tensors["scalar"] = at::scalar_tensor(1.25);
    const fs::path path = folder_.path() / "saved.safetensors";
    save_safetensors(path, tensors);
    const StoredTensors stored = open_safetensors(path);
    ASSERT_EQ(stored.size(), tensors.size());
    for (const auto& [name, tensor] : tensors) {
        const at::Tensor read = stored.at(name).read();
        EXPECT_EQ(read.scalar_type(), tensor.scalar_type()) << name;
        EXPECT_TRUE(at::equal(read.to(at::kDouble), tensor.to(at::kDouble))) << name;
    }
    const std::string bytes = read_file(path, 1 << 20);
    EXPECT_EQ(static_cast<unsigned char>(bytes[0]) % 8, 0) << "the data starts aligned";
    save_safetensors(path, {});
    EXPECT_TRUE(open_safetensors(path).empty());
}

TEST_F(Safetensors, RefusesToSaveWhatTheFormatLacks) {
    const fs::path path = folder_.path() / "bad.safetensors";
    EXPECT_ERROR(save_safetensors(path, {{"z", at::zeros({1}, at::kComplexFloat)}}), "tensor 'z' of type ComplexFloat");
    EXPECT_ERROR(save_safetensors(path, {{"__metadata__", at::zeros({1})}}), "cannot be saved");
    EXPECT_ERROR(save_safetensors(path, {{"\xff", at::zeros({1})}}), "is not UTF-8");
    EXPECT_FALSE(fs::exists(path));
}

TEST_F(Safetensors, EveryTruncationAndEveryExtensionIsAnError) {
    const std::string good = safetensors_bytes(
        R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[3],"data_offsets":[8,11]}})",
        two_floats() + "xyz");
    EXPECT_EQ(open(good).size(), 2U);
    for (size_t size = 0; size < good.size(); ++size) {
        EXPECT_THROW(open(good.substr(0, size)), Error) << "cut after " << size << " bytes";
    }
    EXPECT_THROW(open(good + "x"), Error);
}

TEST_F(Safetensors, RejectsAHeaderSizeThatLies) {
    for (const uint64_t size : {uint64_t{0}, uint64_t{1}, uint64_t{60}, uint64_t{1000}, uint64_t{100'000'001},
                                uint64_t{1} << 63, ~uint64_t{0}, ~uint64_t{0} - 7}) {
        EXPECT_THROW(open(bytes_of(size) + one_tensor(kGoodFields) + two_floats()), Error) << size;
    }
}

TEST_F(Safetensors, RejectsBadJson) {
    EXPECT_REJECTS("[]", "header is not a JSON object");
    EXPECT_REJECTS("{\"a\":", "is not valid JSON");
    EXPECT_REJECTS(" {}", "header is not a JSON object");
    EXPECT_REJECTS(R"({"a":[]})", "tensor 'a': is not a JSON object");
    EXPECT_REJECTS("{\"a\":" + std::string(100'000, '[') + std::string(100'000, ']') + "}", "nested deeper");
    EXPECT_REJECTS("{\"a\":{" + kGoodFields + "},\"a\":{" + kGoodFields + "}}", "key \"a\" is given twice");
    EXPECT_REJECTS(one_tensor(kGoodFields + R"(,"dtype":"F16")"), "key \"dtype\" is given twice");
    EXPECT_REJECTS(R"({"__metadata__":{"n":1},"a":{)" + kGoodFields + "}}", "__metadata__ is not an object of texts");
    EXPECT_REJECTS(R"({"__metadata__":[],"a":{)" + kGoodFields + "}}", "__metadata__ is not an object of texts");
    EXPECT_REJECTS("{\"\\u0000\\n\xff\":{}}", "is not valid JSON");
}

TEST_F(Safetensors, RejectsBadFields) {
    EXPECT_REJECTS(one_tensor(R"("shape":[2],"data_offsets":[0,8])"), "tensor 'a': key 'dtype' is missing");
    EXPECT_REJECTS(one_tensor(R"("dtype":"F32","data_offsets":[0,8])"), "key 'shape' is missing");
    EXPECT_REJECTS(one_tensor(R"("dtype":"F32","shape":[2])"), "key 'data_offsets' is missing");
    EXPECT_REJECTS(one_tensor(R"("dtype":"F6_E2M3","shape":[2],"data_offsets":[0,8])"), "'F6_E2M3', a type");
    EXPECT_REJECTS(one_tensor(R"("dtype":4,"shape":[2],"data_offsets":[0,8])"), "key 'dtype' must be a text");
    EXPECT_REJECTS(one_tensor(R"("dtype":"F32","shape":2,"data_offsets":[0,8])"), "key 'shape' must be a list");
    EXPECT_REJECTS(one_tensor(R"("dtype":"F32","shape":[-2],"data_offsets":[0,8])"), "key 'shape[0]'");
    EXPECT_REJECTS(one_tensor(R"("dtype":"F32","shape":[2.5],"data_offsets":[0,8])"), "key 'shape[0]'");
    EXPECT_REJECTS(one_tensor(R"("dtype":"F32","shape":[2],"data_offsets":[0])"), "is not a range");
    EXPECT_REJECTS(one_tensor(R"("dtype":"F32","shape":[2],"data_offsets":[8,0])"), "is not a range");
    EXPECT_REJECTS(one_tensor(R"("dtype":"F32","shape":[2],"data_offsets":[-8,0])"), "key 'data_offsets[0]'");
    EXPECT_REJECTS(one_tensor(R"("dtype":"F32","shape":[3],"data_offsets":[0,8])"), "need 12");
    EXPECT_REJECTS(one_tensor(R"("dtype":"F64","shape":[2],"data_offsets":[0,8])"), "need 16");
}

TEST_F(Safetensors, RejectsShapesThatOverflow) {
    const std::string big = std::to_string(uint64_t{1} << 62);
    const std::string too_large = "shape' is too large to be true";
    EXPECT_REJECTS(one_tensor(R"("dtype":"F32","data_offsets":[0,0],"shape":[)" + big + "]"), too_large);
    EXPECT_REJECTS(one_tensor(R"("dtype":"F32","data_offsets":[0,8],"shape":[4294967296,4294967296])"), too_large);
    EXPECT_REJECTS(one_tensor(R"("dtype":"F32","data_offsets":[0,0],"shape":[0,)" + big + "," + big + "]"), too_large);
    EXPECT_REJECTS(one_tensor(R"("dtype":"U8","data_offsets":[0,8],"shape":[18446744073709551616])"), "key 'shape[0]'");
    std::string ones = "1";
    for (int i = 0; i < 64; ++i) ones += ",1";
    EXPECT_REJECTS(one_tensor(R"("dtype":"F64","data_offsets":[0,8],"shape":[)" + ones + "]"), "too many dimensions");
    const std::string end = std::to_string(std::numeric_limits<int64_t>::max());
    EXPECT_REJECTS(one_tensor(R"("dtype":"U8","data_offsets":[0,)" + end + "],\"shape\":[" + end + "]"),
                   "after the end of the file");
}

TEST_F(Safetensors, RejectsOverlapsHolesAndLeftovers) {
    const auto tensor = [](const std::string& name, int begin, int end) {
        return concat("\"", name, R"(":{"dtype":"U8","shape":[)", end - begin, R"(],"data_offsets":[)", begin, ",", end,
                      "]}");
    };
    const auto pair = [&](int begin, int end) { return "{" + tensor("a", 0, 4) + "," + tensor("b", begin, end) + "}"; };
    EXPECT_NO_THROW(open(pair(4, 8), two_floats()));
    EXPECT_REJECTS(pair(3, 8), "tensor 'b' starts at byte 3 of the data, not at 4");
    EXPECT_REJECTS(pair(5, 8), "tensor 'b' starts at byte 5 of the data, not at 4");
    EXPECT_REJECTS(pair(0, 4), "tensor 'b' starts at byte 0");
    EXPECT_REJECTS(pair(4, 7), "has 1 byte of no tensor");
    EXPECT_REJECTS(pair(4, 9), "tensor 'b' ends 1 byte after the end of the file");
    EXPECT_REJECTS("{" + tensor("a", 1, 8) + "}", "starts at byte 1 of the data, not at 0");
    EXPECT_REJECTS("{}", "has 8 bytes of no tensor");
}

TEST_F(Safetensors, RejectsOtherFiles) {
    EXPECT_ERROR(open(""), "too short");
    EXPECT_ERROR(open("<!DOCTYPE html><html>Not found</html>"), "is not a safetensors file");
    EXPECT_ERROR(open("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"), "git lfs pull");
    EXPECT_ERROR(open_safetensors(folder_.path()), "is not a file");
    EXPECT_ERROR(open_safetensors(folder_.path() / "absent"), "cannot open: No such file");
    EXPECT_ERROR(open_safetensors("/dev/null"), "is not a file");
}

TEST_F(Safetensors, AHostileNameStaysInsideTheErrorLine) {
    const std::string name = "\\u001b[31m\\n" + std::string(10'000, 'x');
    const std::string text = error("{\"" + name + "\":{\"dtype\":\"F3\",\"shape\":[2],\"data_offsets\":[0,8]}}");
    EXPECT_EQ(text.find('\x1b'), std::string::npos);
    EXPECT_LT(text.size(), 500U);
}

/// A mapped page that the file has no longer is SIGBUS.
TEST(ShorterSafetensors, AreAnError) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "a.safetensors";
    save_safetensors(path, {{"a", at::ones({1 << 20})}, {"b", at::ones({1 << 20})}});
    auto tensors = open_safetensors(path);
    at::Tensor a = tensors.at("a").read();
    EXPECT_EQ(a.sum().item<float>(), 1 << 20);
    tensors.at("a").release();
    std::filesystem::resize_file(path, 1 << 20);
    const at::Tensor b = tensors.at("b").read();
    EXPECT_EQ(b.sum().item<float>(), 0) << "what is lost reads as zeros";
    EXPECT_ERROR(tensors.at("b").release(), "a.safetensors: cannot be read from byte ");
    EXPECT_ERROR(tensors.at("a").release(), "changed while it was read");
    EXPECT_ERROR(open_safetensors(path), "after the end of the file");
}

}  // namespace diffapple
