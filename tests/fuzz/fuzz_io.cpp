// What reads weights, JSON and pictures.
#include <ATen/core/Tensor.h>

#include <map>
#include <nlohmann/json.hpp>

#include "../../src/io/torch_bin.h"
#include "../../src/io/unpickler.h"
#include "diffapple/io/image.h"
#include "diffapple/io/json_fields.h"
#include "diffapple/io/picture_info.h"
#include "diffapple/io/png.h"
#include "diffapple/io/weights.h"
#include "fuzz/fuzz.h"
#include "unit/image_samples.h"
#include "unit/io_samples.h"

namespace diffapple::fuzz {
namespace {

namespace fs = std::filesystem;

/// Reads every tensor to its last byte.
void read_all(const StoredTensors& tensors) {
    for (const auto& [name, stored] : tensors) {
        const at::Tensor tensor = stored.read();
        const auto* bytes = static_cast<const unsigned char*>(tensor.const_data_ptr());
        unsigned int sum = 0;
        for (size_t i = 0; i < tensor.nbytes(); ++i) sum += bytes[i];
        volatile unsigned int used = sum;
        (void)used;
        stored.release();
    }
}

// --- weights

std::vector<std::string> safetensors_seeds() {
    const std::string header =
        R"({"__metadata__":{"format":"pt"},"a.weight":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},)"
        R"("b":{"dtype":"BF16","shape":[3],"data_offsets":[8,14]},"c":{"dtype":"U8","shape":[0],"data_offsets":[14,14]}})";
    return {safetensors_bytes(header, std::string(14, 'x')), safetensors_bytes("{}")};
}

/// As it is, and with the size of the header that ends at the last brace.
void read_safetensors(const std::string& bytes) {
    accepts([&] { read_all(open_safetensors(folder().write("a.safetensors", bytes))); });
    const size_t brace = bytes.rfind('}');
    if (bytes.size() < 9 || brace == std::string::npos || brace < 8) return;
    const std::string repaired = safetensors_bytes(bytes.substr(8, brace - 7), bytes.substr(brace + 1));
    read_all(open_safetensors(folder().write("b.safetensors", repaired)));
}

/// A block of each of some types, with values by key in the header.
std::vector<std::string> gguf_seeds() {
    constexpr uint32_t f32 = 0, q8_0 = 8, q6_k = 14;
    const std::string header = gguf_header(
        {gguf_tensor("a", {32, 1}, q8_0, 0), gguf_tensor("b", {4}, f32, 64), gguf_tensor("c", {256}, q6_k, 96)},
        {gguf_number("general.alignment", 32), gguf_numbers("comfy.gguf.orig_shape.b", {2, 1, 2}),
         gguf_text("general.name") + bytes_of(uint32_t{8}) + gguf_text("x")});
    return {header + std::string((32 - header.size() % 32) % 32, '\0') + std::string(96 + 210, 'x')};
}

std::string pickle_seed() {
    const std::string tensor = pickled_tensor(pickled_storage("FloatStorage", "0", 4), 1, {3}, {1});
    const std::string parameter = "ctorch._utils\n_rebuild_parameter\n(" + tensor + "\x88}tR";
    return "\x80\x02}q\x01(" + pickled_text("w") + tensor + "q\x02" + pickled_text("v") + "h\x02" + pickled_text("p") +
           parameter + pickled_text("step") +
           "K\x07"
           "u.";
}

std::string torch_archive(const std::string& pickle) {
    std::string bytes;
    caffe2::serialize::PyTorchStreamWriter writer([&](const void* data, size_t size) {
        bytes.append(static_cast<const char*>(data), size);
        return size;
    });
    const std::map<std::string, std::string> records = {
        {"data.pkl", pickle}, {"data/0", std::string(16, 'x')}, {"byteorder", "little"}};
    for (const auto& [name, content] : records) writer.writeRecord(name, content.data(), content.size());
    writer.writeEndOfFile();
    return bytes;
}

/// As before torch 1.6: a magic number, a version, the machine, the state, the keys of its storages, their elements.
std::string legacy_file(const std::string& pickle) {
    const auto number = [](int64_t value) { return "\x80\x02" + pickled_long(value) + "."; };
    const std::string magic("\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15);
    return magic + number(1001) + "\x80\x02}." + pickle + "\x80\x02]" + pickled_text("0") + "a." +
           bytes_of(uint64_t{4}) + std::string(16, 'x');
}

/// A pickle by itself, and in an archive whose checksums are right.
void read_pickle(const std::string& bytes) {
    if (!accepts([&] { pickle::Unpickler(bytes, "x").run(); })) return;
    read_all(open_torch_bin(folder().write("a.bin", torch_archive(bytes))));
}

// --- JSON

void read_fields(const std::string& text) {
    accepts([&] { parse_json(text, "strict", {.depth = 8, .strict = true}); });
    const nlohmann::json json = parse_json(text, "x");
    const JsonFields fields(json, "x");
    const std::vector<std::function<void(const std::string&)>> readers = {
        [&](const std::string& key) { fields.integer(key, -100, 100); },
        [&](const std::string& key) { fields.integers(key, INT64_MIN, INT64_MAX); },
        [&](const std::string& key) { fields.unsigned_integer(key); },
        [&](const std::string& key) { fields.number(key); },
        [&](const std::string& key) { fields.numbers(key); },
        [&](const std::string& key) { fields.text(key); },
        [&](const std::string& key) { fields.texts(key); },
        [&](const std::string& key) { fields.boolean(key); },
        [&](const std::string& key) {
            fields.choice(key, {"a", "b"});
        },
        [&](const std::string& key) { fields.object(key).object("k").text("x", ""); },
    };
    for (const auto& item : json.items())
        for (const auto& read : readers) accepts([&] { read(item.key()); });
}

/// The names of shards are a stranger's.
void read_weights_index(const std::string& text) {
    static const std::string shard = safetensors_bytes(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "x");
    folder().write("shard.safetensors", shard);
    folder().write("model.safetensors.index.json", text);
    read_all(open_weights(find_weight_files(folder().path(), "model")));
}

// --- pictures

std::vector<std::string> text_png_seeds() {
    const std::string nul(1, '\0');
    return {png_file({{"IHDR", big_endian(2) + big_endian(2) + std::string("\x08\x02\0\0\0", 5)},
                      {"tEXt", "key" + nul + "text"},
                      {"zTXt", "key" + nul + nul + deflated("text")},
                      {"iTXt", "key" + nul + "\x01" + nul + nul + nul + deflated("t\xc3\xa9xt")},
                      {"eXIf", exif_block(6)},
                      {"IDAT", deflated("pixels")},
                      {"IEND", ""}})};
}

/// The PNG with right lengths, where they would reach beyond its end, and checksums; other bytes as they are.
std::string repaired_png(const std::string& bytes) {
    if (!bytes.starts_with(png_start)) return bytes;
    std::string repaired(png_start);
    for (size_t at = png_start.size(); at + 12 <= bytes.size();) {
        size_t length = 0;
        for (size_t i = 0; i < 4; ++i) length = length << 8 | static_cast<unsigned char>(bytes[at + i]);
        length = std::min(length, bytes.size() - at - 12);
        repaired += png_chunk(bytes.substr(at + 4, 4), bytes.substr(at + 8, length));
        at += length + 12;
    }
    return repaired;
}

template <typename Read>
void read_picture(const std::string& bytes, Read read) {
    accepts([&] { read(folder().write("a", bytes)); });
    const std::string repaired = repaired_png(bytes);
    if (repaired != bytes) read(folder().write("b", repaired));
}

}  // namespace

const std::map<std::string, Target>& targets() {
    static const std::map<std::string, Target> all = {
        {"safetensors", {safetensors_seeds(), read_safetensors}},
        {"gguf",
         {gguf_seeds(), [](const std::string& bytes) { read_all(open_gguf(folder().write("a.gguf", bytes))); }}},
        {"pickle", {{pickle_seed()}, read_pickle}},
        {"torch_legacy",
         {{legacy_file(pickle_seed())},
          [](const std::string& bytes) { read_all(open_torch_bin(folder().write("a.ckpt", bytes))); }}},
        {"torch_bin",
         {{torch_archive(pickle_seed())},
          [](const std::string& bytes) { read_all(open_torch_bin(folder().write("a.bin", bytes))); }}},
        {"weights_index",
         {{R"({"metadata":{"total_size":1},"weight_map":{"a":"shard.safetensors"}})"}, read_weights_index}},
        {"json",
         {{R"({"i":3,"n":0.5e-3,"b":true,"t":"text\u00e9\n","l":[1,2,3],"o":{"k":{"x":null}},"w":["a"],"m":-Infinity})"},
          read_fields}},
        {"png",
         {text_png_seeds(),
          [](const std::string& bytes) { read_picture(bytes, [](const fs::path& path) { read_png_info(path); }); }}},
        {"picture_texts",
         {image_samples(),
          [](const std::string& bytes) {
              read_picture(bytes, [](const fs::path& path) { read_picture_info(path); });
          }}},
        {"image",
         {image_samples(),
          [](const std::string& bytes) { read_picture(bytes, [](const fs::path& path) { read_image(path); }); }}},
    };
    return all;
}

}  // namespace diffapple::fuzz
