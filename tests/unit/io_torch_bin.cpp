// The torch .bin reader against files of torch.save and against hostile archives.
#include <ATen/ATen.h>
#include <openssl/evp.h>
#include <zlib.h>

#include <limits>

#include "../../src/io/torch_bin.h"
#include "io_support.h"
#include "io_torch_bin_fixtures.h"

namespace diffapple {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMost = std::numeric_limits<int64_t>::max();

/// The file inside a fixture (base64 of zlib).
std::string unpack(const std::string& fixture) {
    std::string compressed(fixture.size(), '\0'), bytes(1 << 16, '\0');
    const int size =
        EVP_DecodeBlock(reinterpret_cast<unsigned char*>(compressed.data()),
                        reinterpret_cast<const unsigned char*>(fixture.data()), static_cast<int>(fixture.size()));
    uLongf unpacked = bytes.size();
    const int status = uncompress(reinterpret_cast<Bytef*>(bytes.data()), &unpacked,
                                  reinterpret_cast<const Bytef*>(compressed.data()), static_cast<uLong>(size));
    EXPECT_EQ(status, Z_OK);
    return bytes.substr(0, unpacked);
}

class TorchBin : public ::testing::Test {
protected:
    StoredTensors open_fixture(const char* fixture) { return open_torch_bin(folder_.write("x.bin", unpack(fixture))); }

    /// Opens an archive with this pickle and a storage "0" of four floats 0, 1, 2, 3.
    StoredTensors open(const std::string& pickle) {
        std::string floats;
        for (int i = 0; i < 4; ++i) floats += bytes_of(static_cast<float>(i));
        return open_torch_bin(
            write_torch_archive(folder_.path() / "x.bin", {{"data.pkl", pickle}, {"data/0", floats}}));
    }
    StoredTensors open_view(int64_t offset, const std::vector<int64_t>& sizes, const std::vector<int64_t>& strides,
                            int64_t elements = 4) {
        return open(
            pickled_dict(pickled_tensor(pickled_storage("FloatStorage", "0", elements), offset, sizes, strides)));
    }

    TemporaryFolder folder_;
};

}  // namespace

TEST_F(TorchBin, ReadsAnOrderedDictOfTorch) {
    const StoredTensors tensors = open_fixture(ordered_dict_bin);
    EXPECT_EQ(tensors.size(), 11U);
    const at::Tensor base = at::arange(12, at::kFloat).view({3, 4});
    const std::map<std::string, at::Tensor> expected = {
        {"plain", at::tensor({1.0F, 2.0F, 3.0F, 4.0F}).view({2, 2})},
        {"parameter", at::tensor({0.5F, -0.5F})},
        {"shared.all", base},
        {"shared.column", base.select(1, 1)},
        {"shared.transposed", base.t()},
        {"half", at::tensor({1.5F, -2.0F}).to(at::kHalf)},
        {"bfloat", at::tensor({1.5F, -2.0F}).to(at::kBFloat16)},
        {"long", at::tensor({int64_t{1} << 40, int64_t{-7}}).view({1, 2})},
        {"bool", at::tensor({1, 0}).to(at::kBool)},
        {"scalar", at::scalar_tensor(3.25F)},
        {"empty", at::empty({0, 4})},
    };
    for (const auto& [name, tensor] : expected) {
        const StoredTensor& stored = tensors.at(name);
        const at::Tensor read = stored.read();
        EXPECT_EQ(stored.dtype, tensor.scalar_type()) << name;
        EXPECT_EQ(at::IntArrayRef(stored.shape), tensor.sizes()) << name;
        EXPECT_EQ(stored.bytes, tensor.nbytes()) << name;
        EXPECT_TRUE(read.is_contiguous()) << name;
        EXPECT_EQ(read.scalar_type(), tensor.scalar_type()) << name;
        EXPECT_TRUE(at::equal(read, tensor)) << name;
        EXPECT_EQ(stored.read_into != nullptr, tensor.is_contiguous()) << name;
        if (!stored.read_into) continue;
        const at::Tensor destination = at::empty(tensor.sizes(), tensor.options());
        stored.read_into(destination);
        EXPECT_TRUE(at::equal(destination, tensor)) << name;
        stored.release();
    }
}

