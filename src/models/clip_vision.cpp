#include "diffapple/models/clip_vision.h"

#include <ATen/ATen.h>

#include "clip_config.h"
#include "diffapple/core/device.h"
#include "diffapple/core/error.h"

namespace diffapple {

ClipVisionConfig ClipVisionConfig::from_json(const JsonFields& fields) {
    constexpr int64_t max_side = 4096;
    ClipVisionConfig config{.num_channels = fields.integer("num_channels", 1, 64, 3),
                            .image_size = fields.integer("image_size", 1, max_side, 224),
                            .patch_size = fields.integer("patch_size", 1, max_side, 32),
                            .encoder = read_clip_encoder(
                                fields, {.hidden_size = 768, .intermediate_size = 3072, .layers = 12, .heads = 12})};
    if (config.patch_size > config.image_size) fields.reject("patch_size", "must not be larger than image_size");
    return config;
}

/// A class token and one token per patch, each with its position's embedding.
struct ClipVisionModel::Embeddings : torch::nn::Module {
    /// A convolution without bias, its stride the patch's side.
    struct PatchEmbedding : torch::nn::Module {
        PatchEmbedding(int64_t in_channels, int64_t out_channels, int64_t patch_size) {
            weight = nn::declare_parameter(*this, "weight", {out_channels, in_channels, patch_size, patch_size});
        }
        at::Tensor forward(const at::Tensor& image) {
            return nn::ops::conv2d(image, weight, /*bias=*/{}, /*stride=*/weight.size(2), /*padding=*/0);
        }
        at::Tensor weight;
    };

    explicit Embeddings(const ClipVisionConfig& config) {
        const int64_t size = config.encoder.hidden_size, side = config.image_size / config.patch_size;
        class_embedding = nn::declare_parameter(*this, "class_embedding", {size});
        patch_embedding = register_module(
            "patch_embedding", std::make_shared<PatchEmbedding>(config.num_channels, size, config.patch_size));
        position_embedding =
            register_module("position_embedding", std::make_shared<nn::Embedding>(side * side + 1, size));
    }

    at::Tensor forward(const at::Tensor& image) {
        const auto patches = nn::ops::image_to_sequence(patch_embedding->forward(image));
        const auto of_class = class_embedding.expand({patches.size(0), 1, patches.size(2)});
        return at::cat({of_class, patches}, 1).add_(position_embedding->weight);
    }

    at::Tensor class_embedding;
    std::shared_ptr<PatchEmbedding> patch_embedding;
    std::shared_ptr<nn::Embedding> position_embedding;
};

ClipVisionModel::ClipVisionModel(const ClipVisionConfig& config) : config_(config) {
    const int64_t size = config.encoder.hidden_size;
    const double eps = config.encoder.layer_norm_eps;
    embeddings_ = register_module("embeddings", std::make_shared<Embeddings>(config));
    pre_layrnorm_ = register_module("pre_layrnorm", std::make_shared<nn::LayerNorm>(size, eps));
    encoder_ = register_module("encoder", std::make_shared<nn::ClipEncoder>(config.encoder));
    post_layernorm_ = register_module("post_layernorm", std::make_shared<nn::LayerNorm>(size, eps));
}

at::Tensor ClipVisionModel::forward(const at::Tensor& image) {
    const std::vector<int64_t> shape{image.size(0), config_.num_channels, config_.image_size, config_.image_size};
    if (image.sizes() != at::IntArrayRef(shape))
        fail("image encoder: the input has shape ", image.sizes(), " instead of ", at::IntArrayRef(shape),
             "; the feature extractor does not belong to this model");
    auto x = embeddings_->forward(image.contiguous(image_memory_format(image.device())));
    x = encoder_->forward(pre_layrnorm_->forward(x), /*mask=*/{}, 0, encoder_->depth());
    return post_layernorm_->forward(x.select(1, 0).contiguous());
}

}  // namespace diffapple
