// What stays in memory at each Keep; what components say of themselves in a recipe; what is found out before loading.
#include <nlohmann/json.hpp>

#include "diffapple/core/error.h"
#include "diffapple/io/sha256.h"
#include "diffapple/models/component_descriptions.h"
#include "diffapple/models/component_store.h"
#include "io_support.h"
#include "text_samples.h"

namespace diffapple {
namespace {

using Names = std::vector<std::string>;

const Placement fp32{c10::kCPU, c10::kFloat}, bf16{c10::kCPU, c10::kBFloat16};

/// Components that note their loading; what they load is a number.
class ComponentStoreTest : public testing::Test {
protected:
    ComponentDescription fake(const std::string& name, Keep stays_from) {
        return {.name = name,
                .stays_from = stays_from,
                .size =
                    [](const Placement&) {
                        return ComponentSize{1, 2};
                    },
                .load =
                    [this, name](const Placement&) {
                        loaded.push_back(name);
                        return std::make_shared<int>(7);
                    }};
    }
    ComponentStore make_store() {
        return ComponentStore({fake("unet", Keep::loop), fake("vae", Keep::loop), fake("text_encoder", Keep::all),
                               fake("tokenizer", Keep::none)});
    }
    /// The components of a batch in the order in which a pipeline asks for them.
    static void run_batch(ComponentStore& store) {
        for (const char* name : {"tokenizer", "text_encoder", "unet", "vae"}) store.get<int>(name, fp32);
        store.end_batch();
    }
    static Names in_memory(const ComponentStore& store) {
        Names names;
        for (const char* name : {"unet", "vae", "text_encoder", "tokenizer"})
            if (store.is_loaded(name)) names.emplace_back(name);
        return names;
    }

    Names loaded;
};

}  // namespace

TEST_F(ComponentStoreTest, WithNothingKeptOneIsInMemoryAtATime) {
    auto store = make_store();
    const std::weak_ptr<int> text = store.get<int>("text_encoder", fp32);
    EXPECT_FALSE(text.expired());
    store.get<int>("tokenizer", fp32);
    EXPECT_TRUE(text.expired()) << "dropped before another is loaded";
    store.get<int>("unet", fp32);
    EXPECT_EQ(in_memory(store), (Names{"unet", "tokenizer"}));
    store.get<int>("vae", fp32);
    EXPECT_EQ(in_memory(store), (Names{"vae", "tokenizer"}));
    store.end_batch();
    EXPECT_EQ(in_memory(store), Names{"tokenizer"});
}

TEST_F(ComponentStoreTest, TheLoopKeepsWhatEveryBatchUses) {
    auto store = make_store();
    store.set_residency(Keep::loop, {});
    run_batch(store);
    EXPECT_EQ(in_memory(store), (Names{"unet", "vae", "tokenizer"}));
    run_batch(store);
    EXPECT_EQ(loaded, (Names{"tokenizer", "text_encoder", "unet", "vae", "text_encoder"}));
    store.get<int>("text_encoder", fp32);
    store.get<int>("unet", fp32);
    EXPECT_FALSE(store.is_loaded("text_encoder")) << "it is not to lie beside the UNet, though that was loaded before";
    store.set_residency(Keep::none, {});
    store.get<int>("vae", fp32);
    EXPECT_FALSE(store.is_loaded("unet")) << "the last batch";
}

TEST_F(ComponentStoreTest, AllKeepsTheTextEncodersToo) {
    auto store = make_store();
    store.set_residency(Keep::all, {});
    run_batch(store);
    run_batch(store);
    EXPECT_EQ(loaded, (Names{"tokenizer", "text_encoder", "unet", "vae"}));
}

TEST_F(ComponentStoreTest, AnotherDtypeIsLoadedAnewInPlaceOfTheFirst) {
    auto store = make_store();
    store.set_residency(Keep::all, {});
    const std::weak_ptr<int> first = store.get<int>("vae", fp32);
    store.get<int>("vae", fp32);
    EXPECT_EQ(loaded, Names{"vae"});
    store.get<int>("vae", bf16);
    EXPECT_TRUE(first.expired());
    EXPECT_EQ(loaded, (Names{"vae", "vae"}));
    store.drop("vae");
    EXPECT_FALSE(store.is_loaded("vae"));
}

TEST_F(ComponentStoreTest, LoadingOfWeightsIsTold) {
    ComponentDescription without_weights = fake("tokenizer", Keep::none);
    without_weights.size = {};
    ComponentStore store({fake("unet", Keep::loop), without_weights});
    Names told;
    store.set_residency(Keep::all, [&](const std::string& name, double seconds) {
        told.push_back(name);
        EXPECT_GE(seconds, 0);
    });
    for (const char* name : {"tokenizer", "unet", "unet"}) store.get<int>(name, fp32);
    EXPECT_EQ(told, Names{"unet"});
    EXPECT_EQ(store.size("unet", fp32).bytes({c10::kCPU, c10::kBFloat16, WeightStorage::int8}), 1U + 2 * 2);
    EXPECT_EQ(store.size("tokenizer", fp32).bytes(fp32), 0U);
    EXPECT_EQ(store.size("absent", fp32).bytes(fp32), 0U);
}

TEST_F(ComponentStoreTest, ChecksAllWithoutLoading) {
    ComponentDescription damaged = fake("vae", Keep::loop);
    damaged.check = [](const Placement& placement) -> std::string { fail("damaged in ", placement.dtype); };
    ComponentStore store({fake("unet", Keep::loop), damaged});
    EXPECT_ERROR(store.check([](const std::string& name) { return name == "vae" ? bf16 : fp32; }), "BFloat16");
    EXPECT_TRUE(loaded.empty());
}

namespace {

/// A checkpoint's folder with a tokenizer.
class TokenizerDescriptionTest : public testing::Test {
protected:
    TokenizerDescriptionTest() {
        for (const auto& [file, text] : small_tokenizer_files) write(file, text);
    }
    void write(const std::string& name, const std::string& content) const {
        folder_.write("tokenizer/" + name, content);
    }
    ComponentDescription describe() const {
        return describe_tokenizer({.name = "test", .folder = folder_.path()}, "tokenizer");
    }

