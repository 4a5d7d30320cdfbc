// Calls into the parts of LibTorch that are not its public interface (see the header for why they live here).
#include "diffapple/core/libtorch.h"

#include <ATen/ATen.h>
#include <ATen/TensorIterator.h>
#include <ATen/core/List.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/detail/MPSHooksInterface.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <caffe2/serialize/file_adapter.h>
#include <caffe2/serialize/inline_container.h>
#include <dlfcn.h>
#include <torch/headeronly/version.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>

#include "diffapple/core/error.h"

namespace diffapple::libtorch {
namespace {

/// The function's result, or nothing where it throws: builds without a device throw from most of its hooks.
template <typename Function>
auto try_call(Function function) -> std::optional<decltype(function())> {
    try {
        return function();
    } catch (const std::exception&) {
        return std::nullopt;
    }
}

/// The number that LibTorch's guards and allocators want: the current device for "cuda" without one.
c10::DeviceIndex index_of(c10::Device device) {
    return device.has_index() ? device.index() : c10::impl::VirtualGuardImpl(device.type()).getDevice().index();
}

/// Bytes that the device's allocator has given out, now and at most.
std::optional<c10::CachingAllocator::Stat> allocated(c10::Device device) {
    return try_call(
        [&] { return c10::getDeviceAllocator(device.type())->getDeviceStats(index_of(device)).allocated_bytes.at(0); });
}

Memory cuda_memory(c10::Device device) {
    Memory memory;
    const auto free_and_total =
        try_call([&] { return c10::getDeviceAllocator(device.type())->getMemoryInfo(index_of(device)); });
    if (free_and_total) {
        memory.free = free_and_total->first;
        memory.total = free_and_total->second;
    }
    if (const auto bytes = allocated(device)) {
        memory.peak = static_cast<uint64_t>(bytes->peak);
        memory.used = static_cast<uint64_t>(bytes->current);
    }
    return memory;
}

/// LibTorch's way to the mps device. Its allocator reads two variables when it is made, so that they are set before the
/// first call. By default it goes to 1.7 times of what Metal recommends, far into swap: 1.1 of it makes an error of
/// that. (The lower bound, above which it begins to clean up, must not be higher: it is 1.4 by default, and an error
/// then.)
const at::MPSHooksInterface& mps_hooks() {
    static const bool limited = [] {
        if (!std::getenv("PYTORCH_MPS_HIGH_WATERMARK_RATIO") && !std::getenv("PYTORCH_MPS_LOW_WATERMARK_RATIO")) {
            setenv("PYTORCH_MPS_HIGH_WATERMARK_RATIO", "1.1", /*overwrite=*/0);
            setenv("PYTORCH_MPS_LOW_WATERMARK_RATIO", "1.0", /*overwrite=*/0);
        }
        return true;
    }();
    static_cast<void>(limited);
    return at::detail::getMPSHooks();
}

Memory mps_memory(c10::Device device) {
    const at::MPSHooksInterface& hooks = mps_hooks();
    Memory memory;
    memory.recommended = try_call([&]() -> uint64_t { return hooks.getRecommendedMaxMemory(); });
    const auto driver = try_call([&]() -> uint64_t { return hooks.getDriverAllocatedMemory(); });
    if (memory.recommended && driver) {
        memory.free = *memory.recommended - std::min(*memory.recommended, *driver);
    }
    memory.peak = memory.used = driver;
    if (const auto bytes = allocated(device); bytes && bytes->peak > 0) {  // else an allocator without statistics
        memory.peak = static_cast<uint64_t>(bytes->peak);
        memory.used = static_cast<uint64_t>(bytes->current);
    }
    return memory;
}

}  // namespace

std::string version() {
    return TORCH_VERSION;
}

int device_count(c10::DeviceType type) {
    const auto count = try_call([&]() -> int {
        if (type == c10::DeviceType::CPU) return 1;
        if (type == c10::DeviceType::MPS) return mps_hooks().hasMPS() ? 1 : 0;
        if (type == c10::DeviceType::CUDA) return at::detail::getCUDAHooks().getNumGPUs();
        return 0;
    });
    return count.value_or(0);
}

std::string device_model(c10::Device device) {
    if (!device.is_cuda() || device_count(device.type()) == 0) return {};
    // LibTorch tells a CUDA device's name only to code built with CUDA's headers; the driver, which LibTorch has loaded
    // already, tells it to anyone.
    void* driver = dlopen("libcuda.so.1", RTLD_LAZY);
    if (!driver) return {};
    const auto get_device = reinterpret_cast<int (*)(int*, int)>(dlsym(driver, "cuDeviceGet"));
    const auto get_name = reinterpret_cast<int (*)(char*, int, int)>(dlsym(driver, "cuDeviceGetName"));
    std::array<char, 256> name{};
    int handle = 0;
    if (!get_device || !get_name || get_device(&handle, index_of(device)) != 0) return {};
    return get_name(name.data(), static_cast<int>(name.size()) - 1, handle) == 0 ? name.data() : "";
}

void synchronize(c10::Device device) {
    if (device.is_cpu()) return;
    try {
        c10::impl::VirtualGuardImpl(device.type()).synchronizeDevice(index_of(device));
    } catch (const std::exception& error) {
        fail(device.str(), ": work on the device failed: ", first_line(error));
    }
}

void empty_cache(c10::Device device) {
    if (device.is_cpu()) return;
    try_call([&] {
        if (device.is_mps()) {
            mps_hooks().emptyCache();
        } else {
            c10::getDeviceAllocator(device.type())->emptyCache();
        }
        return true;
    });
}

void commit(c10::Device device) {
    if (device.is_mps()) mps_hooks().commitStream();
}

std::shared_ptr<c10::Event> record_event(c10::Device device) {
    return try_call([&] {
               auto event = std::make_shared<c10::Event>(device.type());
               event->record(c10::impl::VirtualGuardImpl(device.type()).getStream(device));
               return event;
           })
        .value_or(nullptr);
}

bool has_passed(const c10::Event& event) {
    return try_call([&] { return event.query(); }).value_or(true);
}

Memory memory(c10::Device device) {
    if (device.is_mps()) return mps_memory(device);
    if (device.is_cuda()) return cuda_memory(device);
    return {};
}

void reset_peak_memory(c10::Device device) {
    if (device.is_cpu()) return;
    try_call([&] {
        c10::getDeviceAllocator(device.type())->resetPeakStats(index_of(device));
        return true;
    });
}

void run_in_parallel(int64_t tasks, const std::function<void(int64_t begin, int64_t end)>& run) {
    // An iterator over a byte for each task, of which nothing but its place is used.
    auto bytes = at::empty({tasks}, at::kByte);
    auto iterator = at::TensorIterator::nullary_op(bytes);
    const auto* const first = static_cast<const char*>(bytes.data_ptr());
    iterator.for_each(
        [&](char** data, const int64_t* /*strides*/, int64_t count) { run(*data - first, *data - first + count); },
        /*grain_size=*/1);
}

struct ZipArchive::Reader {
    std::string path;
    std::shared_ptr<caffe2::serialize::FileAdapter> file;
    mutable caffe2::serialize::PyTorchStreamReader stream;

