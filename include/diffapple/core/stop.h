// A request to stop (Ctrl-C, SIGTERM): the first is seen by long loops at their next turn, the second ends the process.
#pragma once

#include <string>

#include "diffapple/core/error.h"

namespace diffapple {

/// Thrown at a safe point after a stop was requested; ends the program by the signal that asked for it.
class Interrupted : public Error {
public:
    Interrupted() : Error("interrupted", ExitCode::interrupted) {}
};

/// Makes SIGINT and SIGTERM set the stop flag and say what that means (StopNotice). A second signal removes what stands
/// under RemovedAtStop, puts the terminal back as it was, and ends the process at once, by that signal.
void install_stop_handlers();

/// Throws Interrupted when a stop was requested.
void check_stop();

/// Ends the process by the signal that requested a stop, so that a shell's loop around it ends too; returns where none
/// did. Call it once everything is cleaned up and flushed.
void end_by_stop_signal();

/// What the first signal writes on stderr, as long as this object lives; what it was before, afterwards.
class StopNotice {
public:
    enum class Kind {
        none,   ///< nothing: the program is quiet, or waits for an answer and ends at once
        line,   ///< that it stops after this step, and that another one stops now; so it is without a StopNotice
        on_bar  ///< the same in the place of a progress bar
    };
    explicit StopNotice(Kind kind);
    ~StopNotice();
    StopNotice(const StopNotice&) = delete;
    StopNotice& operator=(const StopNotice&) = delete;

private:
    Kind before_;
};

/// A file that is removed where a second signal ends the process while this object lives. Of several processes or
/// threads each has its own; where there is no room for one more, the file stays.
class RemovedAtStop {
public:
    explicit RemovedAtStop(const std::string& path);
    ~RemovedAtStop();
    RemovedAtStop(const RemovedAtStop&) = delete;
    RemovedAtStop& operator=(const RemovedAtStop&) = delete;

private:
    int slot_ = -1;
};

}  // namespace diffapple
