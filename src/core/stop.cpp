// The stop flag: the one piece of state that a signal handler must be able to reach.
#include "diffapple/core/stop.h"

#include <csignal>

namespace diffapple {
namespace {

volatile std::sig_atomic_t stop_flag = 0;

extern "C" void handle_stop_signal(int signal) {
    stop_flag = 1;
    std::signal(signal, SIG_DFL);  // a second signal ends the process at once
}

}  // namespace

void install_stop_handlers() {
    std::signal(SIGINT, handle_stop_signal);
    std::signal(SIGTERM, handle_stop_signal);
    std::signal(SIGXFSZ, SIG_IGN);  // a write beyond `ulimit -f` then fails as on a full disk, and is cleaned up
}

bool stop_requested() noexcept {
    return stop_flag != 0;
}

void check_stop() {
    if (stop_requested()) throw Interrupted();
}

}  // namespace diffapple
