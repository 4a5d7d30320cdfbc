// Digests of bytes that come bit by bit, by OpenSSL.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

struct evp_md_ctx_st;

namespace diffapple {

class Digest {
public:
    enum class Kind { sha256, sha1 };

    explicit Digest(Kind kind);
    void update(const void* data, size_t bytes);
    /// In lower case. Ends the digest.
    std::string hex();

private:
    std::unique_ptr<evp_md_ctx_st, void (*)(evp_md_ctx_st*)> context_;
};

}  // namespace diffapple
