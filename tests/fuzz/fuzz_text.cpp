// What reads tokenizer folders: one damaged file among valid ones, and a text encoded with it.
#include "diffapple/io/files.h"
#include "diffapple/text/clip_tokenizer.h"
#include "fuzz/fuzz.h"
#include "unit/text_samples.h"

namespace diffapple::fuzz {
namespace {

using Files = std::map<std::string, std::string>;

void remove_files() {
    for (const auto& entry : std::filesystem::directory_iterator(folder().path()))
        std::filesystem::remove(entry.path());
}

std::string tokenizer_json() {
    return R"({"added_tokens": [{"id": 20, "content": "<|endoftext|>", "normalized": true}], "model": {"type": "BPE",
        "merges": [["a", "b"], "ab c</w>"], "vocab": )" +
           small_vocabulary + "}}";
}

std::string saved_model() {
    remove_files();
    for (const auto& [file, text] : small_tokenizer_files) folder().write(file, text);
    ClipTokenizer::from_folder(folder().path()).save_model(folder().path() / "tokenizer.model");
    return read_file(folder().path() / "tokenizer.model", 1 << 20);
}

Target target(const Files& valid, const std::string& name, const std::string& text) {
    return {{text}, [valid, name](const std::string& bytes) {
                remove_files();
                for (const auto& [file, content] : valid) folder().write(file, content);
                folder().write(name, bytes);
                const auto tokenizer = ClipTokenizer::from_folder(folder().path());
                const auto padded = tokenizer.encode_padded("abc! \u00e9 <|endoftext|> <toy> abcdeabcde \xff");
                tokenizer.decode(padded.ids);
            }};
}

}  // namespace

const std::map<std::string, Target>& targets() {
    static const Files config = {{"tokenizer_config.json", small_config}};
    static const std::map<std::string, Target> all = {
        {"vocabulary", target(small_tokenizer_files, "vocab.json", small_vocabulary)},
        {"merges", target(small_tokenizer_files, "merges.txt", small_merges)},
        {"config", target(small_tokenizer_files, "tokenizer_config.json", small_config)},
        {"tokenizer", target(config, "tokenizer.json", tokenizer_json())},
        {"model", target(config, "tokenizer.model", saved_model())}};
    return all;
}

}  // namespace diffapple::fuzz