TEST_F(TorchBin, TakesTheStateDictOfATrainingCheckpoint) {
    const StoredTensors tensors = open_fixture(nested_ckpt);
    ASSERT_EQ(tensors.size(), 1U) << "texts and numbers are no weights";
    EXPECT_TRUE(at::equal(tensors.at("w").read(), at::tensor({7, 8}, at::kInt)));
}

TEST_F(TorchBin, ATensorOutlivesTheFile) {
    at::Tensor tensor = open_fixture(nested_ckpt).at("w").read();
    fs::remove(folder_.path() / "x.bin");
    EXPECT_TRUE(at::equal(tensor, at::tensor({7, 8}, at::kInt)));
}

TEST_F(TorchBin, ReadsTheFormatBeforeZip) {
    EXPECT_TRUE(at::equal(open_fixture(legacy_bin).at("w").read(), at::tensor({1.0F})));
}

TEST_F(TorchBin, RefusesCode) {
    EXPECT_ERROR(open_fixture(os_system_bin), "asks for 'posix.system', which a state dict has no use for");
    for (const char* name : {"os\nsystem", "builtins\neval", "torch\nload", "torch\nFloatStorage.__class__",
                             "collections\nOrderedDict ", "torch._utils\n_rebuild_qtensor", "\n", "a\x1b\nb"}) {
        EXPECT_ERROR(open("\x80\x02" + std::string("c") + name + "\n)R."), "asks for '");
    }
    EXPECT_ERROR(open("\x80\x02" + pickled_text("os") + pickled_text("system") + "\x93)R."), "asks for 'os.system'");
}

TEST_F(TorchBin, ReadsViewsInsideTheirStorage) {
    EXPECT_TRUE(at::equal(open_view(1, {3}, {1}).at("w").read(), at::tensor({1.0F, 2.0F, 3.0F})));
    EXPECT_TRUE(at::equal(open_view(1, {2}, {2}).at("w").read(), at::tensor({1.0F, 3.0F})));
    EXPECT_TRUE(at::equal(open_view(3, {}, {}).at("w").read(), at::scalar_tensor(3.0F)));
    EXPECT_TRUE(at::equal(open_view(2, {2}, {0}).at("w").read(), at::tensor({2.0F, 2.0F})));
    EXPECT_EQ(open_view(4, {0}, {1}).at("w").read().numel(), 0);
    EXPECT_EQ(open_view(100, {5, 0}, {kMost / 8, 1}).at("w").read().sizes(), (at::IntArrayRef{5, 0}));
}

TEST_F(TorchBin, RejectsViewsBeyondTheirStorage) {
    const std::string part = "tensor 'w': reaches beyond its storage";
    EXPECT_ERROR(open_view(0, {5}, {1}), part);
    EXPECT_ERROR(open_view(1, {4}, {1}), part);
    EXPECT_ERROR(open_view(4, {}, {}), part);
    EXPECT_ERROR(open_view(-1, {2}, {1}), part);
    EXPECT_ERROR(open_view(0, {2}, {4}), part);
    EXPECT_ERROR(open_view(0, {2}, {-1}), part);
    EXPECT_ERROR(open_view(0, {-2}, {1}), part);
    EXPECT_ERROR(open_view(0, {2, 2}, {1}), part);
    EXPECT_ERROR(open_view(0, {1 << 30}, {0}), part);
    EXPECT_ERROR(open_view(0, {2}, {kMost}), part);
    EXPECT_ERROR(open_view(kMost, {}, {}), part);
    EXPECT_ERROR(open_view(kMost, {2}, {1}), part);
    EXPECT_ERROR(open_view(0, {kMost, kMost}, {kMost, 1}), part);
    EXPECT_ERROR(open_view(0, {0, kMost, kMost}, {0, 0, 0}), part);
    EXPECT_ERROR(open_view(0, std::vector<int64_t>(65, 1), std::vector<int64_t>(65, 1)), part);
}

