// Finding weight files, shards and their index, and digests with their cache.
#include <ATen/ATen.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "diffapple/io/json_fields.h"
#include "diffapple/io/sha256.h"
#include "diffapple/io/weights.h"
#include "io_support.h"

namespace diffapple {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class Weights : public ::testing::Test {
protected:
    fs::path save(const std::string& name, const std::vector<std::string>& tensors) {
        std::map<std::string, at::Tensor> content;
        for (const std::string& tensor : tensors) content[tensor] = at::ones({2});
        fs::path path = folder_.path() / name;
        save_safetensors(path, content);
        return path;
    }
    fs::path write_index(const json& weight_map, const std::string& name = "model.safetensors.index.json") {
        return folder_.write(name, json{{"weight_map", weight_map}}.dump());
    }
    WeightFiles find(const std::string& stem = "model", bool prefer_half = false) {
        return find_weight_files(folder_.path(), stem, prefer_half);
    }
    std::string found(const std::string& stem, bool prefer_half = false) {
        return find(stem, prefer_half).files.at(0).filename().string();
    }

    TemporaryFolder folder_;
};

}  // namespace

TEST_F(Weights, PrefersFullPrecisionInAnyFormatToAVariant) {
    const std::vector<std::string> names = {"diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin",
                                            "diffusion_pytorch_model.fp16.safetensors",
                                            "diffusion_pytorch_model.fp16.bin", "diffusion_pytorch_model.bf16.bin"};
    for (const std::string& name : names) folder_.write(name, "");
    EXPECT_EQ(found("diffusion_pytorch_model", true), names[2]);
    fs::remove(folder_.path() / names[2]);
    EXPECT_EQ(found("diffusion_pytorch_model", true), names[3]);
    folder_.write(names[2], "");
    for (const std::string& name : names) {
        EXPECT_EQ(found("diffusion_pytorch_model"), name);
        fs::remove(folder_.path() / name);
    }
    EXPECT_ERROR(find("diffusion_pytorch_model"), "no weights found; looked for diffusion_pytorch_model.safetensors, ");
}

TEST_F(Weights, AnotherVariantIsTakenWhereItIsAlone) {
    folder_.write("model.safetensors.d", "");
    folder_.write("model.ema-00001-of-00002.safetensors", "");
    folder_.write("openvino_model.bin", "");
    EXPECT_ERROR(find(), "no weights found");
    folder_.write("model.non_ema.safetensors", "");
    EXPECT_EQ(found("model", true), "model.non_ema.safetensors");
    folder_.write("pytorch_model.ema.bin", "");
    EXPECT_ERROR(find(), "holds weights of several variants (ema, non_ema) and none without");
    folder_.write("model.bf16.safetensors", "");
    EXPECT_EQ(found("model"), "model.bf16.safetensors");
    folder_.write("pytorch_model.bin", "");
    EXPECT_EQ(found("model", true), "pytorch_model.bin");
}

TEST_F(Weights, TheLibraryDecidesBetweenShardsAndASingleFile) {
    for (const std::string stem : {"diffusion_pytorch_model", "model"}) {
        save("shard.safetensors", {"a"});
        save(stem + ".safetensors", {"a"});
        const fs::path index = write_index({{"a", "shard.safetensors"}}, stem + ".safetensors.index.json");
        EXPECT_EQ(found(stem), stem == "model" ? "model.safetensors" : "shard.safetensors");
        fs::remove(index);
    }
}

TEST_F(Weights, TextEncodersHaveAnotherNameForBin) {
    folder_.write("model.bin", "");
    EXPECT_ERROR(find(), "pytorch_model.bin");
    folder_.write("pytorch_model.bin", "");
    EXPECT_EQ(found("model"), "pytorch_model.bin");
    EXPECT_EQ(find("model", true).total_bytes(), 0U);
}

TEST_F(Weights, OpensShardsNamedByAnIndex) {
    save("model-1.safetensors", {"a", "b"});
    save("model-2.safetensors", {"c"});
    const fs::path index =
        write_index({{"a", "model-1.safetensors"}, {"b", "model-1.safetensors"}, {"c", "model-2.safetensors"}});
    const WeightFiles files = find();
    EXPECT_EQ(files.index, index);
    ASSERT_EQ(files.files.size(), 2U);
    EXPECT_EQ(files.total_bytes(), fs::file_size(files.files[0]) + fs::file_size(files.files[1]));
    const StoredTensors tensors = open_weights(files);
    EXPECT_EQ(tensors.size(), 3U);
    EXPECT_EQ(tensors.at("c").file.filename(), "model-2.safetensors");
}

TEST_F(Weights, FindsAllSpellingsOfAVariantsIndex) {
    save("shard.safetensors", {"a"});
    for (const char* name : {"model.safetensors.index.fp16.json", "model.fp16.safetensors.index.json",
                             "model.safetensors.fp16.index.json", "model.safetensors.index.bf16.json"}) {
        const fs::path index = write_index({{"a", "shard.safetensors"}}, name);
        EXPECT_EQ(find("model", true).index, index);
        EXPECT_EQ(find("model", false).index, index);
        fs::remove(index);
    }
}

