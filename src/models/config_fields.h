// Fields that the configs of several models share.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "diffapple/io/json_fields.h"

namespace diffapple {

/// More channels than any model has: what a config may claim at most.
constexpr int64_t max_channels = 16384;

/// `sample_size` as {height, width}: a number or [height, width]; absent where not given.
std::optional<std::pair<int64_t, int64_t>> read_sample_size(const JsonFields& fields);

/// Throws Error naming `key` where it has not `count` entries, one for each of `block_out_channels`.
void require_one_per_block(const JsonFields& fields, const std::string& key, size_t entries, size_t count);

}  // namespace diffapple
