// The speed of plain matrix products on a device: the yardstick for everything else that runs there.
#pragma once

#include <ATen/core/Tensor.h>

#include "diffapple/models/state_loading.h"

namespace diffapple {

/// Square matrix products in one dtype on one device, of a size found by trying so that one takes long enough to time.
class Gemm {
public:
    explicit Gemm(const Placement& placement);

    /// Times one product (a few where they are short) and keeps the best.
    void run();
    double best_flop_per_second() const { return best_; }

private:
    double seconds(int64_t products) const;

    Placement placement_;
    at::Tensor a_, b_;
    double best_ = 0;
};

}  // namespace diffapple
