#include "memory.h"

#include <algorithm>

#include "diffapple/core/device.h"
#include "diffapple/core/libtorch.h"

namespace diffapple {
namespace {

uint64_t without(uint64_t all, uint64_t part) {
    return all - std::min(all, part);
}

uint64_t resident_without_leftovers() {
    trim_memory();
    return resident_memory();
}

}  // namespace

MemoryMeter::MemoryMeter(c10::Device device, uint64_t resident_at_start)
    : device_(device),
      resident_of_others_(without(resident_without_leftovers(), resident_at_start)),
      device_of_others_(0),
      swap_before_(swap_used()) {
    empty_cache(device);
    device_of_others_ = libtorch::memory(device).used.value_or(0);
}

void MemoryMeter::restart() {
    trim_memory();
    empty_cache(device_);
    libtorch::reset_peak_memory(device_);
    resident_.reset();  // before the next one is made: there is one peak per process
    resident_ = std::make_unique<ResidentPeak>();
}

MemoryUse MemoryMeter::use() const {
    MemoryUse use{.resident = without(resident_->bytes(), resident_of_others_),
                  .swap = without(swap_used(), swap_before_)};
    if (device_.is_cpu()) return use;
    const libtorch::Memory memory = libtorch::memory(device_);
    if (memory.peak) use.device = without(*memory.peak, device_of_others_);
    if (use.device && memory.recommended)
        use.recommended_share = static_cast<double>(*use.device) / static_cast<double>(*memory.recommended);
    return use;
}

}  // namespace diffapple
