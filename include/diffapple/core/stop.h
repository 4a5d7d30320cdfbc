// A request to stop (Ctrl-C, SIGTERM), seen by long loops at their next turn.
#pragma once

#include "diffapple/core/error.h"

namespace diffapple {

/// Thrown at a safe point after a stop was requested; ends the program with exit code 130.
class Interrupted : public Error {
public:
    Interrupted() : Error("interrupted", ExitCode::interrupted) {}
};

/// Makes SIGINT and SIGTERM set the stop flag; a second signal ends the process at once.
void install_stop_handlers();

/// Throws Interrupted when a stop was requested.
void check_stop();

}  // namespace diffapple