TEST_F(TorchBin, RejectsAStorageThatLies) {
    EXPECT_ERROR(open_view(0, {2}, {1}, 5), "its storage claims 5 elements, but the file has 16 bytes of it");
    EXPECT_ERROR(open_view(0, {2}, {1}, 3), "claims 3 elements");
    EXPECT_ERROR(open_view(0, {2}, {1}, -4), "claims -4 elements");
    EXPECT_ERROR(open_view(0, {2}, {1}, int64_t{1} << 62), "claims 4611686018427387904 elements");
    const auto stored_in = [&](const std::string& type, const std::string& key) {
        return open(pickled_dict(pickled_tensor(pickled_storage(type, key, 4), 0, {2}, {1})));
    };
    EXPECT_ERROR(stored_in("FloatStorage", "1"), "its data is not in the file");
    EXPECT_ERROR(stored_in("FloatStorage", "../0"), "its data is not in the file");
    EXPECT_ERROR(stored_in("DoubleStorage", "0"), "claims 4 elements, but the file has 16 bytes");
    EXPECT_ERROR(stored_in("QInt8Storage", "0"), "asks for 'torch.QInt8Storage'");
}

TEST_F(TorchBin, RejectsMalformedPickles) {
    const std::string good = pickled_dict(pickled_tensor(pickled_storage("FloatStorage", "0", 4), 0, {2}, {1}));
    EXPECT_EQ(open(good).size(), 1U);
    for (size_t size = 0; size < good.size(); ++size) {
        EXPECT_THROW(open(good.substr(0, size)), Error) << "cut after " << size << " bytes";
    }
    const auto rejects = [&](const std::string& pickle, const std::string& part) {
        const std::string text = error_of([&] { open(pickle); });
        EXPECT_TRUE(contains(text, part)) << text;
    };
    rejects(".", "takes more values than it has");
    rejects("(.", "takes more values than it has");
    rejects("N(R", "takes more values than it has");
    rejects("t.", "closes a group");
    rejects("h\x05.", "refers to an object that it has not defined");
    rejects("q\x01.", "takes more values");
    rejects("}(NNNu.", "key without a value");
    rejects("](NNu.", "container of the wrong kind");
    rejects("}Na.", "container of the wrong kind");
    rejects("K\x01Na.", "something else where a container is due");
    rejects("\x80\x09.", "unknown pickle protocol");
    rejects("\x8a\x09" + std::string(9, '\x7f') + ".", "more than 64 bits");
    rejects("\x8d" + bytes_of(~uint64_t{0}) + "x.", "is cut off");
    rejects("X" + bytes_of(~uint32_t{0}) + "x.", "is cut off");
    rejects("ctorch", "is cut off");
    rejects("NQ.", "something else where a container is due");
    rejects(")Q.", "not described as torch.save does");
    rejects("(" + pickled_text("module") + "ctorch\nFloatStorage\n" + pickled_text("0") + "NK\x04tQ.", "not described");
    rejects("ccollections\nOrderedDict\n(NtR.", "OrderedDict with arguments");
    rejects("ctorch._utils\n_rebuild_tensor_v2\n)R.", "tensor with wrong arguments");
    rejects("ctorch._utils\n_rebuild_parameter\n)R.", "wrong call of");
    rejects("ctorch._utils\n_rebuild_parameter\n(NtR.", "wrong call of");
    rejects("ctorch\nFloatStorage\n)R.", "wrong call of");
    rejects("N)R.", "something else where a function is due");
    rejects("ios\nsystem\n.", "opcode 105");
    for (int opcode = 0; opcode < 256; ++opcode) {
        EXPECT_THROW(open(std::string(1, static_cast<char>(opcode)) + "."), Error) << opcode;
    }
}

TEST_F(TorchBin, RejectsPicklesThatHoldNoStateDict) {
    EXPECT_ERROR(open("}."), "holds no tensors");
    EXPECT_ERROR(open("N."), "holds no state dict");
    EXPECT_ERROR(open("]."), "holds no state dict");
    EXPECT_ERROR(open(pickled_tensor(pickled_storage("FloatStorage", "0", 4), 0, {2}, {1}) + "."),
                 "holds no state dict");
    EXPECT_ERROR(open("}q\x01" + pickled_text("state_dict") + "h\x01s."), "holds no tensors");
    EXPECT_ERROR(open(std::string("}K\x01Ns.")), "holds no tensors");
}

