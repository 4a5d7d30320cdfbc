#include "diffapple/text/clip_tokenizer.h"

#include <algorithm>
#include <array>
#include <unordered_map>
#include <unordered_set>

#include "added_tokens.h"
#include "byte_alphabet.h"
#include "diffapple/core/error.h"
#include "diffapple/core/text.h"
#include "diffapple/core/utf8.h"
#include "diffapple/io/files.h"
#include "tokenizer_files.h"
#include "unicode.h"
#include "words.h"

namespace diffapple {

namespace {

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
    std::string replaced;
    size_t begin = 0;
    for (size_t at = text.find(from); at != std::string_view::npos; at = text.find(from, begin)) {
        replaced.append(text.substr(begin, at - begin)).append(to);
        begin = at + from.size();
    }
    return replaced.append(text.substr(begin));
}

/// Without white space at both ends.
std::string strip(const std::string& text) {
    const std::u32string characters = decode_utf8(text);
    size_t start = 0, end = characters.size();
    while (start < end && class_of(characters[start]) == CharacterClass::space) ++start;
    while (start < end && class_of(characters[end - 1]) == CharacterClass::space) --end;
    return encode_utf8(std::u32string_view(characters).substr(start, end - start));
}

}  // namespace

struct ClipTokenizer::State {
    explicit State(TokenizerFiles files)
        : tokens(std::move(files.vocabulary.tokens)),
          bpe(files.vocabulary.pieces, files.vocabulary.where),
          max_length(files.max_length) {
        mark_known_bytes(files.vocabulary.pieces);
        for (const auto& token : files.added) {
            if (static_cast<size_t>(token.id) == tokens.size()) tokens.push_back(token.content);
            token.normalized ? in_normal_text.add(normalize(valid_utf8(token.content)), token)
                             : in_written_text.add(token.content, token);
        }
        const auto find = [&](const std::string& content) {
            for (size_t id = tokens.size(); id-- > 0;)
                if (tokens[id] == content) return static_cast<int64_t>(id);
            fail(files.vocabulary.where, ": the token ", quote(content), " is not in the vocabulary");
        };
        find_embeddings_of_several_vectors(files.added);
        start = find(files.start);
        end = find(files.end);
        pad = find(files.pad);
        unknown = find(files.unknown);
    }

    /// A textual inversion of several vectors is a token for each: "<x>", "<x>_1", "<x>_2".
    void find_embeddings_of_several_vectors(const std::vector<AddedToken>& added) {
        std::unordered_set<std::string> contents;
        for (const auto& token : added) contents.insert(token.content);
        for (const auto& token : added) {
            std::string all = token.content;
            for (size_t i = 1; contents.contains(concat(token.content, "_", i)); ++i)
                all += concat(" ", token.content, "_", i);
            if (!token.content.empty() && all != token.content) vectors.emplace(token.content, std::move(all));
        }
    }

    void mark_known_bytes(const std::vector<BpePiece>& pieces) {
        std::unordered_map<std::string_view, bool> known;
        for (const auto& piece : pieces)
            if (piece.kind == BpePiece::Kind::mergeable) known.emplace(piece.text, true);
        for (unsigned byte = 0; byte < 256; ++byte) {
            known_inner[byte] = known.count(inner_character(byte)) > 0;
            known_final[byte] = known.count(final_character(byte)) > 0;
        }
    }

    /// One word: its bytes as characters. A byte that the vocabulary lacks is the unknown token, and divides the word.
    void encode_word(const std::string& word, std::vector<int64_t>& ids) const {
        std::string run;
        const auto finish_run = [&] {
            if (!run.empty()) bpe.encode(run, ids);
            run.clear();
        };
        for (size_t i = 0; i < word.size(); ++i) {
            const auto byte = static_cast<unsigned char>(word[i]);
            const bool last = i + 1 == word.size();
            if (last ? known_final[byte] : known_inner[byte]) {
                run += last ? final_character(byte) : inner_character(byte);
            } else {
                finish_run();
                ids.push_back(unknown);
            }
        }
        finish_run();
    }

