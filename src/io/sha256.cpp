#include "diffapple/io/sha256.h"

#include <vector>

#include "diffapple/core/stop.h"
#include "diffapple/io/digest.h"
#include "file_descriptor.h"

namespace diffapple {
std::string sha256(const std::string& bytes) {
    Digest digest(Digest::Kind::sha256);
    digest.update(bytes.data(), bytes.size());
    return digest.hex();
}

std::string sha256_of_file(const std::filesystem::path& path) {
    const FileDescriptor file = FileDescriptor::open_for_reading(path);
    Digest digest(Digest::Kind::sha256);
    std::vector<char> buffer(1 << 20);
    while (const size_t count = file.read(buffer.data(), buffer.size(), path)) {
        check_stop();
        digest.update(buffer.data(), count);
    }
    return digest.hex();
}

bool is_sha256(const std::string& text) {
    return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

}  // namespace diffapple
