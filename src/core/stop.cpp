// The stop flag, and what else a signal handler must be able to reach: nothing here allocates, locks or throws once a
// signal has come.
#include "diffapple/core/stop.h"

#include <termios.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <string_view>

namespace diffapple {
namespace {

std::atomic<int> stop_signal = 0;
std::atomic<StopNotice::Kind> notice = StopNotice::Kind::line;
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<StopNotice::Kind>::is_always_lock_free);

/// Files to remove. More at a time than a process writes.
struct Slot {
    enum State { unused, filling, used };
    std::atomic<int> state = unused;
    std::array<char, 4096> path;
};
std::array<Slot, 16> slots;

bool terminal_is_saved = false;
termios saved_terminal = {};

void say(std::string_view text) {
    // Nothing can be done where it fails.
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
}

void say_notice() {
    constexpr std::string_view over_a_bar = "\r\x1b[K",
                               text = "diffapple: stopping after this step; a second Ctrl-C stops now\n";
    const auto kind = notice.load();
    if (kind == StopNotice::Kind::none) return;
    if (kind == StopNotice::Kind::on_bar) say(over_a_bar);
    say(text);
}

[[noreturn]] void end_by(int signal) {
    std::signal(signal, SIG_DFL);
    sigset_t only;
    sigemptyset(&only);
    sigaddset(&only, signal);
    pthread_sigmask(SIG_UNBLOCK, &only, nullptr);
    std::raise(signal);
    _exit(128 + signal);  // not reached
}

extern "C" void handle_stop_signal(int signal) {
    const int kept_errno = errno;
    int none = 0;
    if (stop_signal.compare_exchange_strong(none, signal)) {
        say_notice();
        errno = kept_errno;
        return;
    }
    for (Slot& slot : slots)
        if (slot.state == Slot::used) ::unlink(slot.path.data());
    if (terminal_is_saved) ::tcsetattr(STDIN_FILENO, TCSANOW, &saved_terminal);
    end_by(signal);
}

/// Without SA_RESTART a read that waits (for an answer on the terminal, say) ends too.
void catch_signal(int signal) {
    struct sigaction action = {};
    action.sa_handler = handle_stop_signal;
    sigemptyset(&action.sa_mask);
    sigaction(signal, &action, nullptr);
}

}  // namespace

void install_stop_handlers() {
    terminal_is_saved = ::tcgetattr(STDIN_FILENO, &saved_terminal) == 0;
    catch_signal(SIGINT);
    catch_signal(SIGTERM);
    std::signal(SIGXFSZ, SIG_IGN);  // a write beyond `ulimit -f` then fails as on a full disk, and is cleaned up
}

void check_stop() {
    if (stop_signal != 0) throw Interrupted();
}

void end_by_stop_signal() {
    if (const int signal = stop_signal; signal != 0) end_by(signal);
}

StopNotice::StopNotice(Kind kind) : before_(notice.exchange(kind)) {}

StopNotice::~StopNotice() {
    notice = before_;
}

RemovedAtStop::RemovedAtStop(const std::string& path) {
    for (size_t i = 0; i < slots.size() && path.size() < slots[i].path.size(); ++i) {
        int unused = Slot::unused;
        if (!slots[i].state.compare_exchange_strong(unused, Slot::filling)) continue;
        slots[i].path[path.copy(slots[i].path.data(), path.size())] = '\0';
        slots[i].state = Slot::used;
        slot_ = static_cast<int>(i);
        return;
    }
}

RemovedAtStop::~RemovedAtStop() {
    if (slot_ >= 0) slots[static_cast<size_t>(slot_)].state = Slot::unused;
}

}  // namespace diffapple