TEST_F(TorchBin, BombsEndInAnError) {
    EXPECT_ERROR(open(std::string(2'000'000, '(') + "."), "nested too deeply");
    EXPECT_ERROR(open(std::string(2'000'000, '}') + "."), "too many objects");
    EXPECT_ERROR(open(std::string(2'000'000, 'N') + "."), "too many values");
    std::string nested;
    for (int i = 0; i < 400'000; ++i) nested += "](";
    EXPECT_THROW(open(nested), Error);
    std::string doubling = "(NNt";
    for (int i = 0; i < 100; ++i)
        doubling +=
            "q\x01"
            "h\x01\x86";
    EXPECT_ERROR(open(doubling + "."), "holds no state dict");
    const fs::path path = write_torch_archive(folder_.path() / "x.bin", {{"data.pkl", std::string(17 << 20, 'N')}});
    EXPECT_ERROR(open_torch_bin(path), "data.pkl is larger than");
    write_torch_archive(path, {{"data.pkl", std::string(8 << 20, 'N')}}, /*compress=*/true);
    EXPECT_ERROR(open_torch_bin(path), "more than the file has");
}

TEST_F(TorchBin, RejectsCompressedStorages) {
    const std::string pickle = pickled_dict(pickled_tensor(pickled_storage("FloatStorage", "0", 100), 0, {1}, {1}));
    const std::map<std::string, std::string> records = {{"data.pkl", pickle}, {"data/0", std::string(400, 'x')}};
    const fs::path path = folder_.path() / "x.bin";
    EXPECT_EQ(open_torch_bin(write_torch_archive(path, records)).size(), 1U);
    EXPECT_ERROR(open_torch_bin(write_torch_archive(path, records, /*compress=*/true)), "it is compressed");
}

TEST_F(TorchBin, BorrowsTheFilesPages) {
    const StoredTensors tensors = open_fixture(ordered_dict_bin);
    const auto address = [&](const char* name) {
        return static_cast<const char*>(tensors.at(name).read().const_data_ptr());
    };
    EXPECT_EQ(address("plain"), address("plain"));
    tensors.at("plain").release();
    EXPECT_EQ(tensors.at("plain").read().sum().item<float>(), 10.0F);
}

TEST_F(TorchBin, RejectsOtherByteOrdersAndArchives) {
    const fs::path path = folder_.path() / "x.bin";
    const std::string pickle = pickled_dict(pickled_tensor(pickled_storage("FloatStorage", "0", 1), 0, {1}, {1}));
    const auto with_order = [&](const std::string& order) {
        return open_torch_bin(
            write_torch_archive(path, {{"data.pkl", pickle}, {"data/0", bytes_of(1.0F)}, {"byteorder", order}}));
    };
    EXPECT_EQ(with_order("little").size(), 1U);
    EXPECT_ERROR(with_order("big"), "byte order 'big' is not supported");
    EXPECT_ERROR(with_order(std::string(100, 'x')), "is not supported");
    EXPECT_ERROR(open_torch_bin(write_torch_archive(path, {{"other", "x"}})), "holds no data.pkl");
    EXPECT_ERROR(open_torch_bin(folder_.write("y.bin", "")), "is not a file written by torch.save");
    EXPECT_ERROR(open_torch_bin(folder_.write("y.bin", "PK\x03\x04")), "is not an archive written by torch.save");
    EXPECT_ERROR(open_torch_bin(folder_.write("y.bin", "version https://git-lfs.github.com/spec/v1\n")),
                 "git lfs pull");
    EXPECT_ERROR(open_torch_bin(folder_.path()), "is not a file");
    EXPECT_ERROR(open_torch_bin(folder_.path() / "absent.bin"), "cannot open");
}

TEST_F(TorchBin, EveryTruncationOfTheFileIsAnError) {
    const std::string good = unpack(ordered_dict_bin);
    for (size_t size = 0; size < good.size(); size += 7) {
        EXPECT_THROW(open_torch_bin(folder_.write("cut.bin", good.substr(0, size))), Error) << size;
    }
}

}  // namespace diffapple
