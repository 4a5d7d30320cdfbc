#include "diffapple/nn/text_context.h"

#include <ATen/ATen.h>

namespace diffapple::nn {

int64_t TextContext::batch_size() const {
    return blocks_.empty() ? 0 : blocks_.front().key.size(0);
}

TextContext TextContext::select(const std::vector<int64_t>& texts) const {
    TextContext selected;
    for (const auto& [key, value] : blocks_) {
        const auto rows = at::tensor(texts, at::kLong).to(key.device());
        selected.append({key.index_select(0, rows), value.index_select(0, rows)});
    }
    return selected;
}

TextContext TextContext::join(const std::vector<TextContext>& contexts) {
    TextContext joined;
    if (contexts.empty()) return joined;
    for (size_t block = 0; block < contexts.front().blocks_.size(); ++block) {
        std::vector<at::Tensor> keys, values;
        for (const auto& context : contexts) {
            keys.push_back(context.of_block(block).key);
            values.push_back(context.of_block(block).value);
        }
        joined.append({at::cat(keys), at::cat(values)});
    }
    return joined;
}

}  // namespace diffapple::nn
