// The one place where stb_image_write is compiled. Pixels are compressed by zlib, which packs better and faster than
// its own compressor.
#include <zlib.h>

#include <cstdlib>

namespace {

unsigned char* compress_with_zlib(unsigned char* data, int bytes, int* compressed_bytes, int level) {
    uLongf size = compressBound(static_cast<uLong>(bytes));
    auto* compressed = static_cast<unsigned char*>(std::malloc(size));
    if (!compressed) return nullptr;
    if (compress2(compressed, &size, data, static_cast<uLong>(bytes), level) != Z_OK) {
        std::free(compressed);
        return nullptr;
    }
    *compressed_bytes = static_cast<int>(size);
    return compressed;
}

unsigned int crc32_by_zlib(const unsigned char* data, int bytes) {
    return static_cast<unsigned int>(crc32(0, data, static_cast<uInt>(bytes)));
}

}  // namespace

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STBI_WRITE_NO_STDIO
#define STBIW_ZLIB_COMPRESS compress_with_zlib
#define STBIW_CRC32 crc32_by_zlib
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#pragma GCC diagnostic ignored "-Wcast-qual"
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
#include "stb_image_write.h"
#pragma GCC diagnostic pop
