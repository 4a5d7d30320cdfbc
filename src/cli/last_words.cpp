// Nothing here allocates: memory may be what is missing. LibTorch's libraries (oneDNN, cpuinfo, the loops of OpenMP)
// use what malloc gives without a look, or let bad_alloc leave a function that must not throw.
#include "diffapple/cli/last_words.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <new>
#include <string_view>

#include "diffapple/core/error.h"

namespace diffapple {
namespace {

constexpr std::string_view out_of_memory_line = "diffapple: out of memory: there is not enough for this run\n";

const char* volatile known_line = nullptr;

void say(std::string_view line) {
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line.data(), line.size());
}

[[noreturn]] void end_with_a_line() {
    std::string_view line = "diffapple: ended by a fault that no part of the program could handle\n";
    if (errno == ENOMEM) line = out_of_memory_line;
    try {
        if (const auto current = std::current_exception()) std::rethrow_exception(current);
    } catch (const std::bad_alloc&) {
        line = out_of_memory_line;
    } catch (...) {  // its text might be of memory that is not there
    }
    say(line);
    std::_Exit(static_cast<int>(ExitCode::failure));
}

/// Memory that malloc could not give is used at and behind address 0, while errno still says so.
extern "C" void handle_memory_fault(int signal, siginfo_t* info, void* /*context*/) {
    constexpr uintptr_t largest_offset = uintptr_t{1} << 32;
    if (known_line) {
        say(known_line);
        std::_Exit(static_cast<int>(ExitCode::failure));
    }
    if (errno == ENOMEM && reinterpret_cast<uintptr_t>(info->si_addr) < largest_offset) {
        say(out_of_memory_line);
        std::_Exit(static_cast<int>(ExitCode::failure));
    }
    say("diffapple: crashed by a memory fault (a bug of the program or of LibTorch: please report it); pictures that "
        "were "
        "saved are whole\n");
    std::signal(signal, SIG_DFL);
    std::raise(signal);  // delivered when this returns
}

}  // namespace

void install_last_words() {
    std::set_terminate(end_with_a_line);
    static std::array<char, 1 << 16> stack;  // where the usual one has no room left
    const stack_t other_stack{.ss_sp = stack.data(), .ss_flags = 0, .ss_size = stack.size()};
    ::sigaltstack(&other_stack, nullptr);
    struct sigaction action = {};
    action.sa_sigaction = handle_memory_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    ::sigaction(SIGSEGV, &action, nullptr);
}

FaultMeans::FaultMeans(const char* line) {
    known_line = line;
}

FaultMeans::~FaultMeans() {
    known_line = nullptr;
}

}  // namespace diffapple
