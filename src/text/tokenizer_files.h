// The files of a tokenizer folder. Private to the text layer.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "added_tokens.h"
#include "vocabulary_files.h"

namespace diffapple {

/// All that the folder says.
struct TokenizerFiles {
    Vocabulary vocabulary;
    std::vector<AddedToken> added;  ///< with ids; each content once
    std::string start, end, pad, unknown;
    int64_t max_length = 77;
};

/// Throws Error naming the file for one that is missing or damaged.
TokenizerFiles read_tokenizer_files(const std::filesystem::path& folder);

/// The same of files in memory; `where` stands for the folder in errors.
TokenizerFiles read_tokenizer_files(const std::map<std::string, std::string>& texts, const std::string& where);

}  // namespace diffapple
