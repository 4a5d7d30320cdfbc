// Reading (by memory map) of .gguf files, ggml's form of a checkpoint: a header of typed values, descriptions of tensors,
// then their data, mostly quantised in blocks. What is quantised becomes fp32 when it is read.
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <memory>
#include <optional>

#include "diffapple/core/error.h"
#include "diffapple/core/text.h"
#include "diffapple/io/weights.h"
#include "foreign_files.h"
#include "gguf_blocks.h"
#include "mapped_file.h"

namespace diffapple {
namespace {

constexpr uint64_t most_entries = 1 << 20, longest_gguf_text = 1 << 20, largest_list = 1 << 24;
constexpr const char* shape_key = "comfy.gguf.orig_shape.";  // of tensors that were stored in another shape

/// Reads little-endian values one after the other. Every length is a claim.
class GgufHeader {
public:
    GgufHeader(const MappedFile& file, const std::string& where) : file_(file), where_(where) {}

    template <typename Value>
    Value take() {
        Value value;
        std::memcpy(&value, need(sizeof value), sizeof value);
        return value;
    }
    std::string take_text() {
        const auto length = take<uint64_t>();
        if (length > longest_gguf_text) fail(where_, ": has a text of ", length, " bytes in its header");
        return {reinterpret_cast<const char*>(need(length)), length};
    }
    uint64_t take_count(uint64_t most, const char* what) {
        const auto count = take<uint64_t>();
        if (count > most) fail(where_, ": claims to hold ", count, ' ', what);
        return count;
    }
    uint64_t position() const { return position_; }

private:
    const std::byte* need(uint64_t bytes) {
        if (bytes > file_.size() - position_) fail(where_, ": is cut off; download it again");
        const std::byte* const data = file_.data() + position_;
        position_ += bytes;
        return data;
    }

    const MappedFile& file_;
    const std::string& where_;
    uint64_t position_ = 0;
};

enum GgufType : uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, text, list, u64, i64, f64 };

/// A whole number, where the value is one; texts, lists and fractions are passed over.
std::optional<int64_t> take_number(GgufHeader& header, uint32_t type, const std::string& where) {
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
            return static_cast<int64_t>(header.take<uint64_t>());
        case i64:
            return header.take<int64_t>();
        case f32:
            header.take<float>();
            return std::nullopt;
        case f64:
            header.take<double>();
            return std::nullopt;
        case text:
            header.take_text();
            return std::nullopt;
        default:
            fail(where, ": has a value of the unknown type ", type, " in its header");
    }
}

/// What of the header's values matters here.
struct GgufValues {
    uint64_t alignment = 32;
    std::map<std::string, std::vector<int64_t>> shapes;
};

GgufValues read_values(GgufHeader& header, uint64_t count, const std::string& where) {
    GgufValues values;
    for (uint64_t i = 0; i < count; ++i) {
        const std::string key = header.take_text();
        const auto type = header.take<uint32_t>();
        std::vector<int64_t> numbers;
        const auto element = type == list ? header.take<uint32_t>() : type;
        const uint64_t length = type == list ? header.take_count(largest_list, "values in a list") : 1;
        for (uint64_t j = 0; j < length; ++j)
            if (const auto number = take_number(header, element, where); number && numbers.size() <= largest_rank)
                numbers.push_back(*number);
        if (key == "general.alignment" && !numbers.empty()) values.alignment = static_cast<uint64_t>(numbers[0]);
        if (key.starts_with(shape_key)) values.shapes[key.substr(std::strlen(shape_key))] = numbers;
    }
    const uint64_t a = values.alignment;
    if (a == 0 || a > (1 << 20) || (a & (a - 1)) != 0) fail(where, ": its alignment, ", a, ", is no power of two");
    return values;
}

struct GgufTensor {
    std::string name;
    std::vector<int64_t> shape;
    const GgufBlock* block;
    uint64_t elements, bytes, offset;  ///< in the data
};