TEST_F(Weights, RejectsAnIndexThatDoesNotFitItsShards) {
    save("1.safetensors", {"a", "b"});
    save("2.safetensors", {"b", "c"});
    write_index({{"a", "1.safetensors"}, {"b", "1.safetensors"}, {"c", "2.safetensors"}});
    EXPECT_ERROR(open_weights(find()), "tensor 'b' is also in ");
    save("2.safetensors", {"c"});
    EXPECT_EQ(open_weights(find()).size(), 3U);
    write_index({{"a", "1.safetensors"}, {"b", "1.safetensors"}, {"c", "2.safetensors"}, {"d", "2.safetensors"}});
    EXPECT_ERROR(open_weights(find()), "tensor 'd' is not in 2.safetensors, where it should be");
    write_index({{"a", "1.safetensors"}, {"c", "2.safetensors"}});
    EXPECT_ERROR(open_weights(find()), "tensor 'b' is not in the index");
    write_index({{"a", "1.safetensors"}, {"b", "2.safetensors"}, {"c", "2.safetensors"}});
    EXPECT_ERROR(open_weights(find()), "tensor 'b' is not in 2.safetensors");
    write_index({{"a", "3.safetensors"}});
    EXPECT_ERROR(find(), "3.safetensors: is missing, but model.safetensors.index.json refers to it");
}

TEST_F(Weights, AnIndexMayNotLeaveItsFolder) {
    for (const char* name : {"../x.safetensors", "/etc/passwd", "a/b.safetensors", "", ".", "..", "a\\b"}) {
        write_index({{"a", name}});
        EXPECT_ERROR(find(), "key 'weight_map.a' names '");
    }
    write_index({{"a", 1}});
    EXPECT_ERROR(find(), "key 'weight_map.a' must be a text");
    write_index(json::object());
    EXPECT_ERROR(find(), "names no tensors");
    folder_.write("model.safetensors.index.json", "{}");
    EXPECT_ERROR(find(), "key 'weight_map' is missing");
}

