// Every way in which a command can fail, as one line for its user and an exit code.
#pragma once

#include <exception>
#include <string>

#include "diffapple/core/error.h"

namespace diffapple {

struct Failure {
    std::string message;  ///< what, where, what to do; no line of LibTorch's backtrace
    ExitCode code;
};

Failure describe_failure(const std::exception& error);

}  // namespace diffapple
