// SHA-256 by OpenSSL.
#include "diffapple/io/sha256.h"

#include <openssl/evp.h>

#include <array>
#include <memory>
#include <vector>

#include "diffapple/core/numbers.h"
#include "diffapple/core/stop.h"
#include "file_descriptor.h"

namespace diffapple {
namespace {

class Digest {
public:
    Digest() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
        check(context_ && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr));
    }
    void update(const void* data, size_t bytes) { check(EVP_DigestUpdate(context_.get(), data, bytes)); }
    std::string hex() {
        std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
        unsigned int size = 0;
        check(EVP_DigestFinal_ex(context_.get(), digest.data(), &size));
        std::string text;
        for (unsigned int i = 0; i < size; ++i) text += format_hex(digest[i], 2);
        return text;
    }

private:
    static void check(bool ok) {
        if (!ok) fail("OpenSSL cannot compute SHA-256");
    }
    std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

}  // namespace

std::string sha256(const std::string& bytes) {
    Digest digest;
    digest.update(bytes.data(), bytes.size());
    return digest.hex();
}

std::string sha256_of_file(const std::filesystem::path& path) {
    const FileDescriptor file = FileDescriptor::open_for_reading(path);
    Digest digest;
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
