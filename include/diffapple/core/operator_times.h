// Where time goes: how long each of LibTorch's operators, and each kernel of our own, took.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace diffapple {

/// All calls of one operator.
struct OperatorTime {
    std::string name;  ///< as "aten::addmm"; "" for what was done outside of all operators
    int64_t calls = 0;
    double seconds = 0;  ///< without the operators that it called
};

/// Does `work` on this thread and returns what it called, the slowest first; their seconds are all of the time. The
/// device is waited for after each operator, which takes time itself. Not to be nested.
std::vector<OperatorTime> measure_operators(c10::Device device, const std::function<void()>& work);

}  // namespace diffapple
