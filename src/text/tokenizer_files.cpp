// Reads a tokenizer folder as transformers 5 does, where it matters for ids: which tokens are found in a text before
// BPE sees it, and with which flags, depends on the order in which the files mention them.
#include "tokenizer_files.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_map>

#include "diffapple/core/error.h"
#include "diffapple/io/files.h"
#include "diffapple/io/json_fields.h"

namespace diffapple {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr int64_t clip_length = 77;
constexpr int64_t longest = 1 << 16;  // transformers writes 1e30 where there is no limit
constexpr int64_t largest_id = INT32_MAX;
constexpr size_t most_added_tokens = 1 << 13;

/// transformers' names, in its order.
const std::vector<std::string> special_names = {"bos_token", "eos_token", "unk_token", "sep_token",
                                                "pad_token", "cls_token", "mask_token"};
const std::vector<std::string> lists_of_special_tokens = {"additional_special_tokens", "extra_special_tokens"};

constexpr uintmax_t largest_merges_file = 16 << 20;

/// The files of a folder on the disk, or in memory.
struct Folder {
    fs::path path;
    const std::map<std::string, std::string>* texts = nullptr;  ///< by name; null: on the disk

    std::string where(const std::string& file) const { return (path / file).string(); }
    bool has(const std::string& file) const { return texts ? texts->contains(file) : is_file(path / file); }
    std::string text(const std::string& file) const {
        return texts ? texts->at(file) : read_file(path / file, largest_merges_file);
    }
    json read(const std::string& file) const {
        return texts ? parse_json(texts->at(file), where(file)) : read_json_file(path / file);
    }
    std::optional<json> read_if_there(const std::string& file) const {
        return has(file) ? std::optional(read(file)) : std::nullopt;
    }
};

/// A token as a text or as an object with flags.
AddedToken parse_token(const JsonFields& owner, const std::string& key, bool special) {
    if (owner.value(key).is_string()) return {.content = owner.text(key)};
    const JsonFields fields = owner.object(key);
    const bool is_special = special || fields.boolean("special", false);
    return {.content = fields.text("content"),
            .normalized = fields.boolean("normalized", !is_special),
            .left_strip = fields.boolean("lstrip", false),
            .right_strip = fields.boolean("rstrip", false),
            .single_word = fields.boolean("single_word", false)};
}

/// The tokens that the folder's files name, in the order in which transformers adds them.
class TokenList {
public:
    explicit TokenList(Folder folder) : folder_(std::move(folder)) {}

    void read(const std::optional<json>& config, const std::optional<json>& tokenizer) {
        if (config) read_special_tokens(*config, "tokenizer_config.json", false);
        if (config && JsonFields(*config, where("tokenizer_config.json")).has("added_tokens_decoder")) {
            read_decoder(*config);
            return;
        }
        if (const auto map = folder_.read_if_there("special_tokens_map.json"))
            read_special_tokens(*map, "special_tokens_map.json", true);
        if (const auto added = folder_.read_if_there("added_tokens.json")) read_added_tokens(*added);
        if (tokenizer) read_added_tokens_of_tokenizer(*tokenizer);
    }

    /// The special token of that name; null in a file counts as not given.
    AddedToken special(const std::string& name, const std::string& fallback) const {
        const auto found = special_.find(name);
        const AddedToken token = found == special_.end() ? AddedToken{.content = fallback} : found->second;
        const AddedToken* const numbered = find_numbered(token.content);
        return numbered ? *numbered : token;
    }

    /// All tokens: numbered ones by number, then special ones that no number names; the last of a content counts.
    std::vector<AddedToken> all(const std::vector<std::pair<std::string, std::string>>& defaults) const {
        if (numbered_.size() + extra_.size() > most_added_tokens)
            fail(folder_.path.string(), ": has more than ", most_added_tokens, " added tokens");
        std::vector<AddedToken> tokens;
        for (const auto& [number, token] : numbered_) tokens.push_back(token);
        const size_t numbered = tokens.size();
        for (const auto& name : special_names) {
            const auto fallback =
                std::find_if(defaults.begin(), defaults.end(), [&](const auto& entry) { return entry.first == name; });
            if (fallback == defaults.end() && !special_.count(name)) continue;
            add(tokens, numbered, special(name, fallback == defaults.end() ? "" : fallback->second));
        }
        for (const auto& token : extra_) add(tokens, numbered, token);
        return tokens;
    }

private:
    std::string where(const std::string& file) const { return folder_.where(file); }

    const AddedToken* find_numbered(const std::string& content) const {
        for (const auto& [number, token] : numbered_)
            if (token.content == content) return &token;
        return nullptr;
    }

    static void add(std::vector<AddedToken>& tokens, size_t numbered, const AddedToken& token) {
        const auto end_of_numbered = tokens.begin() + static_cast<std::ptrdiff_t>(numbered);
        if (token.content.empty() || std::find(tokens.begin(), tokens.end(), token) != tokens.end()) return;
        if (std::any_of(tokens.begin(), end_of_numbered, [&](const auto& t) { return t.content == token.content; }))
            return;
        tokens.push_back(token);
    }

    void read_special_tokens(const json& object, const std::string& file, bool special) {
        const JsonFields fields(object, where(file));
        for (const auto& name : special_names)
            if (fields.has(name)) special_[name] = parse_token(fields, name, special);
        for (const auto& name : lists_of_special_tokens) {
            if (!fields.has(name) || !fields.value(name).is_array()) continue;  // an object names roles, not tokens
            for (const auto& item : fields.value(name)) {
                const json holder = {{name, item}};
                extra_.push_back(parse_token(JsonFields(holder, where(file)), name, true));
            }
        }
    }

