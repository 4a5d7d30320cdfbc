#include "config_fields.h"

#include <nlohmann/json.hpp>

#include "diffapple/core/error.h"

namespace diffapple {

std::optional<std::pair<int64_t, int64_t>> read_sample_size(const JsonFields& fields) {
    if (!fields.has("sample_size")) return std::nullopt;
    constexpr int64_t max_size = 16384;
    if (!fields.value("sample_size").is_array()) {
        const int64_t size = fields.integer("sample_size", 1, max_size);
        return std::pair{size, size};
    }
    const auto size = fields.integers("sample_size", 1, max_size);
    if (size.size() != 2) fields.reject("sample_size", "must be a number or [height, width]");
    return std::pair{size[0], size[1]};
}

void require_one_per_block(const JsonFields& fields, const std::string& key, size_t entries, size_t count) {
    if (entries != count) fields.reject(key, concat("has ", entries, " entries, but block_out_channels has ", count));
}

}  // namespace diffapple
