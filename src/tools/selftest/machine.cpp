// Facts about the device and the machine that the program relies on.
#include <ATen/ATen.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "diffapple/core/device.h"
#include "diffapple/core/dtype.h"
#include "diffapple/core/error.h"
#include "diffapple/io/files.h"
#include "diffapple/io/png.h"
#include "diffapple/io/weights.h"
#include "parts.h"

namespace diffapple::selftest {
namespace {

namespace fs = std::filesystem;

/// A folder of its own for the files of a check, removed with what is in it.
class TemporaryFolder {
public:
    TemporaryFolder() {
        std::string name = (fs::temp_directory_path() / "diffapple-selftest-XXXXXX").string();
        if (!mkdtemp(name.data())) fail(name, ": cannot be made");
        path_ = name;
    }
    ~TemporaryFolder() {
        std::error_code ignored;
        fs::remove_all(path_, ignored);
    }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;

    const fs::path& path() const { return path_; }

private:
    fs::path path_;
};

/// A seed's noise must be the same on every device.
Comparison check_noise(const Placement& placement) {
    NoiseSource on_device(42), on_cpu(42);
    const std::vector<int64_t> shape{2, 3, 64, 64};
    on_device.normal(shape, placement.device, placement.dtype);  // the second draw shows a generator out of step
    on_cpu.normal(shape, at::kCPU, placement.dtype);
    return compare_exactly(on_device.normal(shape, placement.device, placement.dtype),
                           on_cpu.normal(shape, at::kCPU, placement.dtype));
}

/// Copies to the device and back keep every bit; casts there round as casts on the CPU do.
Comparison check_copies(const Placement& placement) {
    NoiseSource noise(7);
    const at::Tensor values = noise.normal({1000, 33}, at::kCPU, at::kFloat).mul_(100);
    const at::Tensor there = values.to(placement.device);
    const Comparison copied = compare_exactly(there, values);
    const Comparison rounded = compare_exactly(there.to(placement.dtype), values.to(placement.dtype));
    const Comparison transposed = compare_exactly(there.t(), values.t());
    return {copied.error + rounded.error + transposed.error, 0};
}

/// Peak memory counts what is allocated: the error is how many of the bytes are missing.
Comparison check_memory(const Placement& placement) {
    constexpr int64_t bytes = 256 << 20;  // more than the program itself takes
    const at::Tensor block = at::ones({bytes / 4}, at::TensorOptions(placement.device).dtype(at::kFloat));
    synchronize(placement.device);
    const auto peak = static_cast<double>(peak_memory(placement.device));
    if (available_memory() > physical_memory()) fail("the system claims more available memory than it has");
    return {std::max(0.0, static_cast<double>(block.nbytes()) - peak), 0};
}

/// A place in the queue is passed without anybody's waiting for the device: progress and Ctrl-C follow it.
Comparison check_queue_marks(const Placement& placement) {
    constexpr int checks = 5000;
    constexpr std::chrono::milliseconds interval{1};
    const at::Tensor x = at::ones({512, 512}, at::TensorOptions(placement.device).dtype(at::kFloat));
    const at::Tensor product = at::mm(x, x);
    const QueueMark mark(placement.device);
    for (int i = 0; i < checks && !mark.passed(); ++i) std::this_thread::sleep_for(interval);
    return {mark.passed() ? 0.0 : 1.0, 0};
}

Comparison check_safetensors(const Placement& placement) {
    const TemporaryFolder folder;
    NoiseSource noise(8);
    const at::Tensor saved = draw(noise, {3, 5, 7, 2}, placement).tested;
    save_safetensors(folder.path() / "x.safetensors", {{"x", saved.to(at::kCPU).contiguous()}});
    const auto stored = open_safetensors(folder.path() / "x.safetensors");
    return compare_exactly(stored.at("x").read().to(placement.device), saved);
}

Comparison check_png(const Placement&) {
    const TemporaryFolder folder;
    Image image{.width = 31, .height = 17, .channels = 3};
    for (int64_t i = 0; i < image.width * image.height * image.channels; ++i)
        image.pixels.push_back(static_cast<uint8_t>(i * i % 256));
    const std::vector<TextChunk> texts{{"parameters", "Steps: 1\nSeed: 2"}, {"greeting", "\xe7\x8c\xab"}};
    const std::vector<std::byte> png = encode_png(image, texts);
    write_file_atomically(folder.path() / "x.png", png);
    const PngInfo info = read_png_info(folder.path() / "x.png");
    double differences = info.width != image.width || info.height != image.height || info.text.size() != texts.size();
    for (size_t i = 0; i < std::min(info.text.size(), texts.size()); ++i)
        differences += info.text[i].keyword != texts[i].keyword || info.text[i].text != texts[i].text;
    return {differences, 0};
}

}  // namespace

std::vector<Check> machine_checks() {
    return {{"noise of a seed", check_noise},
            {"copies and casts", check_copies},
            {"memory accounting", check_memory, /*every_dtype=*/false},
            {"marks in the queue", check_queue_marks, /*every_dtype=*/false},
            {"safetensors file", check_safetensors},
            {"PNG file", check_png, /*every_dtype=*/false}};
}

}  // namespace diffapple::selftest
