// Reading (by memory map) and writing of .safetensors files: 8 bytes of header size, a JSON header, then the data.
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>
#include <tuple>

#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"
#include "diffapple/core/text.h"
#include "diffapple/io/files.h"
#include "diffapple/io/json_fields.h"
#include "diffapple/io/weights.h"
#include "foreign_files.h"
#include "mapped_file.h"
#include "mapped_tensor.h"

static_assert(std::endian::native == std::endian::little, "safetensors data is little-endian and used as it is");

namespace diffapple {
namespace {

using nlohmann::json;

constexpr uint64_t largest_header = 100'000'000;  // the format's own limit
constexpr const char* metadata_key = "__metadata__";

struct DtypeName {
    std::string_view name;
    c10::ScalarType dtype;
};
constexpr std::array dtype_names = {
    DtypeName{"F64", c10::ScalarType::Double},
    DtypeName{"F32", c10::ScalarType::Float},
    DtypeName{"F16", c10::ScalarType::Half},
    DtypeName{"BF16", c10::ScalarType::BFloat16},
    DtypeName{"I64", c10::ScalarType::Long},
    DtypeName{"I32", c10::ScalarType::Int},
    DtypeName{"I16", c10::ScalarType::Short},
    DtypeName{"I8", c10::ScalarType::Char},
    DtypeName{"U8", c10::ScalarType::Byte},
    DtypeName{"BOOL", c10::ScalarType::Bool},
    DtypeName{"F8_E4M3", c10::ScalarType::Float8_e4m3fn},
    DtypeName{"F8_E5M2", c10::ScalarType::Float8_e5m2},
};

/// One tensor as the header describes it, checked for itself but not yet against its neighbours.
struct Entry {
    std::string name;
    c10::ScalarType dtype;
    std::vector<int64_t> shape;
    uint64_t begin, end;  ///< of its data, from the end of the header
};

/// The bytes of a tensor, or nothing when the number does not fit into 63 bits.
std::optional<uint64_t> count_bytes(const std::vector<int64_t>& shape, c10::ScalarType dtype) {
    auto bytes = static_cast<int64_t>(c10::elementSize(dtype));
    for (const int64_t size : shape) {
        // LibTorch multiplies the other sizes of an empty tensor too (for its strides): they must fit as well.
        if (__builtin_mul_overflow(bytes, std::max<int64_t>(size, 1), &bytes)) return std::nullopt;
    }
    return std::count(shape.begin(), shape.end(), 0) ? 0 : static_cast<uint64_t>(bytes);
}

c10::ScalarType find_dtype(const JsonFields& fields) {
    const std::string name = fields.text("dtype");
    for (const DtypeName& known : dtype_names) {
        if (known.name == name) return known.dtype;
    }
    fields.reject("dtype", concat("is ", quote(name), ", a type this program cannot read: convert the file to F32"));
}

Entry read_entry(const std::string& name, const json& description, const std::string& where) {
    constexpr int64_t any = std::numeric_limits<int64_t>::max();
    const JsonFields fields(description, concat(where, ": tensor ", quote(name)));
    Entry entry{name, find_dtype(fields), fields.integers("shape", 0, any), 0, 0};
    const std::vector<int64_t> offsets = fields.integers("data_offsets", 0, any);
    if (entry.shape.size() > largest_rank) fields.reject("shape", "has too many dimensions");
    if (offsets.size() != 2 || offsets[0] > offsets[1]) fields.reject("data_offsets", "is not a range [begin, end]");
    entry.begin = static_cast<uint64_t>(offsets[0]);
    entry.end = static_cast<uint64_t>(offsets[1]);
    const auto bytes = count_bytes(entry.shape, entry.dtype);
    if (!bytes) fields.reject("shape", "is too large to be true");
    if (*bytes != entry.end - entry.begin) {
        fields.reject("data_offsets", concat("spans ", counted(entry.end - entry.begin, "byte"),
                                             ", but its shape and dtype need ", *bytes));
    }
    return entry;
}

/// The size of the JSON header, checked against the file.
uint64_t header_size(const MappedFile& file, const std::string& where) {
    uint64_t size = 0;
    if (file.size() < sizeof size) fail(where, ": is too short to be a safetensors file; download it again");
    std::memcpy(&size, file.data(), sizeof size);
    if (size > largest_header || size > file.size() - sizeof size) {
        fail(where, ": is not a safetensors file, or was cut off: its header claims ", counted(size, "byte"));
    }
    return size;
}

void check_metadata(const json& metadata, const std::string& where) {
    const bool texts = metadata.is_object() && std::all_of(metadata.begin(), metadata.end(),
                                                           [](const json& value) { return value.is_string(); });
    if (!texts && !metadata.is_null()) fail(where, ": ", metadata_key, " is not an object of texts");
}

/// Demands that the tensors cover the data from its first to its last byte, each byte once.
void check_layout(std::vector<Entry>& entries, uint64_t data_bytes, const std::string& where) {
    std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
        return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
    });
    uint64_t expected = 0;
    for (const Entry& entry : entries) {
        if (entry.end > data_bytes) {
            fail(where, ": tensor ", quote(entry.name), " ends ", counted(entry.end - data_bytes, "byte"),
                 " after the end of the file; was the download cut off?");
        }
        if (entry.begin != expected) {
            fail(where, ": tensor ", quote(entry.name), " starts at byte ", entry.begin, " of the data, not at ",
                 expected, " where the one before it ends");
        }
        expected = entry.end;
    }
    if (expected != data_bytes) fail(where, ": has ", counted(data_bytes - expected, "byte"), " of no tensor");
}

