// A small tokenizer made by hand, for the text layer's tests and fuzzer.
#pragma once

#include <map>
#include <string>

namespace diffapple {

/// The files of a tokenizer with the letters a to e, "!", "é" as two bytes, and a few merges. Ids: inner letters 0 to
/// 4, their ends 5 to 9, and so on as written here.
inline const std::string small_vocabulary = R"({
    "a": 0, "b": 1, "c": 2, "d": 3, "e": 4, "a</w>": 5, "b</w>": 6, "c</w>": 7, "d</w>": 8, "e</w>": 9,
    "!": 10, "!</w>": 11, "\u00c3": 12, "\u00a9</w>": 13, "ab": 14, "c</w>d": 15, "abc</w>": 16,
    "\u00c3\u00a9</w>": 17, "bc</w>": 18, "<|startoftext|>": 19, "<|endoftext|>": 20})";
inline const std::string small_merges = "#version: 0.2\na b\nab c</w>\n\u00c3 \u00a9</w>\nb c</w>\nc</w> d\n";
inline const std::string small_config = R"({"model_max_length": 6, "pad_token": "!",
    "eos_token": {"content": "<|endoftext|>", "normalized": true, "lstrip": false, "rstrip": false},
    "added_tokens_decoder": {"10": {"content": "!", "special": true}, "21": {"content": "<toy>", "lstrip": true}}})";
inline const std::map<std::string, std::string> small_tokenizer_files = {
    {"vocab.json", small_vocabulary}, {"merges.txt", small_merges}, {"tokenizer_config.json", small_config}};

}  // namespace diffapple
