#include "diffapple/nn/text_context.h"

#include <ATen/ATen.h>

namespace diffapple::nn {

const KeyValue& TextContext::of(const torch::nn::Module& attention) const {
    return of_attention_.at(&attention);
}

void TextContext::set(const torch::nn::Module& attention, KeyValue key_value) {
    of_attention_[&attention] = std::move(key_value);
}

int64_t TextContext::batch_size() const {
    return of_attention_.empty() ? 0 : of_attention_.begin()->second.key.size(0);
}

TextContext TextContext::select(const std::vector<int64_t>& texts) const {
    TextContext selected;
    for (const auto& [attention, all] : of_attention_) {
        const auto rows = at::tensor(texts, at::kLong).to(all.key.device());
        selected.of_attention_[attention] = {all.key.index_select(0, rows), all.value.index_select(0, rows)};
    }
    return selected;
}

TextContext TextContext::join(const std::vector<TextContext>& contexts) {
    TextContext joined;
    if (contexts.empty()) return joined;
    for (const auto& [attention, first] : contexts.front().of_attention_) {
        std::vector<at::Tensor> keys, values;
        for (const auto& context : contexts) {
            keys.push_back(context.of(*attention).key);
            values.push_back(context.of(*attention).value);
        }
        joined.of_attention_[attention] = {at::cat(keys), at::cat(values)};
    }
    return joined;
}

}  // namespace diffapple::nn
