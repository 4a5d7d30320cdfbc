#include "diffapple/io/base64.h"

#include <openssl/evp.h>

#include <algorithm>

namespace diffapple {

std::string base64(std::span<const std::byte> bytes) {
    constexpr size_t block = 3 * 65536;  // a whole number of triples, and an int's worth
    std::string text;
    for (size_t begin = 0; begin < bytes.size(); begin += block) {
        const auto part = bytes.subspan(begin, std::min(block, bytes.size() - begin));
        std::string encoded(4 * ((part.size() + 2) / 3) + 1, '\0');  // OpenSSL ends it with a 0
        const int length =
            EVP_EncodeBlock(reinterpret_cast<unsigned char*>(encoded.data()),
                            reinterpret_cast<const unsigned char*>(part.data()), static_cast<int>(part.size()));
        text.append(encoded, 0, static_cast<size_t>(length));
    }
    return text;
}

}  // namespace diffapple