std::vector<Entry> read_header(const MappedFile& file, const std::string& where) {
    reject_git_lfs_pointer(file, where);
    const uint64_t size = header_size(file, where);
    const std::string text(reinterpret_cast<const char*>(file.data()) + sizeof size, size);
    if (!text.starts_with('{')) fail(where, ": is not a safetensors file: its header is not a JSON object");
    const json header = parse_json(text, where, {.strict = true});
    std::vector<Entry> entries;
    for (const auto& [name, description] : header.items()) {
        if (name == metadata_key) {
            check_metadata(description, where);
        } else {
            entries.push_back(read_entry(name, description, where));
        }
    }
    check_layout(entries, file.size() - sizeof size - size, where);
    return entries;
}

using NamedTensors = std::vector<std::pair<std::string, StoredTensor>>;

/// The header of a file that will hold these tensors in this order, padded so that the data starts aligned.
std::string make_header(const NamedTensors& tensors, const std::string& where) {
    json header = {{metadata_key, {{"format", "pt"}}}};  // transformers reads no file without it
    uint64_t offset = 0;
    for (const auto& [name, tensor] : tensors) {
        const auto known = std::find_if(dtype_names.begin(), dtype_names.end(),
                                        [type = tensor.dtype](const DtypeName& item) { return item.dtype == type; });
        if (known == dtype_names.end() || name == metadata_key) {
            fail(where, ": tensor ", quote(name), " of type ", c10::toString(tensor.dtype), " cannot be saved");
        }
        const uint64_t end = offset + tensor.bytes;
        header[name] = {{"dtype", known->name}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
        offset = end;
    }
    try {
        std::string text = header.dump();
        return text.append((8 - text.size() % 8) % 8, ' ');
    } catch (const json::exception&) {
        fail(where, ": a tensor's name is not UTF-8 text");
    }
}

}  // namespace

StoredTensors open_safetensors(const std::filesystem::path& path) {
    const auto file = std::make_shared<MappedFile>(path);
    const std::vector<Entry> entries = file->intact([&] { return read_header(*file, path.string()); });
    const uint64_t data_begin = file->size() - (entries.empty() ? 0 : entries.back().end);
    StoredTensors tensors;
    for (const Entry& entry : entries) {
        tensors.emplace(entry.name, describe_mapped(file, data_begin + entry.begin, entry.end - entry.begin,
                                                    entry.dtype, entry.shape, path));
    }
    return tensors;
}

void save_safetensors(const std::filesystem::path& path, const std::map<std::string, at::Tensor>& tensors) {
    StoredTensors stored;
    for (const auto& [name, tensor] : tensors)
        stored[name] = {tensor.scalar_type(),
                        tensor.sizes().vec(),
                        tensor.nbytes(),
                        path,
                        [tensor] { return tensor.cpu(); },
                        {},
                        [] {}};
    save_safetensors(path, stored);
}

void save_safetensors(const std::filesystem::path& path, const StoredTensors& tensors) {
    NamedTensors sorted(tensors.begin(), tensors.end());
    // Wide types first: so each tensor starts at a multiple of its element size.
    std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
        return c10::elementSize(a.second.dtype) > c10::elementSize(b.second.dtype);
    });
    const std::string header = make_header(sorted, path.string());
    write_file_atomically(path, [&](std::ostream& out) {
        const uint64_t size = header.size();
        out.write(reinterpret_cast<const char*>(&size), sizeof size);
        out.write(header.data(), static_cast<std::streamsize>(size));
        for (const auto& [name, tensor] : sorted) {
            const at::Tensor data = tensor.read().contiguous();
            out.write(static_cast<const char*>(data.const_data_ptr()), static_cast<std::streamsize>(tensor.bytes));
            tensor.release();
        }
    });
}

}  // namespace diffapple
