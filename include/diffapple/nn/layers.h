// Layers that hold weights: plain torch::nn modules on nn/ops. Weights are declared with their shape and take no
// memory until a checkpoint is loaded (models/state_loading.h).
#pragma once

#include <torch/nn/module.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "diffapple/nn/ops.h"

namespace diffapple::nn {

/// Modules registered under "0", "1", ... as in PyTorch's ModuleList.
template <typename T>
class ModuleList : public torch::nn::Module {
public:
    void append(std::shared_ptr<T> module) {
        modules_.push_back(register_module(std::to_string(modules_.size()), std::move(module)));
    }
    size_t size() const { return modules_.size(); }
    T& operator[](size_t index) { return *modules_[index]; }

private:
    std::vector<std::shared_ptr<T>> modules_;
};

/// Declares a parameter of the given shape that occupies no memory yet.
at::Tensor declare_parameter(torch::nn::Module& module, const std::string& name, at::IntArrayRef shape);

class Linear : public torch::nn::Module {
public:
    Linear(int64_t in_features, int64_t out_features, bool bias = true);
    at::Tensor forward(const at::Tensor& x) { return ops::linear(x, weight, bias); }

    at::Tensor weight, bias;  ///< [out, in], [out]
};

class Conv2d : public torch::nn::Module {
public:
    Conv2d(int64_t in_channels, int64_t out_channels, int64_t kernel_size, int64_t stride = 1, int64_t padding = 0);
    at::Tensor forward(const at::Tensor& x) { return ops::conv2d(x, weight, bias, stride_, padding_); }

    at::Tensor weight, bias;  ///< [out, in, k, k], [out]

private:
    int64_t stride_, padding_;
};

class GroupNorm : public torch::nn::Module {
public:
    /// Throws Error when `channels` is not a multiple of `groups`.
    GroupNorm(int64_t groups, int64_t channels, double eps);
    at::Tensor forward(const at::Tensor& x, Activation activation = Activation::none) {
        return ops::group_norm(x, groups_, weight, bias, eps_, activation);
    }

    at::Tensor weight, bias;  ///< [channels]

private:
    int64_t groups_;
    double eps_;
};

class LayerNorm : public torch::nn::Module {
public:
    LayerNorm(int64_t features, double eps);
    at::Tensor forward(const at::Tensor& x) { return ops::layer_norm(x, weight, bias, eps_); }

    at::Tensor weight, bias;  ///< [features]

private:
    double eps_;
};

/// Rows of a table: ids [...] (int64) to [..., dimension].
class Embedding : public torch::nn::Module {
public:
    Embedding(int64_t count, int64_t dimension);
    at::Tensor forward(const at::Tensor& ids);

    at::Tensor weight;  ///< [count, dimension]
};

}  // namespace diffapple::nn
