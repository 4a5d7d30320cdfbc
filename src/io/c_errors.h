// A way back from C libraries whose errors must not return (libjpeg's, libpng's). Private to the io layer.
#pragma once

#include <array>
#include <csetjmp>
#include <cstdio>

namespace diffapple {

/// Where an error of a C library leads to, and what it says. An exception must not pass through the library's frames,
/// so its error function calls `leave`, which jumps back to `attempt`; nothing with a destructor may live in between.
class CErrors {
public:
    /// Runs `step`, which calls the library and owns nothing; false after an error.
    template <typename Step>
    bool attempt(Step step) {
        if (setjmp(start_) != 0) return false;
        step();
        return true;
    }

    [[noreturn]] void leave(const char* message) {
        std::snprintf(message_.data(), message_.size(), "%s", message);
        std::longjmp(start_, 1);
    }

    const char* message() const { return message_.data(); }

private:
    std::jmp_buf start_;
    std::array<char, 256> message_{};
};

}  // namespace diffapple