    /// A whole text, valid UTF-8.
    void encode_text(const std::string& text, std::vector<int64_t>& ids) const {
        for (const auto& part : in_written_text.split(text)) {
            if (part.id >= 0) {
                ids.push_back(part.id);
                continue;
            }
            const std::string normal = normalize(part.text);
            for (const auto& piece : in_normal_text.split(normal)) {
                if (piece.id >= 0) {
                    ids.push_back(piece.id);
                    continue;
                }
                for (const auto& word : split_words(piece.text)) encode_word(word, ids);
            }
        }
    }

    /// The text with all tokens of an embedding in place of its first, as diffusers' maybe_convert_prompt writes it:
    /// each of the text's tokens is replaced once, wherever its name occurs. It takes them in no certain order (that of
    /// a set); here it is that of the text.
    std::string with_all_vectors(std::string text) const {
        if (vectors.empty()) return text;
        for (const auto& token : added_tokens_in(text)) {
            const auto found = vectors.find(token);
            if (found != vectors.end()) text = replace_all(text, token, found->second);
        }
        return text;
    }

    /// The texts of the added tokens that are found in a text, as they are found: normalised where the token is. Each
    /// once.
    std::vector<std::string> added_tokens_in(const std::string& text) const {
        std::vector<std::string> found;
        const auto add = [&](const TextPart& part) {
            if (part.id >= 0 && std::find(found.begin(), found.end(), part.text) == found.end())
                found.emplace_back(part.text);
        };
        for (const auto& part : in_written_text.split(text)) {
            add(part);
            if (part.id >= 0) continue;
            const std::string normal = normalize(part.text);
            for (const auto& piece : in_normal_text.split(normal)) add(piece);
        }
        return found;
    }

    std::vector<std::string> tokens;  ///< by id, added ones too
    Bpe bpe;
    TokenFinder in_written_text, in_normal_text;
    std::unordered_map<std::string, std::string> vectors;  ///< all tokens of such an embedding, by its first
    std::array<bool, 256> known_inner{}, known_final{};
    int64_t start = 0, end = 0, pad = 0, unknown = 0, max_length = 0;
};

ClipTokenizer ClipTokenizer::from_folder(const std::filesystem::path& folder) {
    return ClipTokenizer(std::make_shared<const State>(read_tokenizer_files(folder)));
}

ClipTokenizer ClipTokenizer::from_texts(const std::map<std::string, std::string>& texts, const std::string& where) {
    return ClipTokenizer(std::make_shared<const State>(read_tokenizer_files(texts, where)));
}

std::vector<int64_t> ClipTokenizer::encode(const std::string& text) const {
    std::vector<int64_t> ids{state_->start};
    state_->encode_text(state_->with_all_vectors(valid_utf8(text)), ids);
    ids.push_back(state_->end);
    return ids;
}

ClipTokenizer::Padded ClipTokenizer::encode_padded(const std::string& text) const {
    Padded padded{.ids = encode(text)};
    const auto length = static_cast<size_t>(state_->max_length);
    if (padded.ids.size() > length) {
        const auto cut = padded.ids.begin() + static_cast<std::ptrdiff_t>(length) - 1;
        padded.lost = decode({cut, padded.ids.end() - 1});
        padded.ids.erase(cut, padded.ids.end() - 1);
    }
    padded.used = padded.ids.size();
    padded.ids.resize(length, state_->pad);
    return padded;
}

std::vector<std::string> ClipTokenizer::pieces(const std::vector<int64_t>& ids) const {
    const auto count = static_cast<int64_t>(state_->tokens.size());  // with added tokens
    std::vector<std::string> texts;
    for (const int64_t id : ids) texts.push_back(id >= 0 && id < count ? state_->tokens[static_cast<size_t>(id)] : "");
    return texts;
}

std::string ClipTokenizer::decode(const std::vector<int64_t>& ids) const {
    std::string bytes;
    for (const auto& token : pieces(ids)) bytes += to_bytes(token).value_or(token);
    return strip(replace_all(valid_utf8(bytes), end_of_word, " "));
}

void ClipTokenizer::save_model(const std::filesystem::path& file) const {
    const std::string model = state_->bpe.serialized();
    require_same_kind("--save-model", file, std::string_view(model).substr(0, 1));
    write_file_atomically(file, model);
}

int64_t ClipTokenizer::max_length() const {
    return state_->max_length;
}

}  // namespace diffapple
