// Reading (by memory map) of .gguf files, ggml's form of a checkpoint: typed values by key, descriptions of the
// tensors, then their data, most of it quantised in blocks, which become fp32 when they are read.
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>

#include <bit>
#include <cstring>
#include <map>
#include <memory>
#include <optional>

#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"
#include "diffapple/core/text.h"
#include "diffapple/io/weights.h"
#include "foreign_files.h"
#include "ggml_types.h"
#include "mapped_file.h"
#include "mapped_tensor.h"

namespace diffapple {
namespace {

/// ComfyUI's converter stores a tensor whose rows are no whole blocks as another matrix, and its shape beside it.
constexpr std::string_view original_shape_key = "comfy.gguf.orig_shape.";

/// Takes one little-endian value after the other. Every length is a claim.
class GgufHeader {
public:
    GgufHeader(const MappedFile& file, std::string where) : file_(file), where_(std::move(where)) {}

    template <typename Value>
    Value take() {
        Value value;
        std::memcpy(&value, skip(sizeof value), sizeof value);
        return value;
    }
    /// A key or a tensor's name.
    std::string take_name() {
        constexpr uint64_t longest = (1 << 16) - 1;  // the format's own limit
        const auto length = take<uint64_t>();
        if (length > longest) fail(where_, ": has a name of ", counted(length, "byte"), " in its header");
        return {reinterpret_cast<const char*>(skip(length)), length};
    }
    const std::byte* skip(uint64_t bytes) {
        if (bytes > file_.size() - position_) fail(where_, ": is cut off within its header; download it again");
        const std::byte* const data = file_.data() + position_;
        position_ += bytes;
        return data;
    }
    uint64_t position() const { return position_; }
    const std::string& where() const { return where_; }

private:
    const MappedFile& file_;
    std::string where_;
    uint64_t position_ = 0;
};

enum class GgufValue : uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, text, list, u64, i64, f64 };

/// A whole number, where the value is one; texts and fractions are passed over.
std::optional<int64_t> take_number(GgufHeader& header, GgufValue type) {
    using enum GgufValue;
    switch (type) {
        case u8:
        case boolean:
            return header.take<uint8_t>();
        case i8:
            return header.take<int8_t>();
        case u16:
            return header.take<uint16_t>();
        case i16:
            return header.take<int16_t>();
        case u32:
            return header.take<uint32_t>();
        case i32:
            return header.take<int32_t>();
        case u64:
        case i64:
            return header.take<int64_t>();
        case f32:
            header.skip(sizeof(float));
            return std::nullopt;
        case f64:
            header.skip(sizeof(double));
            return std::nullopt;
        case text:
            header.skip(header.take<uint64_t>());
            return std::nullopt;
        default:
            fail(header.where(), ": has a value of the unknown type ", static_cast<uint32_t>(type), " in its header");
    }
}

/// The whole numbers of a value or of a list, as many as a shape may have.
std::vector<int64_t> take_numbers(GgufHeader& header) {
    const auto type = header.take<GgufValue>();
    const bool is_list = type == GgufValue::list;
    const auto element = is_list ? header.take<GgufValue>() : type;
    const auto count = is_list ? header.take<uint64_t>() : 1;
    std::vector<int64_t> numbers;
    for (uint64_t i = 0; i < count; ++i)  // ends at the file's end at the latest
        if (const auto number = take_number(header, element); number && numbers.size() <= largest_rank)
            numbers.push_back(*number);
    return numbers;
}

/// What of the header's values matters here.
struct GgufValues {
    uint64_t alignment = 32;
    std::map<std::string, std::vector<int64_t>> original_shapes;
};

GgufValues take_values(GgufHeader& header, uint64_t count) {
    constexpr int64_t largest_alignment = 1 << 20;
    GgufValues values;
    for (uint64_t i = 0; i < count; ++i) {
        const std::string key = header.take_name();
        const std::vector<int64_t> numbers = take_numbers(header);
        if (key == "general.alignment") {
            const int64_t alignment = numbers.empty() ? 0 : numbers.front();
            if (alignment < 1 || alignment > largest_alignment || !std::has_single_bit<uint64_t>(alignment))
                fail(header.where(), ": its alignment, ", alignment, ", is no power of two up to ", largest_alignment);
            values.alignment = static_cast<uint64_t>(alignment);
        }
        if (key.starts_with(original_shape_key))
            values.original_shapes[key.substr(original_shape_key.size())] = numbers;
    }
    return values;
}

struct GgufTensor {
    std::string name;
    std::vector<int64_t> shape;
    const GgmlType* type;
    uint64_t blocks, offset;  ///< in the data
    uint64_t bytes() const { return blocks * type->bytes; }
};

/// The number of elements, where it fits into an int64 with their bytes.
std::optional<int64_t> count_elements_of(const std::vector<int64_t>& shape) {
    constexpr int64_t most_elements = int64_t{1} << 59;
    int64_t elements = 1;
    for (const int64_t size : shape)
        if (size < 1 || __builtin_mul_overflow(elements, size, &elements) || elements > most_elements)
            return std::nullopt;
    return elements;
}

GgufTensor take_tensor(GgufHeader& header, const GgufValues& values) {
    GgufTensor tensor{.name = header.take_name(), .shape = {}, .type = nullptr, .blocks = 0, .offset = 0};
    const std::string where = concat(header.where(), ": tensor ", quote(tensor.name));
    const auto rank = header.take<uint32_t>();
    if (rank > largest_rank) fail(where, " has ", rank, " dimensions");
    for (uint32_t i = 0; i < rank; ++i)  // ggml counts them from the innermost
        tensor.shape.insert(tensor.shape.begin(), header.take<int64_t>());
    const auto elements = count_elements_of(tensor.shape);
    if (!elements) fail(where, " has a shape that is too large to be true, or empty");
    const auto number = header.take<uint32_t>();
    tensor.type = find_ggml_type(number);
    if (!tensor.type)
        fail(where, " is of ggml's type ", number,
             ", which is not supported (f32, f16, bf16, q4_0 to q8_0 and q2_k to q6_k are)");
    const int64_t row = tensor.shape.empty() ? 1 : tensor.shape.back();
    if (row % static_cast<int64_t>(tensor.type->values) != 0)
        fail(where, " has rows of ", counted(row, "value"), ", which are no whole blocks of ", tensor.type->name);
    tensor.blocks = static_cast<uint64_t>(*elements) / tensor.type->values;
    tensor.offset = header.take<uint64_t>();
    if (const auto original = values.original_shapes.find(tensor.name); original != values.original_shapes.end()) {
        if (original->second.size() > largest_rank || count_elements_of(original->second) != elements)
            fail(where, " does not fit its original shape, which the header names");
        tensor.shape = original->second;
    }
    return tensor;
}

uint64_t round_up(uint64_t value, uint64_t alignment) {
    return (value + alignment - 1) / alignment * alignment;
}

/// Demands that each tensor begins where the one before it ends, but for the padding, as in ggml.
void check_places(const std::vector<GgufTensor>& tensors, uint64_t data_bytes, uint64_t alignment,
                  const std::string& where) {
    uint64_t expected = 0;
    for (const GgufTensor& tensor : tensors) {
        if (tensor.offset != expected)
            fail(where, ": tensor ", quote(tensor.name), " starts at byte ", tensor.offset, " of the data, not at ",
                 expected, " behind the one before it");
        if (expected > data_bytes || tensor.bytes() > data_bytes - expected)
            fail(where, ": tensor ", quote(tensor.name), " ends after the end of the file; was the download cut off?");
        expected = round_up(expected + tensor.bytes(), alignment);
    }
}

at::Tensor decode(const MappedFile& file, uint64_t begin, const GgmlType& type, const StoredTensor& stored) {
    constexpr int64_t blocks_worth_a_thread = 4096;
    at::Tensor values = allocate_tensor(stored.shape, stored.dtype, stored.file.string());
    const auto* const source = reinterpret_cast<const unsigned char*>(file.data() + begin);
    auto* const target = values.mutable_data_ptr<float>();
    const auto blocks = values.numel() / static_cast<int64_t>(type.values);
    at::parallel_for(0, blocks, blocks_worth_a_thread, [&](int64_t first, int64_t end) {
        for (auto i = static_cast<size_t>(first); i < static_cast<size_t>(end); ++i)
            type.decode(source + i * type.bytes, target + i * type.values);
    });
    return values;
}

StoredTensor describe_gguf(const std::shared_ptr<MappedFile>& file, uint64_t begin, const GgufTensor& tensor,
                           const std::filesystem::path& path) {
    const GgmlType& type = *tensor.type;
    if (!type.decode) return describe_mapped(file, begin, tensor.bytes(), type.dtype, tensor.shape, path);
    StoredTensor stored{.dtype = type.dtype,
                        .shape = tensor.shape,
                        .bytes = tensor.blocks * type.values * c10::elementSize(type.dtype),
                        .file = path,
                        .packing = StoredTensor::Packing{type.name, tensor.bytes()}};
    const auto described = std::make_shared<const StoredTensor>(stored);
    stored.read = [file, begin, &type, described] { return decode(*file, begin, type, *described); };
    stored.release = [file, begin, bytes = tensor.bytes()] {
        file->require_intact();
        file->release(begin, bytes);
    };
    return stored;
}

void check_beginning(GgufHeader& header) {
    constexpr uint32_t magic = 0x46554747, other_order = 0x03000000;  // "GGUF"; version 3 of the other byte order
    if (header.take<uint32_t>() != magic) fail(header.where(), ": is no GGUF file, though its name says so");
    const auto version = header.take<uint32_t>();
    if (version == other_order) fail(header.where(), ": is a big-endian GGUF file, which is not supported");
    if (version != 2 && version != 3)
        fail(header.where(), ": is of GGUF's version ", version, ", which is not supported; 2 and 3 are");
}

}  // namespace

StoredTensors open_gguf(const std::filesystem::path& path) {
    const std::string where = path.string();
    const auto file = std::make_shared<MappedFile>(path);
    return file->intact([&] {
        reject_git_lfs_pointer(*file, where);
        GgufHeader header(*file, where);
        check_beginning(header);
        const auto tensor_count = header.take<uint64_t>(), value_count = header.take<uint64_t>();
        const GgufValues values = take_values(header, value_count);
        std::vector<GgufTensor> tensors;
        for (uint64_t i = 0; i < tensor_count; ++i) tensors.push_back(take_tensor(header, values));
        const uint64_t begin = round_up(header.position(), values.alignment);
        check_places(tensors, file->size() - std::min(begin, file->size()), values.alignment, where);
        StoredTensors stored;
        for (const GgufTensor& tensor : tensors)
            if (!stored.emplace(tensor.name, describe_gguf(file, begin + tensor.offset, tensor, path)).second)
                fail(where, ": holds tensor ", quote(tensor.name), " twice");
        if (stored.empty()) fail(where, ": holds no tensors");
        return stored;
    });
}

}  // namespace diffapple
