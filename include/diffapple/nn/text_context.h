// What the cross-attentions of a UNet need of a text, and the interface of attention over an image.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <map>
#include <vector>

namespace diffapple::nn {

/// What an attention reads: keys and values, [N, S, heads * d] each.
struct KeyValue {
    at::Tensor key, value;
};

/// Keys and values of every cross-attention of one model for a batch of texts. They depend on the text alone, so they
/// are computed once per prompt, not once per step, and texts are joined and repeated without computing again.
class TextContext {
public:
    /// Keys and values for `attention`, a module of the model that made this context.
    const KeyValue& of(const torch::nn::Module& attention) const;
    void set(const torch::nn::Module& attention, KeyValue key_value);

    /// Number of texts.
    int64_t batch_size() const;
    /// The texts of the given numbers, in that order; a number may come several times.
    TextContext select(const std::vector<int64_t>& texts) const;
    /// The texts of all contexts (of one model), one after the other.
    static TextContext join(const std::vector<TextContext>& contexts);

private:
    std::map<const torch::nn::Module*, KeyValue> of_attention_;
};

/// A module that lets every pixel of an image look at others, or at a text.
class ImageAttention : public torch::nn::Module {
public:
    /// x [N, C, H, W] and N texts (none where the module reads no text); the result has the shape of x.
    virtual at::Tensor forward(const at::Tensor& x, const TextContext& text) = 0;
};

}  // namespace diffapple::nn
