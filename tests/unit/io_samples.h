// Small files made by hand for the io tests and the fuzzer, valid or not.
#pragma once

#include <caffe2/serialize/inline_container.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "diffapple/core/error.h"

namespace diffapple {

/// The bytes of a number, lowest first.
template <typename Number>
std::string bytes_of(Number number) {
    std::string bytes(sizeof number, '\0');
    std::memcpy(bytes.data(), &number, sizeof number);
    return bytes;
}

/// A safetensors file of this JSON header and this data, whether they fit together or not.
inline std::string safetensors_bytes(const std::string& header, const std::string& data = "") {
    return bytes_of(static_cast<uint64_t>(header.size())) + header + data;
}

/// The bytes of a number, highest first.
inline std::string big_endian(uint32_t value) {
    std::string bytes = bytes_of(value);
    std::reverse(bytes.begin(), bytes.end());
    return bytes;
}

/// A PNG chunk with its checksum.
inline std::string png_chunk(const std::string& type, const std::string& data) {
    const std::string body = type + data;
    const auto crc = crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size()));
    return big_endian(static_cast<uint32_t>(data.size())) + body + big_endian(static_cast<uint32_t>(crc));
}

/// The text compressed by zlib.
inline std::string deflated(const std::string& text) {
    uLongf size = compressBound(text.size());
    std::string bytes(size, '\0');
    compress(reinterpret_cast<Bytef*>(bytes.data()), &size, reinterpret_cast<const Bytef*>(text.data()), text.size());
    return bytes.substr(0, size);
}

/// Writes a torch archive with these records.
inline std::filesystem::path write_torch_archive(const std::filesystem::path& path,
                                                 const std::map<std::string, std::string>& records,
                                                 bool compress = false) {
    caffe2::serialize::PyTorchStreamWriter writer(path.string());
    for (const auto& [name, content] : records) writer.writeRecord(name, content.data(), content.size(), compress);
    writer.writeEndOfFile();
    return path;
}

// Pieces of a pickle.
inline std::string pickled_text(const std::string& text) {
    return concat("X", bytes_of(static_cast<uint32_t>(text.size())), text);
}
inline std::string pickled_long(int64_t number) {
    return concat("\x8a\x08", bytes_of(number));
}
inline std::string pickled_longs(const std::vector<int64_t>& numbers) {
    std::string tuple = "(";
    for (const int64_t number : numbers) tuple += pickled_long(number);
    return tuple + "t";
}
inline std::string pickled_storage(const std::string& type, const std::string& key, int64_t elements) {
    return concat("(", pickled_text("storage"), "ctorch\n", type, "\n", pickled_text(key), pickled_text("cpu"),
                  pickled_long(elements), "tQ");
}
inline std::string pickled_tensor(const std::string& storage, int64_t offset, const std::vector<int64_t>& sizes,
                                  const std::vector<int64_t>& strides) {
    return concat("ctorch._utils\n_rebuild_tensor_v2\n(", storage, pickled_long(offset), pickled_longs(sizes),
                  pickled_longs(strides), "\x89", "ccollections\nOrderedDict\n)RtR");
}
/// A whole pickle: the dict {"w": value}.
inline std::string pickled_dict(const std::string& value) {
    return concat("\x80\x02}", pickled_text("w"), value, "s.");
}

// Pieces of a GGUF file.
inline std::string gguf_text(const std::string& text) {
    return bytes_of(static_cast<uint64_t>(text.size())) + text;
}
inline std::string gguf_number(const std::string& key, uint64_t number) {
    return gguf_text(key) + bytes_of(uint32_t{10}) + bytes_of(number);
}
inline std::string gguf_numbers(const std::string& key, const std::vector<int32_t>& numbers) {
    std::string list = gguf_text(key) + bytes_of(uint32_t{9}) + bytes_of(uint32_t{5});
    list += bytes_of(static_cast<uint64_t>(numbers.size()));
    for (const int32_t number : numbers) list += bytes_of(number);
    return list;
}
/// `sizes` from the innermost.
inline std::string gguf_tensor(const std::string& name, const std::vector<uint64_t>& sizes, uint32_t type,
                               uint64_t offset) {
    std::string info = gguf_text(name) + bytes_of(static_cast<uint32_t>(sizes.size()));
    for (const uint64_t size : sizes) info += bytes_of(size);
    return info + bytes_of(type) + bytes_of(offset);
}
/// Up to the padding before the data.
inline std::string gguf_header(const std::vector<std::string>& tensors, const std::vector<std::string>& values) {
    std::string header = "GGUF" + bytes_of(uint32_t{3}) + bytes_of(static_cast<uint64_t>(tensors.size())) +
                         bytes_of(static_cast<uint64_t>(values.size()));
    for (const auto& part : values) header += part;
    for (const auto& part : tensors) header += part;
    return header;
}

}  // namespace diffapple
