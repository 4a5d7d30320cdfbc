// Where a model's weights live, and how they are held.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

namespace diffapple {

/// How the weights of linear and convolution layers are held: in the dtype of computation, or in 8 bits
/// (nn/quantisation.h).
enum class WeightStorage { as_is, int8 };

/// Where parameters live and in which floating-point type.
struct Placement {
    c10::Device device;
    c10::ScalarType dtype;
    WeightStorage weights = WeightStorage::as_is;
    bool operator==(const Placement&) const = default;
};

}  // namespace diffapple
