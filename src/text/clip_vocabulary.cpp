// The tokenizer folder of a model that uses CLIP's own vocabulary, made from its merge list by CLIP's own rule: the
// characters of all bytes, the same at the end of a word, what the merges make, and two special tokens.
#include "clip_vocabulary.h"

#include <array>
#include <nlohmann/json.hpp>

#include "byte_alphabet.h"
#include "diffapple/core/error.h"
#include "diffapple/text/clip_tokenizer.h"

namespace diffapple {
namespace {

using nlohmann::json;

constexpr const char* start_token = "<|startoftext|>";
constexpr const char* end_token = "<|endoftext|>";

/// The bytes in the order of CLIP's vocabulary: the printable ones of Latin-1, then the others.
std::vector<unsigned char> bytes_in_order() {
    std::vector<unsigned char> printable, others;
    for (unsigned byte = 0; byte < 256; ++byte) {
        const bool is_itself = (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
        (is_itself ? printable : others).push_back(static_cast<unsigned char>(byte));
    }
    printable.insert(printable.end(), others.begin(), others.end());
    return printable;
}

/// Token to id.
json make_vocabulary() {
    json vocabulary = json::object();
    const auto add = [&](const std::string& token) { vocabulary[token] = vocabulary.size(); };
    for (const std::string_view end : {std::string_view(), end_of_word})
        for (const unsigned char byte : bytes_in_order()) add(concat(inner_character(byte), end));
    for (size_t line = clip_merges.find('\n') + 1; line < clip_merges.size();) {
        const size_t end = clip_merges.find('\n', line), space = clip_merges.find(' ', line);
        add(std::string(clip_merges.substr(line, space - line)) +
            std::string(clip_merges.substr(space + 1, end - space - 1)));
        line = end + 1;
    }
    add(start_token);
    add(end_token);
    return vocabulary;
}

/// What the Hub's tokenizers of Stable Diffusion say; SDXL's second one and SD v2's pad with "!".
json make_config(const std::string& pad) {
    const auto token = [](const std::string& content, bool normalized) {
        return json{{"content", content}, {"lstrip", false},      {"normalized", normalized},
                    {"rstrip", false},    {"single_word", false}, {"special", true}};
    };
    json added{{"49406", token(start_token, true)}, {"49407", token(end_token, true)}};
    if (pad == "!") added["0"] = token(pad, false);
    return {{"add_prefix_space", false},
            {"added_tokens_decoder", added},
            {"bos_token", start_token},
            {"do_lower_case", true},
            {"eos_token", end_token},
            {"errors", "replace"},
            {"model_max_length", 77},
            {"pad_token", pad},
            {"tokenizer_class", "CLIPTokenizer"},
            {"unk_token", end_token}};
}

}  // namespace

std::map<std::string, std::string> clip_tokenizer_files(const std::string& pad) {
    return {
        {"vocab.json", make_vocabulary().dump()},
        {"merges.txt", std::string(clip_merges)},
        {"tokenizer_config.json", make_config(pad).dump(2) + "\n"},
        {"special_tokens_map.json",
         json{{"bos_token", start_token}, {"eos_token", end_token}, {"pad_token", pad}, {"unk_token", end_token}}.dump(
             2) +
             "\n"}};
}

}  // namespace diffapple
