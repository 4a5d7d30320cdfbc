// Fields that the configs of several models share.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "diffapple/core/size.h"
#include "diffapple/io/json_fields.h"
#include "diffapple/nn/resnet.h"

namespace diffapple {

/// More channels than any model has: what a config may claim at most.
constexpr int64_t max_channels = 16384;

/// `sample_size`: a number or [height, width]; absent where not given.
std::optional<Size> read_sample_size(const JsonFields& fields);

/// `block_out_channels`, 1 to 12 entries.
std::vector<int64_t> read_block_out_channels(const JsonFields& fields, const std::vector<int64_t>& fallback);

/// The activation that `key` names, where diffusers' UNets know it.
nn::Activation read_activation(const JsonFields& fields, const std::string& key);

/// `act_fn`, or SiLU.
nn::Activation read_act_fn(const JsonFields& fields);

/// `resnet_time_scale_shift`; absent: the time embedding is added.
nn::TimeScaleShift read_time_scale_shift(const JsonFields& fields);

/// `mid_block_scale_factor`, by which the mid block's resnets divide; absent 1, never 0.
double read_mid_block_scale_factor(const JsonFields& fields);

/// Throws Error where the config says that it is of another class. A list, which names a class outside diffusers, says
/// nothing: the class that loads it is that of model_index.json.
void require_class(const JsonFields& fields, const std::string& class_name);

/// Names of blocks under `key`, those of diffusers 0.1 ("UNetResDownBlock2D") by their later names.
std::vector<std::string> read_block_names(const JsonFields& fields, const std::string& key,
                                          const std::vector<std::string>& fallback);

/// Throws Error naming `key` where it has not `count` entries, one for each of `block_out_channels`.
void require_one_per_block(const JsonFields& fields, const std::string& key, size_t entries, size_t count);

}  // namespace diffapple
