#include "diffapple/models/clip_text.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "clip_config.h"
#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"
#include "diffapple/models/component_loading.h"

namespace diffapple {
namespace {

constexpr const char* projection_key = "text_projection.weight";

bool names_projection(const JsonFields& fields) {
    const auto architectures = fields.texts("architectures", std::vector<std::string>{});
    return std::find(architectures.begin(), architectures.end(), "CLIPTextModelWithProjection") != architectures.end();
}

}  // namespace

ClipTextConfig ClipTextConfig::from_json(const JsonFields& fields) {
    if (fields.has("text_config")) {
        auto nested = from_json(fields.object("text_config"));
        nested.with_projection = nested.with_projection || names_projection(fields);
        return nested;
    }
    if (fields.has("model_type")) fields.choice("model_type", {"clip_text_model"});
    constexpr int64_t max_vocabulary = 1 << 24, max_positions = 1 << 16;
    return {
        .vocab_size = fields.integer("vocab_size", 1, max_vocabulary, 49408),
        .max_position_embeddings = fields.integer("max_position_embeddings", 1, max_positions, 77),
        .encoder = read_clip_encoder(fields, {.hidden_size = 512, .intermediate_size = 2048, .layers = 12, .heads = 8}),
        .eos_token_id = fields.integer("eos_token_id", 0, max_vocabulary, 49407),
        .projection_dim = fields.integer("projection_dim", 1, 1 << 16, 512),
        .use_attention_mask = fields.boolean("use_attention_mask", false),
        .with_projection = names_projection(fields)};
}

/// Sum of a token's and its position's embedding.
struct ClipTextModel::Embeddings : torch::nn::Module {
    explicit Embeddings(const ClipTextConfig& config) {
        const int64_t size = config.encoder.hidden_size;
        token_embedding = register_module("token_embedding", std::make_shared<nn::Embedding>(config.vocab_size, size));
        position_embedding = register_module("position_embedding",
                                             std::make_shared<nn::Embedding>(config.max_position_embeddings, size));
    }

    at::Tensor forward(const at::Tensor& ids) {
        const at::Tensor& positions = position_embedding->weight;
        return token_embedding->forward(ids.to(positions.device())).add_(positions.narrow(0, 0, ids.size(1)));
    }

