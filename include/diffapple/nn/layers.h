// Layers that hold weights: plain torch::nn modules on nn/ops. Weights are declared with their shape and take no
// memory until a checkpoint is loaded (models/state_loading.h).
#pragma once

#include <torch/nn/module.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "diffapple/nn/ops.h"
#include "diffapple/nn/quantisation.h"

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

/// A layer whose weight the CPU reads faster in a layout of its own. Packing it, at a forward pass whose input decides
/// the layout, gives the plain weight's memory back: there is one copy of it at any time. The results are the same
/// bits.
class Packable {
public:
    virtual ~Packable() = default;
    void pack_after(int passes) { plain_passes_ = passes; }

protected:
    /// The weight for the packed operations, plain at first, then packed; undefined where it is not to be packed.
    template <typename Pack>
    const at::Tensor& packable(at::Tensor& weight, const Pack& pack) {
        if (!plain_passes_ || packed_.defined()) return packed_;
        if ((*plain_passes_)-- > 0) return weight;
        replace(weight, pack(weight));
        return packed_;
    }

private:
    void replace(at::Tensor& weight, at::Tensor packed_weight);

    std::optional<int> plain_passes_;  ///< to come; absent: never packed
    at::Tensor packed_;
};

/// Packing a weight takes as long as some forward passes gain by it, 1 to 7 of a linear layer, 3 to 15 of a convolution
/// of 1280 channels (AMD EPYC, family 25 model 17, 2 cores). How many are to come is not known here: after as many as
/// it would have taken, packing has cost at most twice what it could have gained.
constexpr int passes_that_repay_packing = 4;

/// Lets all layers of a model that gain from it pack their weights: on the CPU, where LibTorch has oneDNN. For models
/// whose weights are in place and do not change any more.
///
/// Measured (2 cores, AVX512-BF16, GFLOP/s, plain to packed): fp32 linear 130-200 to 220-490, convolutions on maps of
/// 16x16 and smaller 94-234 to 295-413; bf16 linear 390-870 to 430-1000, convolutions with 2560 channels 213-452 to
/// 750-780; other convolutions equal.
void pack_weights(torch::nn::Module& module, int after_passes = 0);

/// A layer whose weight may be packed, or held in 8 bits; such a one is not packed.
class WeightLayer : public torch::nn::Module, public Packable {
public:
    /// Replaces the weight, which has the same shape.
    void set_quantised(const QuantisedWeight& quantised);
    /// The weight to compute with.
    at::Tensor usable_weight() const { return scales_.defined() ? dequantise({weight, scales_}) : weight; }

    at::Tensor weight, bias;

private:
    at::Tensor scales_;  ///< undefined where the weight is not quantised
};

/// weight [out, in], bias [out].
class Linear : public WeightLayer {
public:
    Linear(int64_t in_features, int64_t out_features, bool bias = true);
    at::Tensor forward(const at::Tensor& x);
};

/// weight [out, in, k, k], bias [out].
class Conv2d : public WeightLayer {
public:
    Conv2d(int64_t in_channels, int64_t out_channels, int64_t kernel_size, int64_t stride = 1, int64_t padding = 0);
    at::Tensor forward(const at::Tensor& x);

private:
    int64_t stride_, padding_;
};

class GroupNorm : public torch::nn::Module {
public:
    /// Throws Error when `channels` is not a multiple of `groups`.
    GroupNorm(int64_t groups, int64_t channels, double eps);
    /// An `x` that is given away (std::move) is overwritten where that is faster.
    at::Tensor forward(at::Tensor x, Activation activation = Activation::none) {
        return ops::group_norm(std::move(x), groups_, weight, bias, eps_, activation);
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