/// ggml counts dimensions from the fastest one.
GgufTensor read_tensor_info(GgufHeader& header, const GgufValues& values, const std::string& where) {
    GgufTensor tensor{.name = header.take_text()};
    const auto rank = header.take<uint32_t>();
    if (rank > largest_rank) fail(where, ": tensor ", quote(tensor.name), " has ", rank, " dimensions");
    int64_t elements = 1;
    for (uint32_t i = 0; i < rank; ++i) {
        const auto size = static_cast<int64_t>(header.take<uint64_t>());
        if (size < 1 || __builtin_mul_overflow(elements, size, &elements) || elements > (int64_t{1} << 48))
            fail(where, ": tensor ", quote(tensor.name), " has a size that cannot be true");
        tensor.shape.insert(tensor.shape.begin(), size);
    }
    const auto type = header.take<uint32_t>();
    tensor.block = find_gguf_block(type);
    if (!tensor.block)
        fail(where, ": tensor ", quote(tensor.name), " is of ggml's type ", type,
             ", which is not supported (f32, f16, bf16, q4_0 to q8_0 and q2_k to q6_k are)");
    const auto row = tensor.shape.empty() ? 1 : tensor.shape.back();
    if (row % static_cast<int64_t>(tensor.block->elements) != 0)
        fail(where, ": tensor ", quote(tensor.name), " has rows of ", row, " values, which are no whole blocks of ",
             tensor.block->name);
    tensor.elements = static_cast<uint64_t>(elements);
    tensor.bytes = tensor.elements / tensor.block->elements * tensor.block->bytes;
    tensor.offset = header.take<uint64_t>();
    if (const auto shape = values.shapes.find(tensor.name); shape != values.shapes.end()) {
        int64_t count = 1;
        for (const int64_t size : shape->second)
            if (size < 1 || __builtin_mul_overflow(count, size, &count)) count = 0;
        if (count != elements) fail(where, ": tensor ", quote(tensor.name), " does not fit its original shape");
        tensor.shape = shape->second;
    }
    return tensor;
}

at::Tensor read_blocks(const std::shared_ptr<MappedFile>& file, uint64_t begin, const GgufTensor& tensor,
                       const StoredTensor& stored) {
    at::Tensor values = allocate_tensor(stored.shape, stored.dtype, stored.file.string());
    const auto* data = reinterpret_cast<const unsigned char*>(file->data() + begin);
    if (!tensor.block->decode) {
        std::memcpy(values.mutable_data_ptr(), data, tensor.bytes);
        return values;
    }
    auto* target = static_cast<float*>(values.mutable_data_ptr());
    for (uint64_t i = 0; i < tensor.elements / tensor.block->elements; ++i)
        tensor.block->decode(data + i * tensor.block->bytes, target + i * tensor.block->elements);
    return values;
}

StoredTensor describe_gguf(const std::shared_ptr<MappedFile>& file, uint64_t data_begin, const GgufTensor& tensor,
                           const std::filesystem::path& path) {
    const std::string where = path.string();
    if (tensor.offset > file->size() - data_begin || tensor.bytes > file->size() - data_begin - tensor.offset)
        fail(where, ": tensor ", quote(tensor.name), " ends behind the end of the file; was the download cut off?");
    const uint64_t begin = data_begin + tensor.offset;
    StoredTensor stored{tensor.block->dtype, tensor.shape, tensor.elements * c10::elementSize(tensor.block->dtype), path,
                        {},                  {}};
    stored.read = [file, begin, tensor, stored] { return read_blocks(file, begin, tensor, stored); };
    stored.release = [file, begin, bytes = tensor.bytes] {
        file->require_intact();
        file->release(begin, bytes);
    };
    return stored;
}

}  // namespace

StoredTensors open_gguf(const std::filesystem::path& path) {
    constexpr uint32_t magic = 0x46554747;  // "GGUF"
    const std::string where = path.string();
    const auto file = std::make_shared<MappedFile>(path);
    return file->intact([&] {
        reject_git_lfs_pointer(*file, where);
        GgufHeader header(*file, where);
        if (header.take<uint32_t>() != magic) fail(where, ": is no GGUF file");
        const auto version = header.take<uint32_t>();
        if (version != 2 && version != 3) fail(where, ": is of GGUF's version ", version, "; 2 and 3 are supported");
        const uint64_t tensors = header.take_count(most_entries, "tensors");
        const GgufValues values = read_values(header, header.take_count(most_entries, "values"), where);
        std::vector<GgufTensor> infos;
        for (uint64_t i = 0; i < tensors; ++i) infos.push_back(read_tensor_info(header, values, where));
        const uint64_t begin = (header.position() + values.alignment - 1) / values.alignment * values.alignment;
        if (begin > file->size()) fail(where, ": is cut off; download it again");
        StoredTensors stored;
        for (const GgufTensor& info : infos)
            if (!stored.emplace(info.name, describe_gguf(file, begin, info, path)).second)
                fail(where, ": holds tensor ", quote(info.name), " twice");
        if (stored.empty()) fail(where, ": holds no tensors");
        return stored;
    });
}

}  // namespace diffapple