    explicit Reader(const std::string& name)
        : path(name), file(std::make_shared<caffe2::serialize::FileAdapter>(name)), stream(file) {}

    /// Runs a call of the reader; its exceptions become an Error that names the file.
    template <typename Function>
    auto call(const std::string& record, Function function) const {
        try {
            return function(stream);
        } catch (const std::exception& error) {
            fail(path, ": cannot read record '", record, "': ", first_line(error));
        }
    }
};

ZipArchive::ZipArchive(const std::string& path) {
    // A folder opens like a file and has a size near 2^63.
    std::error_code error;
    if (!std::filesystem::is_regular_file(path, error)) fail(path, ": is not a file");
    try {
        reader_ = std::make_unique<Reader>(path);
    } catch (const std::exception& error) {
        fail(path, ": is not an archive written by torch.save: ", first_line(error));
    }
}

ZipArchive::~ZipArchive() = default;
ZipArchive::ZipArchive(ZipArchive&&) noexcept = default;
ZipArchive& ZipArchive::operator=(ZipArchive&&) noexcept = default;

bool ZipArchive::has(const std::string& record) const {
    return reader_->call(record, [&](auto& stream) { return stream.hasRecord(record); });
}

uint64_t ZipArchive::size(const std::string& record) const {
    const uint64_t size = reader_->call(record, [&](auto& stream) -> uint64_t { return stream.getRecordSize(record); });
    // torch.save never compresses, so a record larger than its file is a lie (or a bomb).
    if (size > reader_->file->size()) {
        fail(reader_->path, ": record '", record, "' claims ", size, " bytes, more than the file has");
    }
    return size;
}

void ZipArchive::read(const std::string& record, void* destination, uint64_t bytes) const {
    if (size(record) != bytes) fail(reader_->path, ": record '", record, "' has not the expected ", bytes, " bytes");
    reader_->call(record, [&](auto& stream) { return stream.getRecord(record, destination, bytes); });
}

uint64_t ZipArchive::offset(const std::string& record) const {
    const uint64_t bytes = size(record);
    return reader_->call(record, [&](auto& stream) -> uint64_t {
        constexpr uint64_t method_position = 8;  // in the record's header, says the zip format; 0 is uncompressed
        std::array<unsigned char, 2> method{};
        reader_->file->read(stream.getRecordHeaderOffset(record) + method_position, method.data(), method.size());
        if (method[0] != 0 || method[1] != 0) throw std::runtime_error("it is compressed");
        const uint64_t begin = stream.getRecordOffset(record), file_bytes = reader_->file->size();
        if (begin > file_bytes || bytes > file_bytes - begin) throw std::runtime_error("it is cut off");
        return begin;
    });
}

namespace {

/// An operator of LibTorch's oneDNN library, typed; absent in builds without oneDNN (Apple silicon).
template <typename Signature>
std::optional<c10::TypedOperatorHandle<Signature>> find_onednn_operator(const char* name) {
    const auto schema = c10::Dispatcher::singleton().findSchema({concat("mkldnn::", name), ""});
    if (!schema) return std::nullopt;
    return schema->typed<Signature>();
}

template <typename Signature>
c10::TypedOperatorHandle<Signature> onednn_operator(const char* name) {
    if (auto found = find_onednn_operator<Signature>(name)) return *found;
    fail("LibTorch has no operator mkldnn::", name, ", which its packed weights need");
}

std::optional<at::Tensor> given(const at::Tensor& tensor) {
    return tensor.defined() ? std::optional(tensor) : std::nullopt;
}

// Only GELU is fused: SiLU and sums gain nothing that can be measured.
constexpr const char* no_attribute = "none";

}  // namespace

void silence_onednn() {
    ::setenv("ONEDNN_VERBOSE", "none", /*overwrite=*/0);
}

bool can_pack_weights(c10::ScalarType dtype) {
    const auto has = [](const char* name) { return c10::Dispatcher::singleton().findSchema({name, ""}).has_value(); };
    if (!has("mkldnn::_convolution_pointwise") || !has("mkldnn::_linear_pointwise")) return false;
    if (dtype == at::kFloat) return true;
    const auto bf16_supported = find_onednn_operator<bool()>("_is_mkldnn_bf16_supported");
    return dtype == at::kBFloat16 && bf16_supported && bf16_supported->call();
}

at::Tensor pack_conv2d_weight(const at::Tensor& weight, int64_t stride, int64_t padding, at::IntArrayRef input_size) {
    return at::mkldnn_reorder_conv2d_weight(weight.to_mkldnn(), {padding, padding}, {stride, stride}, {1, 1}, 1,
                                            input_size);
}

at::Tensor packed_conv2d(const at::Tensor& x, const at::Tensor& packed_weight, const at::Tensor& bias, int64_t stride,
                         int64_t padding) {
    using Signature = at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&,
                                 at::IntArrayRef, at::IntArrayRef, at::IntArrayRef, int64_t, c10::string_view,
                                 c10::List<std::optional<at::Scalar>>, std::optional<c10::string_view>);
    static const auto convolution = onednn_operator<Signature>("_convolution_pointwise");
    const std::array<int64_t, 2> paddings{padding, padding}, strides{stride, stride}, dilations{1, 1};
    return convolution.call(x, packed_weight, given(bias), paddings, strides, dilations, 1, no_attribute,
                            c10::List<std::optional<at::Scalar>>(), "");
}

at::Tensor pack_linear_weight(const at::Tensor& weight, int64_t rows) {
    using Signature = at::Tensor(const at::Tensor&, std::optional<int64_t>);
    static const auto reorder = onednn_operator<Signature>("_reorder_linear_weight");
    return reorder.call(weight, rows);
}

namespace {

at::Tensor onednn_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, const char* attribute) {
    using Signature =
        at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, c10::string_view,
                   c10::List<std::optional<at::Scalar>>, std::optional<c10::string_view>);
    static const auto linear = onednn_operator<Signature>("_linear_pointwise");
    return linear.call(x, weight, given(bias), attribute, c10::List<std::optional<at::Scalar>>(), no_attribute);
}

}  // namespace

at::Tensor packed_linear(const at::Tensor& x, const at::Tensor& packed_weight, const at::Tensor& bias) {
    return onednn_linear(x, packed_weight, bias, no_attribute);
}

at::Tensor onednn_linear_gelu(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
    return onednn_linear(x, weight, bias, "gelu");
}

}  // namespace diffapple::libtorch
