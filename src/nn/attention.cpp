#include "diffapple/nn/attention.h"

#include <ATen/ATen.h>

#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"

namespace diffapple::nn {

Attention::Attention(const AttentionConfig& config)
    : heads_(config.channels / config.head_dim), rescale_output_factor_(config.rescale_output_factor) {
    if (heads_ == 0)
        fail("attention: head size ", config.head_dim, " is larger than the ", counted(config.channels, "channel"),
             "; check attention_head_dim in the config");
    const int64_t inner = heads_ * config.head_dim;
    if (config.norm_groups)
        group_norm_ = register_module("group_norm",
                                      std::make_shared<GroupNorm>(*config.norm_groups, config.channels, config.eps));
    to_q_ = register_module("to_q", std::make_shared<Linear>(config.channels, inner));
    to_k_ = register_module("to_k", std::make_shared<Linear>(config.channels, inner));
    to_v_ = register_module("to_v", std::make_shared<Linear>(config.channels, inner));
    to_out_ = register_module("to_out", std::make_shared<ModuleList<Linear>>());
    to_out_->append(std::make_shared<Linear>(inner, config.channels));
}

at::Tensor Attention::forward(const at::Tensor& x) {
    const auto sequence = ops::image_to_sequence(group_norm_ ? group_norm_->forward(x) : x);
    const auto attended =
        ops::attention(to_q_->forward(sequence), to_k_->forward(sequence), to_v_->forward(sequence), heads_);
    auto image = ops::sequence_to_image((*to_out_)[0].forward(attended), x.size(2), x.size(3)).add_(x);
    return rescale_output_factor_ == 1.0 ? image : image.div_(rescale_output_factor_);
}

}  // namespace diffapple::nn