    TemporaryFolder folder_;
};

}  // namespace

TEST_F(TokenizerDescriptionTest, EveryFileThatIsReadIsInItsDigest) {
    const ComponentIdentity plain = describe().identify(false);
    EXPECT_EQ(plain.weights, "");
    const std::string digests = "vocab.json " + sha256(small_vocabulary) + "\nmerges.txt " + sha256(small_merges) +
                                "\ntokenizer_config.json " + sha256(small_config) + "\n";
    EXPECT_EQ(plain.config, sha256(digests)) << "older recipes hold this digest";
    EXPECT_EQ(plain.config_schema_1, plain.config);

    std::string last = plain.config;
    for (const auto& [name, content] :
         {std::pair{"added_tokens.json", R"({"<new>": 22})"}, {"tokenizer.model", "never read beside vocab.json"}}) {
        write(name, content);
        const ComponentIdentity changed = describe().identify(false);
        EXPECT_NE(changed.config, last) << name;
        EXPECT_EQ(changed.config_schema_1, plain.config) << "schema 1 left " << name << " out";
        last = changed.config;
    }
}

TEST_F(TokenizerDescriptionTest, ItsCheckReadsTheFiles) {
    describe().check(fp32);
    const auto load = describe().load;
    const auto tokenize = std::static_pointer_cast<Tokenize>(load(fp32));
    EXPECT_EQ(tokenize->padded("abc").ids, (std::vector<int64_t>{19, 16, 20, 10, 10, 10}));
    write("merges.txt", "a b c d e f\n");
    EXPECT_ERROR(describe().check(fp32), "merges.txt");
}

TEST(FeatureExtractorDescription, IsIdentifiedByItsConfigWithoutNotes) {
    const TemporaryFolder folder;
    const auto identify = [&](const std::string& config) {
        folder.write("feature_extractor/preprocessor_config.json", config);
        return describe_feature_extractor({.name = "test", .folder = folder.path()}).identify(false);
    };
    const ComponentIdentity identity = identify(R"({"size": 224, "_note": "by a"})");
    EXPECT_EQ(identity.config, sha256(R"({"size":224})"));
    EXPECT_EQ(identity.config_schema_1, "");
    EXPECT_EQ(identify(R"({"size": 224, "_note": "by b"})").config, identity.config);
    EXPECT_NE(identify(R"({"size": 225})").config, identity.config);
}

TEST(FeatureExtractorDescription, ErrorsNameTheWayOut) {
    const TemporaryFolder folder;
    const Checkpoint checkpoint{.name = "test", .folder = folder.path()};
    const auto check = [&] { describe_feature_extractor(checkpoint).check(fp32); };
    EXPECT_ERROR(check(), "its feature_extractor is missing");
    EXPECT_ERROR(check(), "--safety off");
    folder.write("safety_checker/config.json", R"({"vision_config": {"image_size": 56, "patch_size": 14}})");
    folder.write("feature_extractor/preprocessor_config.json", R"({"crop_size": 224})");
    EXPECT_ERROR(check(), "makes pictures of 224x224, but safety_checker/config.json takes 56x56");
    folder.write("feature_extractor/preprocessor_config.json", R"({"crop_size": 56})");
    check();
    folder.write("feature_extractor/preprocessor_config.json", R"({"crop_size": 0})");
    EXPECT_ERROR(check(), "--safety off");
}

}  // namespace diffapple
