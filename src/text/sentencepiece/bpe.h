// SentencePiece's BPE, behind an interface without its headers. Private to the text layer.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace diffapple {

struct BpePiece {
    enum class Kind {
        mergeable,  ///< a character, or two mergeable pieces joined
        control,    ///< never found in a text
        unknown,    ///< the same; SentencePiece wants exactly one
    };
    std::string text;  ///< UTF-8, not empty
    Kind kind = Kind::mergeable;
    float score = 0;  ///< of the neighbours that may be merged, those with the highest score are
};

/// A vocabulary; ids are places in it.
class Bpe {
public:
    /// Throws Error starting with `where` when SentencePiece refuses the pieces (a text that is there twice).
    Bpe(const std::vector<BpePiece>& pieces, const std::string& where);
    ~Bpe();
    Bpe(Bpe&&) noexcept;

    /// Merges the characters of a word, each of which must be a piece, until nothing more can be merged.
    void encode(std::string_view word, std::vector<int64_t>& ids) const;

    /// The model in SentencePiece's own format.
    std::string serialized() const;

    /// The pieces of such a model. Throws Error starting with `where` for anything that is not a BPE model that takes
    /// its input as it is.
    static std::vector<BpePiece> parse(const std::string& serialized, const std::string& where);

private:
    struct Model;
    std::unique_ptr<Model> model_;
};

}  // namespace diffapple
