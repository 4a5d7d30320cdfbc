// The local Hub cache: snapshots by id and revision.
#include "diffapple/io/hub.h"
#include "io_support.h"

namespace diffapple {
namespace {

namespace fs = std::filesystem;

/// A cache folder of its own, which HF_HUB_CACHE names.
class Hub : public ::testing::Test {
protected:
    fs::path add_snapshot(const std::string& repository, const std::string& revision) {
        fs::path snapshot = folder_.path() / "hub" / repository / "snapshots" / revision;
        fs::create_directories(snapshot);
        return snapshot;
    }
    void add_reference(const std::string& repository, const std::string& name, const std::string& revision) {
        folder_.write("hub/" + repository + "/refs/" + name, revision);
    }

    TemporaryFolder folder_;
    ScopedVariable cache_{"HF_HUB_CACHE", (folder_.path() / "hub").c_str()};
    ScopedVariable hf_home_{"HF_HOME", nullptr}, older_{"HUGGINGFACE_HUB_CACHE", nullptr};
    ScopedVariable xdg_{"XDG_CACHE_HOME", nullptr};
    ScopedVariable home_{"HOME", (folder_.path() / "home").c_str()};
};

constexpr const char* kRepository = "models--org--name";

}  // namespace

TEST_F(Hub, CacheFoldersInOrder) {
    const ScopedVariable home("HOME", "/home/me"), hf_home("HF_HOME", "/hf"), cache("HF_HUB_CACHE", "/cache");
    EXPECT_EQ(hub_cache_folders(), (std::vector<fs::path>{"/cache", "/hf/hub", "/home/me/.cache/huggingface/hub"}));
    const ScopedVariable same("HF_HUB_CACHE", "/hf/hub"), none("HOME", nullptr);
    EXPECT_EQ(hub_cache_folders().front(), fs::path("/hf/hub"));
    const ScopedVariable empty("HF_HUB_CACHE", ""), unset("HF_HOME", nullptr);
    ASSERT_FALSE(hub_cache_folders().empty()) << "without HOME, the user's home folder";
    EXPECT_NE(hub_cache_folders().front(), fs::path(".cache") / "huggingface" / "hub");
}

TEST_F(Hub, CacheFoldersOfTheOlderVariables) {
    const ScopedVariable home("HOME", "/home/me"), hf_home("HF_HOME", "/hf"), cache("HF_HUB_CACHE", nullptr);
    const ScopedVariable older("HUGGINGFACE_HUB_CACHE", "/older"), xdg("XDG_CACHE_HOME", "/xdg");
    EXPECT_EQ(hub_cache_folders(),
              (std::vector<fs::path>{"/older", "/hf/hub", "/xdg/huggingface/hub", "/home/me/.cache/huggingface/hub"}));
}

TEST_F(Hub, ExpandsHomeAndVariablesAsPythonDoes) {
    const ScopedVariable home("HOME", "/home/me"), hf_home("HF_HOME", nullptr), scratch("SCRATCH_1", "/big $HOME");
    const ScopedVariable unset("UNSET_1", nullptr);
    const std::vector<std::pair<const char*, const char*>> cases{{"~", "/home/me"},
                                                                 {"~/x", "/home/me/x"},
                                                                 {"~no-such-user/x", "~no-such-user/x"},
                                                                 {"/a~", "/a~"},
                                                                 {"$HOME/x", "/home/me/x"},
                                                                 {"${HOME}x", "/home/mex"},
                                                                 {"$SCRATCH_1/$SCRATCH_1-", "/big $HOME//big $HOME-"},
                                                                 {"/$UNSET_1/${UNSET_1}", "/$UNSET_1/${UNSET_1}"},
                                                                 {"/$/$$HOME/${HOME", "/$/$/home/me/${HOME"},
                                                                 {"/${}", "/${}"}};
    for (const auto& [written, expected] : cases) {
        const ScopedVariable cache("HF_HUB_CACHE", written);
        EXPECT_EQ(hub_cache_folders().front(), expected) << written;
    }
}

TEST_F(Hub, FollowsTheReferenceOfMain) {
    const fs::path wanted = add_snapshot(kRepository, "aaa");
    add_snapshot(kRepository, "bbb");
    add_reference(kRepository, "main", "aaa\n");
    EXPECT_EQ(find_hub_snapshot("org/name"), wanted);
    EXPECT_EQ(find_hub_snapshot("org/name@main"), wanted);
}

TEST_F(Hub, FindsABranchATagAndACommit) {
    const fs::path a = add_snapshot(kRepository, "aaa"), b = add_snapshot(kRepository, "bbb");
    add_reference(kRepository, "main", "aaa");
    add_reference(kRepository, "fp16", "bbb");
    add_reference(kRepository, "refs/pr/1", "bbb");
    EXPECT_EQ(find_hub_snapshot("org/name@fp16"), b);
    EXPECT_EQ(find_hub_snapshot("org/name@refs/pr/1"), b);
    EXPECT_EQ(find_hub_snapshot("org/name@bbb"), b);
    EXPECT_EQ(find_hub_snapshot("org/name@other"), std::nullopt) << "an explicit revision is never replaced";
}

TEST_F(Hub, WithoutMainTakesTheNewestSnapshot) {
    const fs::path old = add_snapshot(kRepository, "aaa");
    EXPECT_EQ(find_hub_snapshot("org/name"), old);
    const fs::path newer = add_snapshot(kRepository, "000");
    fs::last_write_time(old, fs::last_write_time(newer) - std::chrono::hours(1));
    EXPECT_EQ(find_hub_snapshot("org/name"), newer);
    add_reference(kRepository, "main", "ccc");  // of a download that did not finish
    EXPECT_EQ(find_hub_snapshot("org/name"), newer);
}

TEST_F(Hub, NothingLeadsOutOfTheCache) {
    add_snapshot(kRepository, "aaa");
    fs::create_directories(folder_.path() / "secret");
    add_reference(kRepository, "evil", "../../../secret");
    for (const char* id :
         {"", "/", "org", "org/", "/name", "org/..", "../name", "org/name/x", "org/name@", "org/name@..",
          "org/name@../refs", "org/name@evil", "org/na me", "org/name@/etc", "org/absent", "@main"}) {
        EXPECT_EQ(find_hub_snapshot(id), std::nullopt) << id;
    }
}

TEST_F(Hub, FindsAFileOfAModel) {
    const fs::path snapshot = add_snapshot(kRepository, "aaa");
    const fs::path file = folder_.write((snapshot / "a folder" / "x.gguf").string(), "x");
    folder_.write((snapshot.parent_path() / "outside").string(), "x");
    EXPECT_EQ(find_hub_file("org/name/a folder/x.gguf"), file);
    EXPECT_EQ(find_hub_file("org/name@aaa/a folder/x.gguf"), file);
    EXPECT_EQ(parse_hub_file("org/name@v1/b/c.gguf")->id, "org/name@v1");
    EXPECT_EQ(parse_hub_file("org/name@v1/b/c.gguf")->path, "b/c.gguf");
    for (const char* name : {"org/name", "org/name/", "org/name/absent", "org/name/a folder", "org/name/../outside",
                             "org/name//a folder/x.gguf", "org/name/./a folder/x.gguf", "org/na me/x", "org/../x",
                             "org/name@bbb/a folder/x.gguf", "org/name/a folder/x.gguf\n"})
        EXPECT_EQ(find_hub_file(name), std::nullopt) << name;
}

TEST_F(Hub, ListsEachModelOnce) {
    EXPECT_TRUE(list_hub_models().empty());
    const fs::path snapshot = add_snapshot(kRepository, "aaa");
    add_snapshot("models--a--b-c", "x");
    add_snapshot("datasets--org--data", "x");
    add_snapshot("models--", "x");
    add_snapshot("models--lonely", "x");
    fs::create_directories(folder_.path() / "hub" / "models--org--empty");
    folder_.write("home/.cache/huggingface/hub/models--org--name/snapshots/zzz/file", "");
    const std::vector<HubModel> models = list_hub_models();
    ASSERT_EQ(models.size(), 2U);
    EXPECT_EQ(models[0].id, "a/b-c");
    EXPECT_EQ(models[1].id, "org/name");
    EXPECT_EQ(models[1].snapshot, snapshot);
    EXPECT_EQ(models[1].repository, folder_.path() / "hub" / kRepository);
}

}  // namespace diffapple