TEST(Sha256, OfTextAndFiles) {
    const TemporaryFolder folder;
    const std::string abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    EXPECT_EQ(sha256("abc"), abc);
    EXPECT_EQ(sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    EXPECT_EQ(sha256_of_file(folder.write("abc", "abc")), abc);
    const std::string big((1 << 20) * 2 + 5, 'x');
    EXPECT_EQ(sha256_of_file(folder.write("big", big)), sha256(big));
    EXPECT_ERROR(sha256_of_file(folder.path() / "absent"), "absent: cannot open");
    EXPECT_ERROR(sha256_of_file(folder.path()), "is not a file but a directory");
    EXPECT_ERROR(sha256_of_file("/dev/zero"), "is not a file but a device");
}

class WeightsSha256 : public ::testing::Test {
protected:
    fs::path cache_file() const { return folder_.path() / "cache" / "diffapple" / "sha256.json"; }

    TemporaryFolder folder_;
    ScopedVariable cache_{"XDG_CACHE_HOME", (folder_.path() / "cache").c_str()};
};

TEST_F(WeightsSha256, IsKeptWhileTheFileIsTheSame) {
    const fs::path file = folder_.write("w.bin", "abc");
    EXPECT_EQ(weights_sha256({{file}, {}}), sha256("abc"));
    // Another digest in the cache shows whether the file is read again.
    const std::string other = sha256("other");
    const auto edit = [&](int64_t later) {
        json cache = read_json_file(cache_file());
        json& entry = cache.at(file.string());
        entry["sha256"] = other;
        entry["read"] = entry.at("file").at("changed").get<int64_t>() + later;
        folder_.write("cache/diffapple/sha256.json", cache.dump());
    };
    constexpr int64_t second = 1'000'000'000;
    edit(3 * second);
    EXPECT_EQ(weights_sha256({{file}, {}}), sha256("abc")) << "read too soon after its change";
    edit(-second);
    EXPECT_EQ(weights_sha256({{file}, {}}), sha256("abc")) << "read before its change: a clock is wrong";
    edit(10 * second);
    EXPECT_EQ(weights_sha256({{file}, {}}), other);

    // Other content of the same size under a kept time, in the same file and as another one.
    const auto time = fs::last_write_time(file);
    folder_.write("w.bin", "xyz");
    fs::last_write_time(file, time);
    EXPECT_EQ(weights_sha256({{file}, {}}), sha256("xyz"));
    edit(10 * second);
    EXPECT_EQ(weights_sha256({{file}, {}}), other);
    fs::last_write_time(folder_.write("new", "123"), time);
    fs::rename(folder_.path() / "new", file);
    EXPECT_EQ(weights_sha256({{file}, {}}), sha256("123"));
    folder_.write("w.bin", "longer");
    EXPECT_EQ(weights_sha256({{file}, {}}), sha256("longer"));
}

TEST_F(WeightsSha256, AFileThatWasJustWrittenIsReadAgain) {
    const fs::path file = folder_.write("w.bin", "abc");
    for (const char* const content : {"abc", "xyz", "123"}) {  // within one tick of the clock, where it is a coarse one
        folder_.write("w.bin", content);
        EXPECT_EQ(weights_sha256({{file}, {}}), sha256(content));
    }
    EXPECT_EQ(weights_sha256({{file}, {}}), sha256("123"));
}

TEST_F(WeightsSha256, TidiesTheCacheFolder) {
    const fs::path left = folder_.write("cache/diffapple/.diffapple-1-0.tmp", "left over");
    weights_sha256({{folder_.write("w.bin", "abc")}, {}});
    EXPECT_FALSE(fs::exists(left));
}

TEST_F(WeightsSha256, APipeInPlaceOfTheCacheIsNotWaitedFor) {
    fs::create_directories(cache_file().parent_path());
    ASSERT_EQ(::mkfifo(cache_file().c_str(), 0600), 0);
    EXPECT_EQ(weights_sha256({{folder_.write("w.bin", "abc")}, {}}), sha256("abc"));
}

TEST_F(WeightsSha256, OfShardsDependsOnTheirNamesNotTheirOrder) {
    const fs::path a = folder_.write("a", "1"), b = folder_.write("b", "2");
    const std::string expected = sha256(sha256("1") + "\n" + sha256("2"));
    EXPECT_EQ(weights_sha256({{a, b}, {}}), expected);
    EXPECT_EQ(weights_sha256({{b, a}, {}}), expected);
}

TEST_F(WeightsSha256, IsTheBlobsNameInTheHubCache) {
    const std::string digest(64, 'a');
    folder_.write("blobs/" + digest, "not really this digest");
    const fs::path link = folder_.path() / "snapshots" / "main" / "w.bin";
    fs::create_directories(link.parent_path());
    fs::create_symlink("../../blobs/" + digest, link);
    EXPECT_EQ(weights_sha256({{link}, {}}), digest);
    fs::remove(link);
    folder_.write("blobs/" + std::string(40, 'a'), "small");
    fs::create_symlink("../../blobs/" + std::string(40, 'a'), link);
    EXPECT_EQ(weights_sha256({{link}, {}}), sha256("small")) << "a git hash is no sha256";
}

TEST_F(WeightsSha256, SurvivesADamagedOrUnwritableCache) {
    const fs::path file = folder_.write("w.bin", "abc");
    for (const std::string& damage : std::vector<std::string>{
             "", "{", "[]", "{\"" + file.string() + "\":1}", "{\"" + file.string() + "\":{\"sha256\":5}}",
             "{\"" + file.string() + "\":{\"sha256\":\"x\",\"size\":3}}"}) {
        folder_.write("cache/diffapple/sha256.json", damage);
        EXPECT_EQ(weights_sha256({{file}, {}}), sha256("abc")) << damage;
        EXPECT_EQ(read_json_file(cache_file()).at(file.string()).at("sha256"), sha256("abc"));
    }
    fs::remove_all(folder_.path() / "cache");
    folder_.write("cache", "a file in the way");
    EXPECT_EQ(weights_sha256({{file}, {}}), sha256("abc"));
}

TEST_F(WeightsSha256, ForgetsFilesThatAreGone) {
    const fs::path first = folder_.write("first", "1");
    weights_sha256({{first}, {}});
    fs::remove(first);
    weights_sha256({{folder_.write("second", "2")}, {}});
    EXPECT_EQ(read_json_file(cache_file()).size(), 1U);
    EXPECT_ERROR(weights_sha256({{first}, {}}), "first: cannot open");
}

TEST(WeightsWatch, SeesFilesThatAreReplacedOrWritten) {
    const TemporaryFolder folder;
    const fs::path file = folder.write("w.bin", "abc");
    const WeightsWatch same({{file}, {}});
    same.require_unchanged();
    fs::permissions(file, fs::perms::owner_read);
    same.require_unchanged();
    fs::permissions(file, fs::perms::owner_all);
    fs::rename(folder.write("other", "abc"), file);
    EXPECT_ERROR(same.require_unchanged(), "w.bin: changed since this run began");
    const WeightsWatch written({{file}, {}});
    folder.write("w.bin", "abcd");
    EXPECT_ERROR(written.require_unchanged(), "w.bin: changed since this run began");
    fs::remove(file);
    EXPECT_ERROR(written.require_unchanged(), "w.bin: cannot open");
    EXPECT_ERROR(WeightsWatch({{file}, {}}), "w.bin: cannot open");
}

}  // namespace diffapple
