// Reading of state dicts written by torch.save: the restricted unpickler finds the tensors, the mapped file holds them:
// a zip archive whose records are not compressed, or (before torch 1.6) pickles with the data behind them.
#include "torch_bin.h"

#include <ATen/TensorGeometry.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <string_view>

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

/// Where a storage's bytes are in the file.
struct Range {
    uint64_t begin, bytes;
};

/// Absent for a storage that the file does not hold.
using FindStorage = std::function<std::optional<Range>(const pickle::Storage& storage)>;

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

StoredTensor describe(const FindStorage& find_storage, const std::shared_ptr<MappedFile>& file,
                      const pickle::View& view, const std::string& name, const std::filesystem::path& path) {
    const std::string where = concat(path.string(), ": tensor ", quote(name));
    const pickle::Storage& storage = *view.storage;
    const auto element_size = static_cast<uint64_t>(c10::elementSize(storage.dtype));
    const auto data = find_storage(storage);
    if (!data) fail(where, ": its data is not in the file");
    if (storage.elements < 0 || data->bytes % element_size != 0 ||
        data->bytes / element_size != static_cast<uint64_t>(storage.elements)) {
        fail(where, ": its storage claims ", counted(storage.elements, "element"), ", but the file has ",
             counted(data->bytes, "byte"), " of it");
    }
    const auto extent = extent_of(view);
    const auto elements = extent ? count_elements(view) : std::nullopt;
    if (!elements || (*elements > 0 && *extent > storage.elements)) fail(where, ": reaches beyond its storage");

    StoredTensor stored{storage.dtype, view.sizes, static_cast<uint64_t>(*elements) * element_size, path, {}, {}, {}};
    const auto described = std::make_shared<const StoredTensor>(stored);
    Source source{file, 0, 0, view.strides};
    if (stored.bytes > 0) {
        source.begin = data->begin + static_cast<uint64_t>(view.offset) * element_size;
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

StoredTensors describe_state(const pickle::Value& value, const FindStorage& find_storage,
                             const std::shared_ptr<MappedFile>& file, const std::filesystem::path& path) {
    StoredTensors tensors;
    for (const auto& [name, item] : find_state_dict(value, path.string())) {
        // Other values (global_step, hyper parameters) are no weights.
        const auto* view = std::get_if<const pickle::View*>(&item);
        if (view) tensors.emplace(name, describe(find_storage, file, **view, name, path));
    }
    if (tensors.empty()) fail(path.string(), ": holds no tensors");
    return tensors;
}

StoredTensors open_zip(const std::shared_ptr<MappedFile>& file, const std::filesystem::path& path) {
    const std::string where = path.string();
    const ZipArchive archive(where);
    check_byte_order(archive, where);
    const std::string bytes = read_pickle(archive, where);
    pickle::Unpickler unpickler(bytes, where);
    const auto find_storage = [&](const pickle::Storage& storage) -> std::optional<Range> {
        const std::string record = "data/" + storage.key;
        if (!archive.has(record)) return std::nullopt;
        const uint64_t size = archive.size(record);
        return Range{size > 0 ? archive.offset(record) : 0, size};
    };
    return describe_state(unpickler.run(), find_storage, file, path);
}

// ---- The format before torch 1.6: a magic number, a version, the machine, the state dict and the keys of its
// storages, each a pickle of its own; then, for each key, the number of elements (8 bytes) and the elements.

/// The size of the pickle of the magic number with which such a file begins; 0 where it does not. Before the number is
/// the pickle's protocol, and from protocol 4 on the length of what follows.
size_t size_of_legacy_magic(std::string_view bytes) {
    constexpr std::string_view number("\x8a\x0al\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 13);
    constexpr size_t protocol_size = 2, frame_size = 9;
    if (!bytes.starts_with('\x80')) return 0;
    size_t begin = protocol_size;
    if (bytes.substr(std::min(begin, bytes.size())).starts_with('\x95')) begin += frame_size;
    return bytes.substr(std::min(begin, bytes.size())).starts_with(number) ? begin + number.size() : 0;
}

/// Reads one pickle after the other from a mapped file.
class Pickles {
public:
    Pickles(const MappedFile& file, size_t begin, std::string where)
        : bytes_(reinterpret_cast<const char*>(file.data()), file.size()), position_(begin), where_(std::move(where)) {}

    /// The value lives as long as this object.
    pickle::Value next() {
        const std::string_view rest = bytes_.substr(position_, largest_pickle);
        pickle::Unpickler& unpickler = unpicklers_.emplace_back(rest, where_);
        const pickle::Value value = unpickler.run();
        position_ += unpickler.position();
        return value;
    }
    uint64_t position() const { return position_; }
    /// Those that the last pickle names, by key.
    std::map<std::string, const pickle::Storage*> storages() const { return unpicklers_.back().storages(); }

private:
    std::string_view bytes_;
    size_t position_;
    std::string where_;
    std::deque<pickle::Unpickler> unpicklers_;
};

/// The keys of the storages, in the order of their data.
std::vector<std::string> storage_keys(const pickle::Value& value, const std::string& where) {
    const auto* const* list = std::get_if<pickle::Container*>(&value);
    if (!list || (*list)->kind != pickle::Container::Kind::list) fail(where, ": has no list of its storages");
    std::vector<std::string> keys;
    for (const auto& item : (*list)->items) {
        const auto* const* key = std::get_if<const std::string*>(&item);
        if (!key) fail(where, ": has a storage whose key is no text");
        keys.push_back(**key);
    }
    return keys;
}

/// The places of all storages. Their dtypes, and so their sizes, are known from the tensors alone.
std::map<std::string, Range> find_ranges(const MappedFile& file, uint64_t position,
                                         const std::vector<std::string>& keys,
                                         const std::map<std::string, const pickle::Storage*>& storages,
                                         const std::string& where) {
    std::map<std::string, Range> ranges;
    for (const auto& key : keys) {
        const auto storage = storages.find(key);
        if (storage == storages.end()) fail(where, ": no tensor says of which type the storage ", quote(key), " is");
        const auto element = static_cast<uint64_t>(c10::elementSize(storage->second->dtype));
        uint64_t elements = 0;
        if (file.size() - position < sizeof elements) fail(where, ": is cut off");
        std::memcpy(&elements, file.data() + position, sizeof elements);
        position += sizeof elements;
        if (elements > (file.size() - position) / element)
            fail(where, ": is cut off: a storage has ", elements, " elements");
        ranges[key] = {position, elements * element};
        position += elements * element;
    }
    return ranges;
}

StoredTensors open_legacy(const std::shared_ptr<MappedFile>& file, size_t begin, const std::filesystem::path& path) {
    constexpr int64_t known_version = 1001;
    const std::string where = path.string();
    Pickles pickles(*file, begin, where);
    if (pickles.next() != pickle::Value(known_version)) fail(where, ": is of an unknown version of torch's old format");
    pickles.next();  // the machine: sizes of its numbers, which storages do not depend on
    const pickle::Value state = pickles.next();
    const auto storages = pickles.storages();
    const auto keys = storage_keys(pickles.next(), where);
    const auto ranges = find_ranges(*file, pickles.position(), keys, storages, where);
    const auto find_storage = [&](const pickle::Storage& storage) -> std::optional<Range> {
        const auto found = ranges.find(storage.key);
        return found == ranges.end() ? std::nullopt : std::optional(found->second);
    };
    return describe_state(state, find_storage, file, path);
}

/// What is neither; messages of PyTorchStreamReader would say little.
[[noreturn]] void reject_other(const MappedFile& file, const std::string& where) {
    const std::string_view start(reinterpret_cast<const char*>(file.data()), std::min<uint64_t>(file.size(), 16));
    if (start.size() > 9 && start[8] == '{')
        fail(where, ": is a safetensors file; give it a name that ends in .safetensors");
    fail(where, ": is not a file written by torch.save; get the model as .safetensors instead");
}

}  // namespace

StoredTensors open_torch_bin(const std::filesystem::path& path) {
    const std::string where = path.string();
    const auto file = std::make_shared<MappedFile>(path);
    return file->intact([&] {
        reject_git_lfs_pointer(*file, where);
        const std::string_view bytes(reinterpret_cast<const char*>(file->data()), file->size());
        if (bytes.starts_with("PK")) return open_zip(file, path);
        if (const size_t begin = size_of_legacy_magic(bytes); begin > 0) return open_legacy(file, begin, path);
        reject_other(*file, where);
    });
}

}  // namespace diffapple
