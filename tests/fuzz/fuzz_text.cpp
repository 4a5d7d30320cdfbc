// Fuzzes the reading of tokenizer folders (see fuzz.h): fuzz_text merges|model|tokenizer|vocabulary|config ITERATIONS
// SEED
#include "diffapple/io/files.h"
#include "diffapple/text/clip_tokenizer.h"
#include "fuzz/fuzz.h"
#include "unit/text_samples.h"

namespace diffapple {
namespace {

namespace fs = std::filesystem;

/// A folder of one damaged file among valid ones, and a text encoded with it.
class Folder {
public:
    Folder() : path_(fs::temp_directory_path() / concat("fuzz_text-", std::random_device()())) {}
    ~Folder() { fs::remove_all(path_); }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;

    void write(const std::string& name, const std::string& text) const {
        fs::create_directories(path_);
        std::ofstream(path_ / name, std::ios::binary) << text;
    }
    fs::path path() const { return path_; }

private:
    fs::path path_;
};

void read_with(const std::map<std::string, std::string>& valid, const std::string& name, const fs::path& damaged) {
    const Folder folder;
    for (const auto& [file, text] : valid) folder.write(file, text);
    folder.write(name, read_file(damaged, 1 << 20));
    const auto tokenizer = ClipTokenizer::from_folder(folder.path());
    const auto padded = tokenizer.encode_padded("abc! \u00e9 <|endoftext|> <toy> abcdeabcde \xff");
    tokenizer.decode(padded.ids);
}

const std::map<std::string, std::string> plain_files = {
    {"vocab.json", small_vocabulary}, {"merges.txt", small_merges}, {"tokenizer_config.json", small_config}};

std::string tokenizer_json() {
    return R"({"added_tokens": [{"id": 20, "content": "<|endoftext|>", "normalized": true}], "model": {"type": "BPE",
        "merges": [["a", "b"], "ab c</w>"], "vocab": )" +
           small_vocabulary + "}}";
}

std::string saved_model() {
    const Folder folder;
    for (const auto& [file, text] : plain_files) folder.write(file, text);
    ClipTokenizer::from_folder(folder.path()).save_model(folder.path() / "tokenizer.model");
    return read_file(folder.path() / "tokenizer.model", 1 << 20);
}

Target target(const std::map<std::string, std::string>& valid, const std::string& name, const std::string& text) {
    return {[text](Mutator& mutator) { return mutator.mutate(text); },
            [valid, name](const fs::path& file) { read_with(valid, name, file); }};
}

std::map<std::string, Target> targets() {
    const std::map<std::string, std::string> config = {{"tokenizer_config.json", small_config}};
    return {{"vocabulary", target(plain_files, "vocab.json", small_vocabulary)},
            {"merges", target(plain_files, "merges.txt", small_merges)},
            {"config", target(plain_files, "tokenizer_config.json", small_config)},
            {"tokenizer", target(config, "tokenizer.json", tokenizer_json())},
            {"model", target(config, "tokenizer.model", saved_model())}};
}

}  // namespace
}  // namespace diffapple

int main(int count, char** arguments) {
    return diffapple::fuzz_main("fuzz_text", diffapple::targets(), count, arguments);
}
