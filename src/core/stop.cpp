// The stop flag: the one piece of state that a signal handler must be able to reach.
#include "diffapple/core/stop.h"

#include <csignal>

namespace diffapple {
namespace {

volatile std::sig_atomic_t stop_flag = 0;

extern "C" void handle_stop_signal(int /*signal*/) {
    stop_flag = 1;
}

/// Without SA_RESTART a read that waits (for an answer on the terminal, say) ends too; with SA_RESETHAND a second
/// signal ends the process at once.
void catch_once(int signal) {
    struct sigaction action = {};
    action.sa_handler = handle_stop_signal;
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    sigemptyset(&action.sa_mask);
    sigaction(signal, &action, nullptr);
}

}  // namespace

void install_stop_handlers() {
    catch_once(SIGINT);
    catch_once(SIGTERM);
    std::signal(SIGXFSZ, SIG_IGN);  // a write beyond `ulimit -f` then fails as on a full disk, and is cleaned up
}

void check_stop() {
    if (stop_flag != 0) throw Interrupted();
}

}  // namespace diffapple
