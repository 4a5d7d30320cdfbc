#include "vocabulary_files.h"

#include <nlohmann/json.hpp>
#include <unordered_map>
#include <unordered_set>

#include "byte_alphabet.h"
#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"
#include "diffapple/core/text.h"
#include "diffapple/io/files.h"
#include "diffapple/io/json_fields.h"

namespace diffapple {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr size_t most_merges = 1 << 20;  // CLIP has 48,894
constexpr uintmax_t largest_saved_model = 64 << 20;

using Ids = std::unordered_map<std::string_view, size_t>;

/// The tokens by id, which must be 0, 1, 2, ..., each once.
std::vector<std::string> tokens_by_id(const json& vocabulary, const std::string& where) {
    if (!vocabulary.is_object()) fail(where, ": the vocabulary is not an object of tokens and their ids");
    std::vector<std::string> tokens(vocabulary.size());
    std::vector<bool> taken(vocabulary.size());
    for (const auto& [token, id] : vocabulary.items()) {
        if (!id.is_number_integer() || id < 0 || id >= vocabulary.size())
            fail(where, ": the id of token ", quote(token), " is not an integer from 0 to ", vocabulary.size() - 1,
                 ", the number of tokens less 1");
        const auto place = id.get<size_t>();
        if (taken[place])
            fail(where, ": the tokens ", quote(tokens[place]), " and ", quote(token), " have one id, ", id);
        if (token.empty()) fail(where, ": the token with id ", id, " is empty");
        taken[place] = true;
        tokens[place] = token;
    }
    return tokens;
}

std::pair<std::string, std::string> parse_merge(const std::string& line, const std::string& where) {
    const size_t space = line.find(' ');
    if (space == std::string::npos || space == 0 || space + 1 == line.size() ||
        line.find(' ', space + 1) != std::string::npos)
        fail(where, " is not two tokens with a space between them: ", quote(line));
    return {line.substr(0, space), line.substr(space + 1)};
}

/// One merge a line; comments start with "#version".
Merges parse_merges_file(const std::string& text, const std::string& where) {
    Merges merges;
    size_t number = 0;
    for (size_t start = 0; start < text.size();) {
        const size_t end = std::min(text.find('\n', start), text.size());
        std::string line = text.substr(start, end - start);
        start = end + 1;
        ++number;
        if (line.ends_with('\r')) line.pop_back();
        if (merges.size() == most_merges) fail(where, ": has more than ", most_merges, " merges");
        if (!line.starts_with("#version")) merges.push_back(parse_merge(line, concat(where, ": line ", number)));
    }
    return merges;
}

/// A list of "a b" (older files) or of ["a", "b"].
Merges parse_merges(const json& list, const std::string& where) {
    if (!list.is_array()) fail(where, ": model.merges is not a list");
    Merges merges;
    for (const auto& merge : list) {
        if (merge.is_string()) {
            merges.push_back(
                parse_merge(merge.get<std::string>(), concat(where, ": model.merges[", merges.size(), "]")));
        } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
            merges.emplace_back(merge[0].get<std::string>(), merge[1].get<std::string>());
        } else {
            fail(where, ": model.merges[", merges.size(), "] is not a pair of tokens");
        }
    }
    return merges;
}

