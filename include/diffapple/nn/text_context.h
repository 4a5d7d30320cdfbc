// What the cross-attentions of a UNet need of a text, and the interface of attention over an image.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <vector>

namespace diffapple::nn {

/// What an attention reads: keys and values, [N, S, heads * d] each, or with heads filled up (ops::pad_heads).
struct KeyValue {
    at::Tensor key, value;
};

/// Keys and values for every transformer block of a model for a batch of texts, in the model's order of blocks. They
/// depend on the text and the weights alone, so they are computed once per prompt, not once per step, and texts are
/// joined and repeated without computing again. They serve any instance of the model with these weights.
class TextContext {
public:
    /// Keys and values for the transformer block of that number, counted from 0.
    const KeyValue& of_block(size_t block) const { return blocks_.at(block); }
    /// Adds those for the next block.
    void append(KeyValue key_value) { blocks_.push_back(std::move(key_value)); }

    /// Number of texts.
    int64_t batch_size() const;
    /// The texts of the given numbers, in that order; a number may come several times.
    TextContext select(const std::vector<int64_t>& texts) const;
    /// The texts of all contexts (of one model), one after the other.
    static TextContext join(const std::vector<TextContext>& contexts);

private:
    std::vector<KeyValue> blocks_;
};

/// A module that lets every pixel of an image look at others, or at a text.
class ImageAttention : public torch::nn::Module {
public:
    /// x [N, C, H, W] and N texts (none where the module reads no text); the result has the shape of x.
    virtual at::Tensor forward(const at::Tensor& x, const TextContext& text) = 0;
};

}  // namespace diffapple::nn