    std::shared_ptr<nn::Embedding> token_embedding, position_embedding;
};

ClipTextModel::ClipTextModel(const ClipTextConfig& config) : config_(config) {
    const int64_t size = config.encoder.hidden_size;
    embeddings_ = register_module("embeddings", std::make_shared<Embeddings>(config));
    encoder_ = register_module("encoder", std::make_shared<nn::ClipEncoder>(config.encoder));
    final_layer_norm_ =
        register_module("final_layer_norm", std::make_shared<nn::LayerNorm>(size, config.encoder.layer_norm_eps));
    if (config.with_projection)
        text_projection_ = register_module("text_projection",
                                           std::make_shared<nn::Linear>(size, config.projection_dim, /*bias=*/false));
}

void ClipTextModel::check(const at::Tensor& ids, const ClipTextRequest& request) const {
    if (ids.dim() != 2 || ids.scalar_type() != at::kLong || ids.numel() == 0)
        fail("text encoder: token ids must be int64 [N, L], not ", ids.scalar_type(), ' ', ids.sizes());
    if (ids.size(1) > config_.max_position_embeddings)
        fail("text encoder: ", counted(ids.size(1), "token"), " are more than its ",
             counted(config_.max_position_embeddings, "position"),
             "; tokenizer and text encoder do not belong together");
    const auto [smallest, largest] = at::aminmax(ids.to(at::kCPU));
    for (const int64_t id : {smallest.item<int64_t>(), largest.item<int64_t>()})
        if (id < 0 || id >= config_.vocab_size)
            fail("text encoder: token id ", id, " is outside its vocabulary of ", config_.vocab_size,
                 "; tokenizer and text encoder do not belong together");
    if (request.layers_skipped < 0 || request.layers_skipped > encoder_->depth())
        fail("text encoder: cannot skip ", request.layers_skipped, " of its ", counted(encoder_->depth(), "layer"));
}

namespace {

/// [length, length]: 0 where the column's token is seen and not after the row's, else minus infinity. Given explicitly,
/// since mps leaked later tokens with its own causal flag in fp16.
at::Tensor attention_mask(int64_t length, const std::vector<int64_t>& unseen, const at::Tensor& like) {
    constexpr double nothing = -std::numeric_limits<double>::infinity();
    const at::Tensor mask = at::full({length, length}, nothing, at::kFloat).triu_(1);
    for (const int64_t column : unseen) mask.select(1, column).fill_(nothing);
    return mask.to(like.device(), like.scalar_type());
}

}  // namespace

at::Tensor ClipTextModel::pool(const at::Tensor& hidden, const at::Tensor& ids) {
    constexpr int64_t wrong_eos_of_old_configs = 2;
    const at::Tensor found =
        config_.eos_token_id == wrong_eos_of_old_configs ? ids : ids.eq(config_.eos_token_id).to(at::kInt);
    const at::Tensor position = found.to(at::kCPU).argmax(-1).to(hidden.device()).view({-1, 1, 1});
    const at::Tensor state = hidden.gather(1, position.expand({-1, 1, hidden.size(2)})).squeeze(1);
    const at::Tensor normed = final_layer_norm_->forward(state);
    return text_projection_ ? text_projection_->forward(normed) : normed;
}

ClipTextOutput ClipTextModel::forward(const at::Tensor& ids, const ClipTextRequest& request) {
    check(ids, request);
    const int64_t depth = encoder_->depth(), wanted = depth - request.layers_skipped;
    const at::Tensor embedded = embeddings_->forward(ids);
    const at::Tensor mask = attention_mask(ids.size(1), request.unseen, embedded);
    const at::Tensor hidden = encoder_->forward(embedded, mask, 0, wanted);
    ClipTextOutput output{.hidden = request.final_norm ? final_layer_norm_->forward(hidden) : hidden};
    if (request.pooled) output.pooled = pool(encoder_->forward(hidden, mask, wanted, depth), ids);
    return output;
}

namespace {

/// The name of a parameter for a stored tensor's.
std::optional<std::string> text_key(const std::string& name) {
    constexpr std::string_view prefix = "text_model.";
    const std::string key = name.starts_with(prefix) ? name.substr(prefix.size()) : name;
    if (key == "embeddings.position_ids") return std::nullopt;  // the numbers 0, 1, ...: not a weight
    return key;
}

/// Without weights; the stored ones may have a projection that the config does not name. One of another size is of no
/// use: it is a surplus tensor.
std::shared_ptr<ClipTextModel> build_clip_text(const Component& component, const StoredTensors& stored) {
    auto config = ClipTextConfig::from_json(JsonFields(component.config, component.where()));
    const std::vector<int64_t> shape{config.projection_dim, config.encoder.hidden_size};
    const auto found = stored.find(projection_key);
    config.with_projection = config.with_projection || (found != stored.end() && found->second.shape == shape);
    return build_model<ClipTextModel>(component, config);
}

}  // namespace

std::shared_ptr<ClipTextModel> load_clip_text(const Component& component, const Placement& placement) {
    const auto stored = open_component(component, placement);
    auto model = build_clip_text(component, stored);
    load_state(*model, stored, component.name, placement, text_key);
    return model;
}

std::string check_clip_text(const Component& component, const Placement& placement) {
    const auto stored = open_component(component, placement);
    return check_state(*build_clip_text(component, stored), stored, component.name, text_key);
}

StoredTensors clip_text_tensors(const Component& component, bool prefer_half) {
    const auto stored = component.open(prefer_half);
    return fitting_tensors(*build_clip_text(component, stored), stored, component.name, text_key);
}

}  // namespace diffapple
