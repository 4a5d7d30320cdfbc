// Reading of state dicts written by torch.save: the restricted unpickler finds the tensors, the
// mapped file holds them (a zip archive whose records are not compressed).
#include "torch_bin.h"

#include <ATen/TensorGeometry.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>

#include "diffapple/core/error.h"
#include "diffapple/core/libtorch.h"
#include "diffapple/core/numbers.h"
#include "diffapple/core/text.h"
#include "foreign_files.h"
#include "unpickler.h"

namespace diffapple {
namespace {

using libtorch::ZipArchive;

constexpr uint64_t largest_pickle = 16 << 20;  // Stable Diffusion's needs less than 1 MB

/// Rejects what is no zip archive with advice; PyTorchStreamReader's own messages would say little.
void check_magic(const MappedFile& file, const std::string& where) {
    reject_git_lfs_pointer(file, where);
    const std::string_view start(reinterpret_cast<const char*>(file.data()), std::min<uint64_t>(file.size(), 16));
    if (start.starts_with("PK")) return;
    if (start.starts_with("\x80\x02\x8a\x0al\xfc\x9c\x46\xf9")) {
        fail(where,
             ": was saved by a torch before 1.6, in a format that can run code when read; load it with torch and "
             "save it as .safetensors");
    }
    fail(where, ": is not a file written by torch.save; get the model as .safetensors instead");
}

void check_byte_order(const ZipArchive& archive, const std::string& where) {
    if (!archive.has("byteorder")) return;  // older than torch 2.1: little
    std::string order(std::min<uint64_t>(archive.size("byteorder"), 16), '\0');
    if (order.size() < 16) archive.read("byteorder", order.data(), order.size());
    if (order != "little") fail(where, ": byte order ", quote(order), " is not supported; save it on another machine");
}

std::string read_pickle(const ZipArchive& archive, const std::string& where) {
    if (!archive.has("data.pkl")) fail(where, ": holds no data.pkl, so it is not a file written by torch.save");
    const uint64_t size = archive.size("data.pkl");
    if (size > largest_pickle) fail(where, ": data.pkl is larger than ", largest_pickle, " bytes");
    std::string pickle(size, '\0');
    archive.read("data.pkl", pickle.data(), size);
    return pickle;
}

/// The highest element that the view touches, plus one; nothing when it is malformed or overflows.
std::optional<int64_t> extent_of(const pickle::View& view) {
    if (view.sizes.size() != view.strides.size() || view.sizes.size() > largest_rank || view.offset < 0) return {};
    int64_t last = view.offset;
    for (size_t i = 0; i < view.sizes.size(); ++i) {
        int64_t step = 0;
        if (view.sizes[i] < 0 || view.strides[i] < 0) return {};
        if (__builtin_mul_overflow(std::max<int64_t>(view.sizes[i] - 1, 0), view.strides[i], &step)) return {};
        if (__builtin_add_overflow(last, step, &last)) return {};
    }
    return last < std::numeric_limits<int64_t>::max() ? std::optional(last + 1) : std::nullopt;
}

/// The number of elements of the view; nothing when it exceeds the storage's (a real state dict repeats no elements).
std::optional<int64_t> count_elements(const pickle::View& view) {
    int64_t count = 1;
    for (const int64_t size : view.sizes) {
        // LibTorch multiplies the other sizes of an empty tensor too (for its strides): they must fit as well.
        if (__builtin_mul_overflow(count, std::max<int64_t>(size, 1), &count)) return {};
    }
    if (std::count(view.sizes.begin(), view.sizes.end(), 0)) return 0;
    return count <= view.storage->elements ? std::optional(count) : std::nullopt;
}

/// A tensor of the archive: its storage's bytes in the mapped file, and the view of them.
struct Source {
    std::shared_ptr<MappedFile> file;
    uint64_t begin;  ///< of the first byte that the view touches
    uint64_t bytes;  ///< up to the last one
    std::vector<int64_t> strides;
};

/// The view over the mapped pages, or a copy of it where it is misaligned or not contiguous.
at::Tensor read_view(const Source& source, const StoredTensor& stored) {
    const auto options = at::TensorOptions().dtype(stored.dtype);
    if (stored.bytes == 0) return at::empty(stored.shape, options);
    const std::string where = stored.file.string();
    auto* data = const_cast<std::byte*>(source.file->data() + source.begin);
    const auto element_size = static_cast<int64_t>(c10::elementSize(stored.dtype));
    at::Tensor aligned;
    if (reinterpret_cast<uintptr_t>(data) % static_cast<uint64_t>(element_size) != 0) {
        aligned = allocate_tensor({static_cast<int64_t>(source.bytes) / element_size}, stored.dtype, where);
        std::memcpy(aligned.mutable_data_ptr(), data, source.bytes);
        data = static_cast<std::byte*>(aligned.mutable_data_ptr());
    }
    const auto keep_alive = [file = source.file, aligned](void*) {};
    at::Tensor view = at::from_blob(data, stored.shape, source.strides, keep_alive, options);
    if (view.is_contiguous()) return view;
    return allocate_tensor(stored.shape, stored.dtype, where).copy_(view);
}

StoredTensor describe(const ZipArchive& archive, const std::shared_ptr<MappedFile>& file, const pickle::View& view,
                      const std::string& name, const std::filesystem::path& path) {
    const std::string where = concat(path.string(), ": tensor ", quote(name));
    const pickle::Storage& storage = *view.storage;
    const std::string record = "data/" + storage.key;
    const auto element_size = static_cast<uint64_t>(c10::elementSize(storage.dtype));
    if (!archive.has(record)) fail(where, ": its data is not in the file");
    const uint64_t bytes = archive.size(record);
    if (storage.elements < 0 || bytes % element_size != 0 ||
        bytes / element_size != static_cast<uint64_t>(storage.elements)) {
        fail(where, ": its storage claims ", counted(storage.elements, "element"), ", but the file has ",
             counted(bytes, "byte"), " of it");
    }
    const auto extent = extent_of(view);
    const auto elements = extent ? count_elements(view) : std::nullopt;
    if (!elements || (*elements > 0 && *extent > storage.elements)) fail(where, ": reaches beyond its storage");

    StoredTensor stored{storage.dtype, view.sizes, static_cast<uint64_t>(*elements) * element_size, path, {}, {}, {}};
    const auto described = std::make_shared<const StoredTensor>(stored);
    Source source{file, 0, 0, view.strides};
    if (stored.bytes > 0) {
        source.begin = archive.offset(record) + static_cast<uint64_t>(view.offset) * element_size;
        source.bytes = static_cast<uint64_t>(*extent - view.offset) * element_size;
        if (source.begin + source.bytes > file->size()) fail(where, ": its data is cut off");
    }
    if (at::geometry_is_contiguous(view.sizes, view.strides))
        stored.read_into = [file, begin = source.begin, described](const at::Tensor& destination) {
            read_into(*file, begin, *described, destination);
        };
    stored.release = [file, begin = source.begin, touched = source.bytes] {
        file->require_intact();
        file->release(begin, touched);
    };
    stored.read = [source, described] { return read_view(source, *described); };
    return stored;
}

/// The items of a dict by text key; of a key given twice the last counts, as in Python.
std::map<std::string, pickle::Value> items_by_name(const pickle::Container& dict) {
    std::map<std::string, pickle::Value> items;
    for (size_t i = 0; i + 1 < dict.items.size(); i += 2) {
        if (const auto* key = std::get_if<const std::string*>(&dict.items[i])) items[**key] = dict.items[i + 1];
    }
    return items;
}

const pickle::Container* as_dict(const pickle::Value& value) {
    const auto* container = std::get_if<pickle::Container*>(&value);
    return container && (*container)->kind == pickle::Container::Kind::dict ? *container : nullptr;
}

/// The state dict inside the pickled value: the value itself, or its item "state_dict" (a training checkpoint).
std::map<std::string, pickle::Value> find_state_dict(const pickle::Value& value, const std::string& where) {
    const pickle::Container* dict = as_dict(value);
    if (!dict) fail(where, ": holds no state dict (a dict of tensors by name)");
    auto items = items_by_name(*dict);
    const auto inner = items.find("state_dict");
    const pickle::Container* nested = inner == items.end() ? nullptr : as_dict(inner->second);
    return nested ? items_by_name(*nested) : items;
}

}  // namespace

StoredTensors open_torch_bin(const std::filesystem::path& path) {
    const std::string where = path.string();
    const auto file = std::make_shared<MappedFile>(path);
    file->intact([&] {
        check_magic(*file, where);
        return true;
    });
    const ZipArchive archive(where);
    check_byte_order(archive, where);
    const std::string bytes = read_pickle(archive, where);
    pickle::Unpickler unpickler(bytes, where);
    StoredTensors tensors;
    for (const auto& [name, value] : find_state_dict(unpickler.run(), where)) {
        // Other values (global_step, hyper parameters) are no weights.
        const auto* view = std::get_if<const pickle::View*>(&value);
        if (view) tensors.emplace(name, describe(archive, file, **view, name, path));
    }
    if (tensors.empty()) fail(where, ": holds no tensors");
    return tensors;
}

}  // namespace diffapple
