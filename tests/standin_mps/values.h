// Walks the tensors of a boxed operator's arguments and results: single ones, lists, and lists with gaps.
#pragma once

#include <ATen/core/List.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <optional>

namespace diffapple::standin_mps {

/// The value with every defined tensor in it replaced by replace(tensor).
template <typename Replace>
c10::IValue map_tensors(const c10::IValue& value, const Replace& replace) {
    if (value.isTensor()) {
        const at::Tensor& tensor = value.toTensor();
        return tensor.defined() ? c10::IValue(replace(tensor)) : value;
    }
    if (value.isTensorList()) {
        c10::List<at::Tensor> mapped;
        for (const at::Tensor& tensor : value.toTensorVector()) mapped.push_back(replace(tensor));
        return mapped;
    }
    if (value.isOptionalTensorList()) {
        c10::List<std::optional<at::Tensor>> mapped;
        for (const std::optional<at::Tensor>& tensor : value.toOptionalTensorVector())
            mapped.push_back(tensor && tensor->defined() ? std::optional(replace(*tensor)) : tensor);
        return mapped;
    }
    return value;
}

/// Calls visit(tensor) for every defined tensor in the value.
template <typename Visit>
void for_each_tensor(const c10::IValue& value, const Visit& visit) {
    map_tensors(value, [&](const at::Tensor& tensor) {
        visit(tensor);
        return tensor;
    });
}

}  // namespace diffapple::standin_mps
