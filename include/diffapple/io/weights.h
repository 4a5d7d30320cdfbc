// Tensors stored in files: safetensors and GGUF (mapped into memory) and torch .bin (restricted unpickler), single or
// sharded.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace diffapple {

/// One tensor of a weights file, described without reading its data.
struct StoredTensor {
    /// How a file holds values that become others when they are read.
    struct Packing {
        std::string name;  ///< ggml's: "q4_0"
        uint64_t bytes;    ///< in the file
    };

    c10::ScalarType dtype;
    std::vector<int64_t> shape;
    uint64_t bytes = 0;  ///< of its data, as it is read
    std::filesystem::path file;
    /// Reads the data: a contiguous CPU tensor of this dtype. It may borrow the mapped file's pages.
    std::function<at::Tensor()> read = {};
    /// Reads the data into a contiguous CPU tensor of the stored dtype and as many elements, straight from the file:
    /// no page of it is mapped, and nothing needs to be released. Throws Error where it cannot be read, or does not
    /// fit. Empty where the data does not stand in one piece.
    std::function<void(const at::Tensor& destination)> read_into = {};
    /// To be called when what `read` gave was used: throws Error where the file got shorter or its disk failed in
    /// between, as what was read then is not the file's. Gives the touched pages back to the system; tensors that
    /// borrow them must not be used afterwards.
    std::function<void()> release = {};
    std::optional<Packing> packing = {};  ///< absent: it is stored as it is read
};

/// Tensors by name, in name order.
using StoredTensors = std::map<std::string, StoredTensor>;

/// Reads the header of a .safetensors file and maps the file. Every offset, shape, dtype and name is checked against
/// the file's real size before anything is used (the format's rules: header at most 100 MB, no overlap, no hole, no
/// duplicate). Throws Error naming file and tensor.
StoredTensors open_safetensors(const std::filesystem::path& path);

/// The same of a .gguf file (versions 2 and 3, little-endian: ggml's docs/gguf.md), whose tensors follow one another.
/// Tensors in ggml's quantised blocks are read as fp32, of the values that ggml's own reference (dequantize_row_*)
/// makes of them.
StoredTensors open_gguf(const std::filesystem::path& path);

/// Files that hold one component's weights, all named in `files`; `index` is set when they are shards.
struct WeightFiles {
    std::vector<std::filesystem::path> files;
    std::filesystem::path index;
    uint64_t total_bytes() const;
};

/// Finds a component's weights in its folder. `stem` is "diffusion_pytorch_model", or "model" for what transformers
/// writes (there "pytorch_model" for .bin). Order, as in diffusers and transformers, which take a variant only when
/// asked: full precision in safetensors (diffusers: shards before a single file; transformers: after it), in .bin, and
/// only then variants (<stem>.<variant>.safetensors, <stem>.safetensors.index.<variant>.json and two older spellings,
/// the same with .bin): fp32, fp16, bf16, else the only one there is. With `prefer_half` fp16 comes first. Throws Error
/// when there is none or which one is meant is not clear, and naming the missing shard when an index refers to an
/// absent file (an index may only name files of its own folder).
WeightFiles find_weight_files(const std::filesystem::path& folder, const std::string& stem, bool prefer_half = false);

/// Opens all files of a component; a tensor present in two shards, or listed in the index but absent (or the reverse),
/// is an Error.
StoredTensors open_weights(const WeightFiles& files);

/// Remembers which files they are, and in which state, to find out later whether they are still the same.
class WeightsWatch {
public:
    /// Throws Error naming a file that cannot be looked at.
    explicit WeightsWatch(const WeightFiles& files);
    ~WeightsWatch();
    WeightsWatch(WeightsWatch&&) noexcept;
    WeightsWatch& operator=(WeightsWatch&&) = delete;

    /// Throws Error naming a file that was replaced, or whose size or time of modification has changed since.
    void require_unchanged() const;

private:
    struct Seen;
    std::vector<Seen> seen_;
};

/// Writes tensors as safetensors (atomically), one after the other: of stored ones, no more than one is read at a time.
void save_safetensors(const std::filesystem::path& path, const std::map<std::string, at::Tensor>& tensors);
void save_safetensors(const std::filesystem::path& path, const StoredTensors& tensors);

/// Hex sha256 over a component's files. Taken from the Hub cache's blob name where a file is a link into `blobs/`
/// (64 hex digits), else computed once and kept in <cache>/diffapple/sha256.json by path and the state of the file
/// (device, inode, size, times of change and modification; <cache> is $XDG_CACHE_HOME or ~/.cache; an unwritable cache
/// is no error). A file that had changed within 5 seconds before it was read is read again. Several files: sha256 of
/// their digests joined by newlines in name order.
std::string weights_sha256(const WeightFiles& files);

}  // namespace diffapple
