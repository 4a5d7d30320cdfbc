// The one exception type that reaches a user, and the program's exit codes.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace diffapple {

/// Exit codes of the command line (docs/using.md).
enum class ExitCode : int { ok = 0, failure = 1, usage = 2, differs = 3, interrupted = 130 };

/// An error whose text is shown to the user as one line: what happened, where, and what to do about it.
class Error : public std::runtime_error {
public:
    explicit Error(const std::string& message, ExitCode code = ExitCode::failure)
        : std::runtime_error(message), code_(code) {}
    ExitCode code() const noexcept { return code_; }

private:
    ExitCode code_;
};

/// Joins its arguments into one string with operator<<.
template <typename... Parts>
std::string concat(const Parts&... parts) {
    std::ostringstream stream;
    (stream << ... << parts);
    return stream.str();
}

/// Throws an Error (exit code 1) whose message is the joined arguments.
template <typename... Parts>
[[noreturn]] void fail(const Parts&... parts) {
    throw Error(concat(parts...));
}

/// Throws an Error for a wrong call of the command line (exit code 2).
template <typename... Parts>
[[noreturn]] void fail_usage(const Parts&... parts) {
    throw Error(concat(parts...), ExitCode::usage);
}

/// The first line of a C++ or LibTorch exception's text, without its backtrace.
std::string first_line(const std::exception& error);

}  // namespace diffapple
