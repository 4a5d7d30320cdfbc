// System calls that a signal may interrupt.
#pragma once

#include <cerrno>

namespace diffapple {

/// The result of a system call (negative: an error, in errno), made again while a signal interrupts it. A system on
/// which each one is interrupted is an error as any other.
template <typename Call>
auto uninterrupted(const Call& call) {
    constexpr int most_attempts = 1000;
    auto result = call();
    for (int attempt = 1; result < 0 && errno == EINTR && attempt < most_attempts; ++attempt) result = call();
    return result;
}

}  // namespace diffapple
