// The tokenizer on a vocabulary small enough to follow by hand. That its ids are transformers' is tested in
// tests/python/test_tokenize.py.
#include "diffapple/text/clip_tokenizer.h"
#include "io_support.h"
#include "text_samples.h"

namespace diffapple {
namespace {

using Ids = std::vector<int64_t>;

class ClipTokenizerTest : public testing::Test {
protected:
    ClipTokenizerTest() {
        for (const auto& [file, text] : small_tokenizer_files) folder_.write(file, text);
    }
    ClipTokenizer tokenizer() const { return ClipTokenizer::from_folder(folder_.path()); }

    TemporaryFolder folder_;
};

}  // namespace

TEST_F(ClipTokenizerTest, MergesInTheOrderOfTheList) {
    const auto clip = tokenizer();
    EXPECT_EQ(clip.encode(""), (Ids{19, 20}));
    EXPECT_EQ(clip.encode("abc"), (Ids{19, 16, 20}));
    EXPECT_EQ(clip.encode("aab"), (Ids{19, 0, 0, 6, 20})) << "the last b is b</w>, which no merge takes";
    EXPECT_EQ(clip.encode("bc"), (Ids{19, 18, 20}));
    EXPECT_EQ(clip.encode("ababc"), (Ids{19, 14, 16, 20}));
    EXPECT_EQ(clip.encode("c d"), (Ids{19, 7, 8, 20})) << "a merge after a word's end is never done";
}

TEST_F(ClipTokenizerTest, NormalisesAndReplacesDamagedText) {
    const auto clip = tokenizer();
    EXPECT_EQ(clip.encode("ABC\n\t\u00c9"), (Ids{19, 16, 17, 20}));
    EXPECT_EQ(clip.encode("e\u0301"), (Ids{19, 17, 20})) << "composed first";
    EXPECT_EQ(clip.encode("a\xff"), clip.encode("a\ufffd"));
    EXPECT_EQ(clip.encode("\xf0\x9f\x98z\xe2"), clip.encode("\ufffdz\ufffd")) << "one for each cut character";
}

TEST_F(ClipTokenizerTest, UnknownBytesAreTheUnknownToken) {
    EXPECT_EQ(tokenizer().encode("abxab"), (Ids{19, 14, 20, 0, 6, 20}));
    EXPECT_EQ(tokenizer().encode("xx"), (Ids{19, 20, 20, 20}));
}

TEST_F(ClipTokenizerTest, FindsTokensInTheText) {
    const auto clip = tokenizer();
    EXPECT_EQ(clip.encode("a!b"), (Ids{19, 5, 10, 6, 20})) << "! is a token here, not the piece !</w>";
    EXPECT_EQ(clip.encode("a <toy>b"), (Ids{19, 5, 21, 6, 20}));
    EXPECT_EQ(clip.pieces({21, 16, -1, 22}), (std::vector<std::string>{"<toy>", "abc</w>", "", ""}));
}

TEST_F(ClipTokenizerTest, CutsAndPads) {
    const auto clip = tokenizer();
    EXPECT_EQ(clip.max_length(), 6);
    EXPECT_EQ(clip.encode(""), (Ids{19, 20}));
    EXPECT_EQ(clip.encode_padded("").ids, (Ids{19, 20, 10, 10, 10, 10}));
    EXPECT_EQ(clip.encode_padded("abc").ids, (Ids{19, 16, 20, 10, 10, 10}));
    EXPECT_EQ(clip.encode_padded("abc").lost, "");
    EXPECT_EQ(clip.encode_padded("a b c d").ids, (Ids{19, 5, 6, 7, 8, 20}));
    EXPECT_EQ(clip.encode_padded("a b c d").lost, "") << "exactly as long";
    const auto cut = clip.encode_padded("a b c d abc \u00e9");
    EXPECT_EQ(cut.ids, (Ids{19, 5, 6, 7, 8, 20}));
    EXPECT_EQ(cut.lost, "abc \u00e9");
}

TEST_F(ClipTokenizerTest, ReadsTheModelThatItSaves) {
    const auto clip = tokenizer();
    clip.save_model(folder_.path() / "tokenizer.model");
    std::filesystem::remove(folder_.path() / "vocab.json");
    std::filesystem::remove(folder_.path() / "merges.txt");
    const auto saved = tokenizer();
    for (const char* text : {"abc ababc bc", "a! <toy> \u00e9x", "c d"})
        EXPECT_EQ(saved.encode(text), clip.encode(text));
    folder_.write("tokenizer.model", "no model");
    EXPECT_ERROR(tokenizer(), "tokenizer.model: is not a SentencePiece model, or damaged");
    folder_.write("tokenizer.model", "");
    EXPECT_ERROR(tokenizer(), "tokenizer.model: is a SentencePiece model, but not one of CLIP's");
}

}  // namespace diffapple
