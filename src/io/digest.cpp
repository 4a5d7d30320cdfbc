#include "diffapple/io/digest.h"

#include <openssl/evp.h>

#include <array>

#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"

namespace diffapple {
namespace {

void check(bool ok) {
    if (!ok) fail("OpenSSL cannot compute a digest");
}

}  // namespace

Digest::Digest(Kind kind) : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
    check(context_ &&
          EVP_DigestInit_ex(context_.get(), kind == Kind::sha256 ? EVP_sha256() : EVP_sha1(), nullptr) == 1);
}

void Digest::update(const void* data, size_t bytes) {
    check(EVP_DigestUpdate(context_.get(), data, bytes) == 1);
}

std::string Digest::hex() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned int size = 0;
    check(EVP_DigestFinal_ex(context_.get(), digest.data(), &size) == 1);
    std::string text;
    for (unsigned int i = 0; i < size; ++i) text += format_hex(digest.at(i), 2);
    return text;
}

}  // namespace diffapple