/// Which pieces can come about: the alphabet's characters and what merges make of them. All others are control pieces.
/// SentencePiece knows pieces, not pairs: one that two different merges make is refused, since it has one rank there.
void rank_pieces(Vocabulary& vocabulary, const Merges& merges, const std::string& where) {
    Ids ids;
    for (size_t id = 0; id < vocabulary.tokens.size(); ++id) ids.emplace(vocabulary.tokens[id], id);
    const auto find = [&](const std::string& token, size_t rank) {
        const auto found = ids.find(token);
        if (found == ids.end())
            fail(where, ": merge ", rank + 1, " needs the token ", quote(token), ", which is not in the vocabulary");
        return found->second;
    };
    const auto make_mergeable = [&](size_t id, std::string text, float score) {
        vocabulary.pieces[id] = {std::move(text), BpePiece::Kind::mergeable, score};
    };
    for (const auto& token : vocabulary.tokens) vocabulary.pieces.push_back({token, BpePiece::Kind::control, 0});
    for (unsigned byte = 0; byte < 256; ++byte)
        for (const auto& character : {inner_character(byte), final_character(byte)})
            if (const auto found = ids.find(from_piece(character)); found != ids.end())
                make_mergeable(found->second, character, 0);
    for (size_t rank = 0; rank < merges.size(); ++rank) {
        const auto& [left, right] = merges[rank];
        find(left, rank);
        find(right, rank);
        const std::string joined = left + right;
        const size_t id = find(joined, rank);
        const auto piece = to_piece(joined);
        if (!piece || to_piece(left).value_or("") + to_piece(right).value_or("") != *piece)
            continue;  // never done: the left one ends a word, or there are characters that stand for no byte
        if (vocabulary.pieces[id].kind == BpePiece::Kind::mergeable)
            fail(where, ": merge ", rank + 1, " makes the token ", quote(joined),
                 ", which another merge makes already");
        make_mergeable(id, *piece, -static_cast<float>(rank + 1));
    }
}

Vocabulary make_vocabulary(const json& tokens, const std::string& tokens_where, const Merges& merges,
                           const std::string& merges_where) {
    Vocabulary vocabulary{.where = tokens_where, .tokens = tokens_by_id(tokens, tokens_where), .pieces = {}};
    if (merges.size() > vocabulary.tokens.size())
        fail(merges_where, ": has ", counted(merges.size(), "merge"), ", and the vocabulary only ",
             counted(vocabulary.tokens.size(), "token"));
    rank_pieces(vocabulary, merges, merges_where);
    return vocabulary;
}

}  // namespace

Vocabulary read_vocabulary(const json& tokens, const std::string& tokens_where, const std::string& merges,
                           const std::string& merges_where) {
    return make_vocabulary(tokens, tokens_where, parse_merges_file(merges, merges_where), merges_where);
}

Vocabulary read_vocabulary(const json& tokenizer, const std::string& where) {
    const JsonFields model = JsonFields(tokenizer, where).object("model");
    model.choice("type", {"BPE"}, "BPE");
    return make_vocabulary(model.value("vocab"), where, parse_merges(model.value("merges"), where), where);
}

Vocabulary read_saved_vocabulary(const fs::path& file) {
    const std::string where = file.string();
    Vocabulary vocabulary{.where = where, .tokens = {}, .pieces = {}};
    vocabulary.pieces = Bpe::parse(read_file(file, largest_saved_model), where);
    std::unordered_set<std::string> seen;
    for (auto& piece : vocabulary.pieces) {
        if (piece.kind == BpePiece::Kind::unknown) piece.kind = BpePiece::Kind::control;  // the config names it
        const bool mergeable = piece.kind == BpePiece::Kind::mergeable;
        vocabulary.tokens.push_back(mergeable ? from_piece(piece.text) : piece.text);
        if (!seen.insert(vocabulary.tokens.back()).second)
            fail(where, ": the token ", quote(vocabulary.tokens.back()), " is there twice");
    }
    return vocabulary;
}

void mark_unknown(Vocabulary& vocabulary, const std::string& token) {
    for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
        if (vocabulary.tokens[id] != token) continue;
        if (vocabulary.pieces[id].kind == BpePiece::Kind::mergeable)
            fail(vocabulary.where, ": the unknown token ", quote(token), " is a piece of text");
        vocabulary.pieces[id].kind = BpePiece::Kind::unknown;
        return;
    }
    fail(vocabulary.where, ": the unknown token ", quote(token), " is not in the vocabulary");
}

}  // namespace diffapple
