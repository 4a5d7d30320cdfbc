// See the header.
#include "diffapple/core/process_limits.h"

#include <ATen/Version.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"
#include "diffapple/core/system_calls.h"

namespace diffapple {
namespace {

int open_to_read(const char* path) {
    return uninterrupted([&] { return ::open(path, O_RDONLY | O_CLOEXEC); });
}

constexpr rlim_t usual_limit = 10240;  // macOS grants no more

/// A limit that cannot be raised is none of the user's faults: whether there is enough is seen next.
void raise_limit() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    const rlim_t wanted = std::min(limit.rlim_max, usual_limit);
    if (limit.rlim_cur >= wanted) return;
    limit.rlim_cur = wanted;
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

void require_free_descriptors() {
    std::array<int, 16> opened{};  // more than are ever open at a time
    size_t count = 0;
    int reason = 0;
    for (; count < opened.size() && reason == 0; ++count) {
        opened[count] = open_to_read("/dev/null");
        if (opened[count] < 0) reason = errno;
    }
    if (reason != 0) --count;
    for (size_t i = 0; i < count; ++i) ::close(opened[i]);
    if (reason == 0) return;
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    fail("cannot open ", counted(opened.size(), "file"), " at a time (", std::strerror(reason),
         "; this process may have ", limit.rlim_cur, " open); raise the limit, with `ulimit -n 256`");
}

/// Files that are absent (another system, a container without them) do it no harm.
void require_processor_files() {
    for (const char* const path : {"/sys/devices/system/cpu/possible", "/sys/devices/system/cpu/present"}) {
        const int descriptor = open_to_read(path);
        std::array<char, 256> text{};
        const auto read = [&] { return ::read(descriptor, text.data(), text.size()); };
        const bool readable = descriptor >= 0 ? uninterrupted(read) >= 0 : errno == ENOENT;
        const int reason = errno;
        if (descriptor >= 0) ::close(descriptor);
        if (!readable) fail(path, ": cannot be read (", std::strerror(reason), "), and LibTorch needs it");
    }
}

}  // namespace

void prepare_open_files() {
    raise_limit();
    require_free_descriptors();
    require_processor_files();
    at::get_cpu_capability();
}

}  // namespace diffapple