    void read_decoder(const json& config) {
        const JsonFields decoder = JsonFields(config, where("tokenizer_config.json")).object("added_tokens_decoder");
        for (const auto& item : config.at("added_tokens_decoder").items()) {
            const bool digits = !item.key().empty() && item.key().size() < 10 &&
                                item.key().find_first_not_of("0123456789") == std::string::npos;
            if (!digits) decoder.reject(item.key(), "is not the id of a token");
            numbered_[std::stoll(item.key())] = parse_token(decoder, item.key(), false);
        }
    }

    void read_added_tokens(const json& added) {
        const JsonFields fields(added, where("added_tokens.json"));
        for (const auto& item : added.items()) {
            const bool special = std::any_of(special_.begin(), special_.end(),
                                             [&](const auto& entry) { return entry.second.content == item.key(); });
            numbered_[fields.integer(item.key(), 0, largest_id)] = {.content = item.key(), .normalized = !special};
        }
    }

    void read_added_tokens_of_tokenizer(const json& tokenizer) {
        const JsonFields fields(tokenizer, where("tokenizer.json"));
        if (!fields.has("added_tokens")) return;
        if (!fields.value("added_tokens").is_array()) fields.reject("added_tokens", "is not a list");
        for (const auto& item : fields.value("added_tokens")) {
            const JsonFields token(item, where("tokenizer.json") + ": added_tokens");
            const json holder = {{"token", item}};
            numbered_[token.integer("id", 0, largest_id)] =
                parse_token(JsonFields(holder, where("tokenizer.json")), "token", false);
        }
    }

    Folder folder_;
    std::map<std::string, AddedToken> special_;  ///< by name
    std::map<int64_t, AddedToken> numbered_;
    std::vector<AddedToken> extra_;
};

/// A token of the vocabulary keeps its id; the others follow after the vocabulary.
std::vector<AddedToken> with_ids(const std::vector<AddedToken>& tokens, const std::vector<std::string>& vocabulary) {
    std::unordered_map<std::string_view, int64_t> ids;
    for (size_t id = 0; id < vocabulary.size(); ++id) ids.emplace(vocabulary[id], static_cast<int64_t>(id));
    std::map<int64_t, AddedToken> by_id;
    for (AddedToken token : tokens) {
        const auto next = static_cast<int64_t>(ids.size());
        token.id = ids.emplace(token.content, next).first->second;
        by_id[token.id] = token;
    }
    std::vector<AddedToken> added;
    for (const auto& [id, token] : by_id) added.push_back(token);
    return added;
}

int64_t read_max_length(const std::optional<json>& config, const std::string& where) {
    if (!config) return clip_length;
    const JsonFields fields(*config, where);
    const double length = fields.number("model_max_length", static_cast<double>(clip_length));
    return length > longest ? clip_length : fields.integer("model_max_length", 2, longest, clip_length);
}

Vocabulary find_vocabulary(const Folder& folder, const std::optional<json>& tokenizer) {
    const bool vocabulary = folder.has("vocab.json"), merges = folder.has("merges.txt");
    if (vocabulary && merges)
        return read_vocabulary(folder.read("vocab.json"), folder.where("vocab.json"), folder.text("merges.txt"),
                               folder.where("merges.txt"));
    if (tokenizer) return read_vocabulary(*tokenizer, folder.where("tokenizer.json"));
    if (folder.has("tokenizer.model")) return read_saved_vocabulary(folder.path / "tokenizer.model");
    if (vocabulary != merges)
        fail(folder.path.string(), ": ", vocabulary ? "merges.txt" : "vocab.json", " is missing beside ",
             vocabulary ? "vocab.json" : "merges.txt", "; download the model again, or give another --model");
    fail(folder.path.string(),
         ": is no tokenizer folder (no vocab.json with merges.txt, no tokenizer.json, no "
         "tokenizer.model); a complete model with prompts has one, SDXL two");
}

TokenizerFiles read_folder(const Folder& folder) {
    const auto tokenizer = folder.read_if_there("tokenizer.json");
    const auto config = folder.read_if_there("tokenizer_config.json");
    TokenizerFiles files{.vocabulary = find_vocabulary(folder, tokenizer), .added = {}};
    TokenList list(folder);
    list.read(config, tokenizer);

    const std::string end = "<|endoftext|>";
    files.start = list.special("bos_token", "<|startoftext|>").content;
    files.end = list.special("eos_token", end).content;
    files.pad = list.special("pad_token", end).content;
    files.unknown = list.special("unk_token", end).content;
    files.added = with_ids(list.all({{"bos_token", files.start},
                                     {"eos_token", files.end},
                                     {"unk_token", files.unknown},
                                     {"pad_token", files.pad}}),
                           files.vocabulary.tokens);
    files.max_length = read_max_length(config, folder.where("tokenizer_config.json"));
    mark_unknown(files.vocabulary, files.unknown);
    return files;
}

}  // namespace

TokenizerFiles read_tokenizer_files(const fs::path& folder) {
    return read_folder({.path = folder});
}

TokenizerFiles read_tokenizer_files(const std::map<std::string, std::string>& texts, const std::string& where) {
    return read_folder({.path = where, .texts = &texts});
}

}  // namespace diffapple
