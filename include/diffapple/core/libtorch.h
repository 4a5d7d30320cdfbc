// Every call into LibTorch that is not part of its public interface and may change between versions lives behind this
// header: accelerator hooks, allocator statistics, the reader of torch's zip archives.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace c10 {
struct Event;
}

namespace diffapple::libtorch {

/// LibTorch's version, for example "2.13.0".
std::string version();

/// Number of usable devices of a type, 0 where LibTorch was built without it or the machine has none.
int device_count(c10::DeviceType type);

/// The device's own name where LibTorch tells it (else empty).
std::string device_model(c10::Device device);

void synchronize(c10::Device device);
void empty_cache(c10::Device device);
/// Starts what is queued; for mps alone.
void commit(c10::Device device);
/// An event at the end of the device's queue; null where LibTorch has none for it.
std::shared_ptr<c10::Event> record_event(c10::Device device);
/// True, too, where work before it failed: synchronize says so.
bool has_passed(const c10::Event& event);

/// The memory of an mps tensor as the CPU's, to be filled: the two share it. Undefined for other devices, and where
/// LibTorch does not give it. No work that uses the tensor's memory may be queued.
at::Tensor host_alias(const at::Tensor& tensor);

/// Memory of a device in bytes, each absent where the device does not tell.
struct Memory {
    std::optional<uint64_t> total, free, recommended, peak, used;
};
Memory memory(c10::Device device);

/// Lets Memory::peak count from now on.
void reset_peak_memory(c10::Device device);

/// Calls run(begin, end) for ranges that make up [0, tasks), on LibTorch's own threads. Its at::parallel_for does so
/// only in programs compiled with OpenMP, which Apple's compiler does not come with.
void run_in_parallel(int64_t tasks, const std::function<void(int64_t begin, int64_t end)>& run);

/// oneDNN in LibTorch says its errors on stdout, too, which is for results: from now on only where its user asks for it
/// in the environment. To be called before anything is computed.
void silence_onednn();

/// Weights in oneDNN's own layouts, for the CPU. True where LibTorch has the operators and the processor is good for
/// the type (fp32, or bf16 with its instructions).
bool can_pack_weights(c10::ScalarType dtype);
/// weight [out, in, k, k], in the layout that is fastest for inputs of `input_size`; it works for other sizes, too.
at::Tensor pack_conv2d_weight(const at::Tensor& weight, int64_t stride, int64_t padding, at::IntArrayRef input_size);
/// As at::conv2d. x and bias are plain; bias may be undefined.
at::Tensor packed_conv2d(const at::Tensor& x, const at::Tensor& packed_weight, const at::Tensor& bias, int64_t stride,
                         int64_t padding);
/// weight [out, in], for about `rows` rows of input.
at::Tensor pack_linear_weight(const at::Tensor& weight, int64_t rows);
/// As at::linear. A plain weight works, too, and is nearly as fast: LibTorch's own at::linear takes another library for
/// fp32, half as fast on processors of AMD's.
at::Tensor packed_linear(const at::Tensor& x, const at::Tensor& packed_weight, const at::Tensor& bias);
/// The same, then the exact GELU.
at::Tensor onednn_linear_gelu(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

/// Records of a zip archive written by torch.save (the format since torch 1.6).
class ZipArchive {
public:
    /// Throws Error naming the file when it is not such an archive.
    explicit ZipArchive(const std::string& path);
    ~ZipArchive();
    ZipArchive(ZipArchive&&) noexcept;
    ZipArchive& operator=(ZipArchive&&) noexcept;

    bool has(const std::string& record) const;
    uint64_t size(const std::string& record) const;  ///< bytes, uncompressed
    void read(const std::string& record, void* destination, uint64_t bytes) const;
    /// Where the record's bytes start in the file, and all of them lie; throws Error for a compressed record
    /// (torch.save never compresses).
    uint64_t offset(const std::string& record) const;

private:
    struct Reader;
    std::unique_ptr<Reader> reader_;
};

}  // namespace diffapple::libtorch
