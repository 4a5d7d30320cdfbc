// Vocabulary and merges, from the forms in which they are stored. Private to the text layer.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "sentencepiece/bpe.h"

namespace diffapple {

struct Vocabulary {
    std::string where;                ///< the file, for messages
    std::vector<std::string> tokens;  ///< by id: "cat</w>"
    std::vector<BpePiece> pieces;     ///< the same for SentencePiece; `unknown` is marked by mark_unknown
};

using Merges = std::vector<std::pair<std::string, std::string>>;  ///< first the one that is done first

/// From the contents of vocab.json and merges.txt.
Vocabulary read_vocabulary(const nlohmann::json& tokens, const std::string& tokens_where, const std::string& merges,
                           const std::string& merges_where);

/// From the object that tokenizer.json holds. Throws Error unless its model is a BPE.
Vocabulary read_vocabulary(const nlohmann::json& tokenizer, const std::string& where);

/// From a saved SentencePiece model.
Vocabulary read_saved_vocabulary(const std::filesystem::path& file);

/// Names the token that stands for characters which are not in the vocabulary.
void mark_unknown(Vocabulary& vocabulary, const std::string& token);

}  // namespace diffapple
