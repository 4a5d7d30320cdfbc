// By POSIX read: such files have no size.
#include "diffapple/core/system_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>

#include "diffapple/core/system_calls.h"

namespace diffapple {

std::string read_system_file(const char* path) {
    constexpr size_t largest = 4 << 20;  // of a machine of a thousand processors
    const int file = uninterrupted([&] { return ::open(path, O_RDONLY | O_CLOEXEC); });
    if (file < 0) return "";
    std::string text;
    std::array<char, 1 << 14> buffer;
    ssize_t count = 0;
    do {
        count = uninterrupted([&] { return ::read(file, buffer.data(), buffer.size()); });
        if (count > 0) text.append(buffer.data(), static_cast<size_t>(count));
    } while (count > 0 && text.size() < largest);
    ::close(file);
    return count < 0 ? "" : text;
}

}  // namespace diffapple
