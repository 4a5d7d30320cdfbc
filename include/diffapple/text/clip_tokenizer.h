// CLIP's tokenizer: text to the ids that a CLIP text encoder reads. Byte-level BPE by SentencePiece; its ids are those
// of transformers' CLIPTokenizer (version 5).
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace diffapple {

class ClipTokenizer {
public:
    /// Ids of fixed length, and what did not fit.
    struct Padded {
        std::vector<int64_t> ids;  ///< max_length() of them: start, text, end, then the pad token
        size_t used = 0;           ///< how many of them are no padding
        std::string lost;          ///< the text that was cut away, as diffusers' warning quotes it; "" when all fits
    };

    /// Reads the tokenizer folder of a checkpoint: vocab.json and merges.txt, else tokenizer.json, else tokenizer.model
    /// (SentencePiece, written by save_model); with tokenizer_config.json, special_tokens_map.json and
    /// added_tokens.json where they are. Throws Error naming the file for one that is missing, damaged, larger than 16
    /// MiB (tokenizer.model: 64 MiB), or no BPE vocabulary: ids that are not 0, 1, 2, ..., merges of or into pieces
    /// that are not in the vocabulary, a piece with two merges.
    static ClipTokenizer from_folder(const std::filesystem::path& folder);

    /// The same of files in memory, by name; `where` stands for the folder in errors.
    static ClipTokenizer from_texts(const std::map<std::string, std::string>& texts, const std::string& where);

    /// Start token, the text's ids, end token: not cut, not padded. The text is UTF-8; bytes that are not become
    /// U+FFFD. Special tokens written in the text are found as transformers finds them.
    std::vector<int64_t> encode(const std::string& text) const;

    /// The same, cut and padded to max_length().
    Padded encode_padded(const std::string& text) const;

    /// The vocabulary's text of each id, "cat</w>"; "" for an id that there is not.
    std::vector<std::string> pieces(const std::vector<int64_t>& ids) const;

    /// The text of ids, lower case and with a space after each word; special tokens as themselves.
    std::string decode(const std::vector<int64_t>& ids) const;

    /// Writes the vocabulary as a SentencePiece model, which SentencePiece itself and from_folder (named
    /// tokenizer.model, with the other files beside it) read.
    void save_model(const std::filesystem::path& file) const;

    int64_t max_length() const;  ///< model_max_length: 77 for CLIP

private:
    struct State;
    explicit ClipTokenizer(std::shared_ptr<const State> state) : state_(std::move(state)) {}

    std::shared_ptr<const State> state_;  // never changes: copies share it
};

/// The files of a tokenizer folder with CLIP's own vocabulary, which is part of this program: vocab.json, merges.txt,
/// tokenizer_config.json and special_tokens_map.json. `pad`: "<|endoftext|>" of SD v1 and SDXL's first encoder, "!" of
/// SD v2 and SDXL's second.
std::map<std::string, std::string> clip_tokenizer_files(const std::string& pad);

}  // namespace diffapple
