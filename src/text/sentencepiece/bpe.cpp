// The only file that sees SentencePiece's headers, whose names are changed while they are compiled
// (cmake/SentencePiece.cmake).
#include "bpe.h"

#include <sentencepiece_model.pb.h>
#include <sentencepiece_processor.h>

#include <cmath>

#include "diffapple/core/error.h"

namespace diffapple {
namespace {

using sentencepiece::ModelProto;
using Type = sentencepiece::ModelProto_SentencePiece_Type;

Type type_of(BpePiece::Kind kind) {
    switch (kind) {
        case BpePiece::Kind::control:
            return sentencepiece::ModelProto_SentencePiece_Type_CONTROL;
        case BpePiece::Kind::unknown:
            return sentencepiece::ModelProto_SentencePiece_Type_UNKNOWN;
        default:
            return sentencepiece::ModelProto_SentencePiece_Type_NORMAL;
    }
}

BpePiece::Kind kind_of(Type type, const std::string& where) {
    switch (type) {
        case sentencepiece::ModelProto_SentencePiece_Type_NORMAL:
            return BpePiece::Kind::mergeable;
        case sentencepiece::ModelProto_SentencePiece_Type_CONTROL:
            return BpePiece::Kind::control;
        case sentencepiece::ModelProto_SentencePiece_Type_UNKNOWN:
            return BpePiece::Kind::unknown;
        default:
            fail(where, ": has a piece of a type that CLIP's vocabulary has not (", static_cast<int>(type), ")");
    }
}

/// A model that takes its input as it is: no normalisation, no escaped or added space.
std::unique_ptr<ModelProto> make_proto(const std::vector<BpePiece>& pieces) {
    auto proto = std::make_unique<ModelProto>();
    proto->mutable_trainer_spec()->set_model_type(sentencepiece::TrainerSpec::BPE);
    proto->mutable_trainer_spec()->set_vocab_size(static_cast<int>(pieces.size()));
    auto& normalizer = *proto->mutable_normalizer_spec();
    normalizer.set_name("identity");
    normalizer.set_add_dummy_prefix(false);
    normalizer.set_remove_extra_whitespaces(false);
    normalizer.set_escape_whitespaces(false);
    for (const auto& piece : pieces) {
        auto& added = *proto->add_pieces();
        added.set_piece(piece.text);
        added.set_score(piece.score);
        added.set_type(type_of(piece.kind));
    }
    return proto;
}

}  // namespace

struct Bpe::Model {
    sentencepiece::SentencePieceProcessor processor;
};

Bpe::Bpe(const std::vector<BpePiece>& pieces, const std::string& where) : model_(std::make_unique<Model>()) {
    const auto status = model_->processor.Load(make_proto(pieces));
    if (!status.ok()) fail(where, ": SentencePiece refuses the vocabulary: ", status.ToString());
}

Bpe::~Bpe() = default;
Bpe::Bpe(Bpe&&) noexcept = default;

void Bpe::encode(std::string_view word, std::vector<int64_t>& ids) const {
    std::vector<int> encoded;
    const auto status = model_->processor.Encode({word.data(), word.size()}, &encoded);
    if (!status.ok()) fail("SentencePiece could not encode a word: ", status.ToString());
    ids.insert(ids.end(), encoded.begin(), encoded.end());
}

std::string Bpe::serialized() const {
    return model_->processor.serialized_model_proto();
}

std::vector<BpePiece> Bpe::parse(const std::string& serialized, const std::string& where) {
    ModelProto proto;
    if (!proto.ParseFromString(serialized)) fail(where, ": is not a SentencePiece model, or damaged");
    const auto& normalizer = proto.normalizer_spec();
    if (proto.trainer_spec().model_type() != sentencepiece::TrainerSpec::BPE || normalizer.add_dummy_prefix() ||
        normalizer.remove_extra_whitespaces() || normalizer.escape_whitespaces() ||
        !normalizer.precompiled_charsmap().empty())
        fail(where, ": is a SentencePiece model, but not one of CLIP's vocabulary (a BPE that normalises nothing)");
    std::vector<BpePiece> pieces;
    for (const auto& piece : proto.pieces()) {
        if (!std::isfinite(piece.score())) fail(where, ": the score of piece ", pieces.size(), " is not a number");
        pieces.push_back({piece.piece(), kind_of(piece.type(), where), piece.score()});
    }
    return pieces;
}

}  // namespace diffapple
