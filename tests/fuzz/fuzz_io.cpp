// Fuzzes what reads weights, configs and pictures of strangers (see fuzz.h):
//   fuzz_io safetensors|torch_bin|json|png|image ITERATIONS SEED
#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <nlohmann/json.hpp>

#include "../../src/io/torch_bin.h"
#include "diffapple/core/error.h"
#include "diffapple/io/image.h"
#include "diffapple/io/json_fields.h"
#include "diffapple/io/png.h"
#include "diffapple/io/weights.h"
#include "fuzz/fuzz.h"
#include "unit/image_samples.h"
#include "unit/io_samples.h"

namespace diffapple {
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

std::string damaged_safetensors(Mutator& mutator) {
    const std::string header =
        R"({"__metadata__":{"format":"pt"},"a.weight":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},)"
        R"("b":{"dtype":"BF16","shape":[3],"data_offsets":[8,14]},"c":{"dtype":"U8","shape":[0],"data_offsets":[14,14]}})";
    const std::string data(14, 'x');
    // Half of the time only the header's text is damaged: its size stays right, so that more of the reader is reached.
    if (mutator.below(2)) return safetensors_bytes(mutator.mutate(header), data);
    return mutator.mutate(safetensors_bytes(header, data));
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

std::string damaged_torch_bin(Mutator& mutator) {
    const std::string tensor = pickled_tensor(pickled_storage("FloatStorage", "0", 4), 1, {3}, {1});
    const std::string parameter = "ctorch._utils\n_rebuild_parameter\n(" + tensor + "\x88}tR";
    const std::string pickle = "\x80\x02}q\x01(" + pickled_text("w") + tensor + "q\x02" + pickled_text("v") + "h\x02" +
                               pickled_text("p") + parameter + pickled_text("step") +
                               "K\x07"
                               "u.";
    if (mutator.below(4)) return torch_archive(mutator.mutate(pickle));
    return mutator.mutate(torch_archive(pickle));
}

std::string damaged_json(Mutator& mutator) {
    return mutator.mutate(
        R"({"i":3,"n":0.5e-3,"b":true,"t":"text\u00e9\n","l":[1,2,3],"o":{"k":{"x":null}},"w":["a"]})");
}

std::string damaged_png(Mutator& mutator) {
    const std::string nul(1, '\0');
    const std::vector<std::pair<std::string, std::string>> chunks = {
        {"IHDR", big_endian(2) + big_endian(2) + std::string("\x08\x02\0\0\0", 5)},
        {"tEXt", "key" + nul + "text"},
        {"zTXt", "key" + nul + nul + deflated("text")},
        {"iTXt", "key" + nul + "\x01" + nul + nul + nul + deflated("t\xc3\xa9xt")},
        {"IDAT", deflated("pixels")},
        {"IEND", ""}};
    const bool whole = mutator.below(4) == 0;
    const size_t damaged = mutator.below(chunks.size());
    std::string png = "\x89PNG\r\n\x1a\n";
    for (size_t i = 0; i < chunks.size(); ++i) {
        // Damage below a right checksum, so that it reaches the text's decoders.
        const bool here = !whole && i == damaged;
        png += png_chunk(chunks[i].first, here ? mutator.mutate(chunks[i].second) : chunks[i].second);
    }
    return whole ? mutator.mutate(png) : png;
}

std::string damaged_image(Mutator& mutator) {
    static const std::vector<std::string> samples = image_samples();
    const std::string& whole = samples[mutator.below(samples.size())];
    if (!whole.starts_with(png_start) || mutator.below(4) == 0) return mutator.mutate(whole);
    // Damage below right checksums, and below a right compressed stream, so that it reaches the decoder.
    auto chunks = png_chunks(whole);
    auto& [type, data] = chunks[mutator.below(chunks.size())];
    data = type == "IDAT" && mutator.below(2) ? deflated(mutator.mutate(inflated(data))) : mutator.mutate(data);
    return png_file(chunks);
}

void read_fields(const fs::path& path) {
    const nlohmann::json json = read_json_file(path);
    const JsonFields fields(json, path.string());
    const std::vector<std::function<void(const std::string&)>> readers = {
        [&](const std::string& key) { fields.integer(key, -100, 100); },
        [&](const std::string& key) { fields.integers(key, INT64_MIN, INT64_MAX); },
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
    for (const auto& item : json.items()) {
        for (const auto& read : readers) {
            try {
                read(item.key());
            } catch (const Error&) {
            }
        }
    }
}

const std::map<std::string, Target> targets = {
    {"safetensors", {damaged_safetensors, [](const fs::path& path) { read_all(open_safetensors(path)); }}},
    {"torch_bin", {damaged_torch_bin, [](const fs::path& path) { read_all(open_torch_bin(path)); }}},
    {"json", {damaged_json, read_fields}},
    {"png", {damaged_png, [](const fs::path& path) { read_png_info(path); }}},
    {"image", {damaged_image, [](const fs::path& path) { read_image(path); }}},
};

}  // namespace
}  // namespace diffapple

/// Asked by the leak sanitizer: LibTorch's zip reader forgets its tables when it refuses an archive.
extern "C" const char* __lsan_default_suppressions() {  // NOLINT(bugprone-reserved-identifier): its name
    return "leak:mz_zip_reader_init\nleak:mz_zip_reader_read_central_dir\n";
}

int main(int count, char** arguments) {
    return diffapple::fuzz_main("fuzz_io", diffapple::targets, count, arguments);
}
