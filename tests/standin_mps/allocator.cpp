#include "allocator.h"

#include <c10/util/Exception.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

namespace diffapple::standin_mps {
namespace {

// Neither x86-64 nor AArch64 Linux gives a process addresses with this bit, unless it asks for them.
constexpr uintptr_t kHandleBit = uintptr_t{1} << 52;

void* to_pointer(uintptr_t address) {
    return reinterpret_cast<void*>(address);  // NOLINT(performance-no-int-to-ptr): handles are marked addresses
}

void* device_handle(void* host) {
    return host ? to_pointer(reinterpret_cast<uintptr_t>(host) | kHandleBit) : nullptr;
}

double ratio(const char* variable, double by_default) {
    const char* const value = std::getenv(variable);
    return value ? std::strtod(value, nullptr) : by_default;
}

/// How far LibTorch lets Metal go beyond its recommendation; read once, as there. The lower bound must not be higher.
double high_watermark() {
    static const double high = [] {
        const double wanted = ratio("PYTORCH_MPS_HIGH_WATERMARK_RATIO", 1.7);
        const double low = ratio("PYTORCH_MPS_LOW_WATERMARK_RATIO", 1.4);
        TORCH_CHECK(low >= 0 && low <= wanted, "invalid low watermark ratio ", low);
        return wanted;
    }();
    return high;
}

}  // namespace

void* host_address(const void* pointer) {
    return to_pointer(reinterpret_cast<uintptr_t>(pointer) & ~kHandleBit);
}

/// What a DataPtr of the device owns: the host memory, and its place in the count.
struct Allocator::Block {
    Allocator& owner;
    c10::Storage memory;

    ~Block() { owner.release(memory.nbytes()); }
    static void destroy(void* block) { delete static_cast<Block*>(block); }
};

c10::DataPtr Allocator::allocate(size_t bytes) {
    check_room_for(bytes);  // before the host is asked for memory that the device has not
    return adopt(
        c10::Storage(c10::Storage::use_byte_size_t(), bytes, c10::GetAllocator(c10::kCPU), /*resizable=*/false));
}

c10::DataPtr Allocator::adopt(c10::Storage host_memory) {
    reserve(host_memory.nbytes());
    void* const handle = device_handle(host_memory.mutable_data());
    auto* const block = new Block{*this, std::move(host_memory)};
    return {handle, block, &Block::destroy, c10::Device(c10::kMPS, 0)};
}

void Allocator::copy_data(void* destination, const void* source, size_t bytes) const {
    if (bytes != 0) std::memcpy(host_address(destination), host_address(source), bytes);
}

void Allocator::check_room_for(size_t bytes) const {
    const auto limit = static_cast<size_t>(high_watermark() * static_cast<double>(recommended_bytes()));
    const size_t current = current_bytes();
    TORCH_CHECK_WITH(OutOfMemoryError, current + bytes <= limit, "MPS backend out of memory (MPS allocated: ", current,
                     " bytes, max allowed: ", limit, " bytes). Tried to allocate ", bytes, " bytes.");
}

void Allocator::reserve(size_t bytes) {
    check_room_for(bytes);
    const std::lock_guard lock(mutex_);
    allocated_bytes_.increase(bytes);
}

void Allocator::release(size_t bytes) {
    const std::lock_guard lock(mutex_);
    allocated_bytes_.decrease(bytes);
}

c10::CachingDeviceAllocator::DeviceStats Allocator::getDeviceStats(c10::DeviceIndex) {
    const std::lock_guard lock(mutex_);
    c10::CachingDeviceAllocator::DeviceStats stats;
    stats.allocated_bytes.at(static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE)) = allocated_bytes_;
    stats.reserved_bytes = stats.allocated_bytes;  // nothing is cached
    return stats;
}

void Allocator::resetAccumulatedStats(c10::DeviceIndex) {
    const std::lock_guard lock(mutex_);
    allocated_bytes_.reset_accumulated();
}

void Allocator::resetPeakStats(c10::DeviceIndex) {
    const std::lock_guard lock(mutex_);
    allocated_bytes_.reset_peak();
}

size_t Allocator::current_bytes() const {
    const std::lock_guard lock(mutex_);
    return static_cast<size_t>(allocated_bytes_.current);
}

size_t Allocator::recommended_bytes() {
    static const size_t bytes = [] {
        constexpr size_t mac_with_16_gb = 11'453'251'584;  // recommendedMaxWorkingSetSize of such an M1
        const char* const setting = std::getenv("DIFFAPPLE_STANDIN_MPS_MEMORY");
        return setting ? static_cast<size_t>(std::stoull(setting)) : mac_with_16_gb;
    }();
    return bytes;
}

Allocator& allocator() {
    static auto* const instance = new Allocator;
    return *instance;
}

REGISTER_ALLOCATOR(c10::kMPS, &allocator())

}  // namespace diffapple::standin_mps
