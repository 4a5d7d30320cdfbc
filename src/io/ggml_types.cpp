// The layouts are those of ggml's ggml-common.h (block_q4_0 ... block_q6_K), their meaning that of its
// dequantize_row_*, in fp32.
#include "ggml_types.h"

#include <c10/util/Half.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace diffapple {
namespace {

constexpr size_t small = 32, large = 256;  // values of a block, and of a k-quant's

float half_at(const unsigned char* bytes) {
    uint16_t bits = 0;
    std::memcpy(&bits, bytes, sizeof bits);
    return static_cast<float>(c10::Half(bits, c10::Half::from_bits()));
}

/// 4 bits and, of q5, a fifth from another word: the low halves of all bytes, then the high ones.
template <bool fifth_bit>
void decode_nibbles(const unsigned char* quants, uint32_t fifth, float scale, float offset, float* values) {
    for (size_t i = 0; i < small / 2; ++i) {
        const unsigned low = (quants[i] & 15U) | (fifth_bit ? (fifth >> i & 1U) << 4 : 0U);
        const unsigned high = (quants[i] >> 4U) | (fifth_bit ? (fifth >> (i + 16) & 1U) << 4 : 0U);
        values[i] = static_cast<float>(low) * scale + offset;
        values[i + small / 2] = static_cast<float>(high) * scale + offset;
    }
}

uint32_t word_at(const unsigned char* bytes) {
    uint32_t word = 0;
    std::memcpy(&word, bytes, sizeof word);
    return word;
}

void decode_q4_0(const unsigned char* block, float* values) {
    const float scale = half_at(block);
    decode_nibbles<false>(block + 2, 0, scale, -8 * scale, values);
}

void decode_q4_1(const unsigned char* block, float* values) {
    decode_nibbles<false>(block + 4, 0, half_at(block), half_at(block + 2), values);
}

void decode_q5_0(const unsigned char* block, float* values) {
    const float scale = half_at(block);
    decode_nibbles<true>(block + 6, word_at(block + 2), scale, -16 * scale, values);
}

void decode_q5_1(const unsigned char* block, float* values) {
    decode_nibbles<true>(block + 8, word_at(block + 4), half_at(block), half_at(block + 2), values);
}

void decode_q8_0(const unsigned char* block, float* values) {
    const float scale = half_at(block);
    for (size_t i = 0; i < small; ++i) values[i] = scale * static_cast<float>(static_cast<int8_t>(block[2 + i]));
}

/// 16 groups of 16 values with 4 bits of scale and of minimum each.
void decode_q2_k(const unsigned char* block, float* values) {
    const unsigned char *scales = block, *quants = block + 16;
    const float scale = half_at(block + 80), minimum = half_at(block + 82);
    for (size_t half = 0; half < 2; ++half, quants += 32)
        for (unsigned shift = 0; shift < 8; shift += 2)
            for (size_t group = 0; group < 2; ++group, ++scales)
                for (size_t i = 0; i < 16; ++i)
                    *values++ = scale * static_cast<float>(*scales & 15U) *
                                    static_cast<float>(quants[16 * group + i] >> shift & 3U) -
                                minimum * static_cast<float>(*scales >> 4U);
}

/// 16 groups of 16 values with 6 bits of scale each; the third bit of the values stands apart, and is taken from them
/// where it is 0.
void decode_q3_k(const unsigned char* block, float* values) {
    const unsigned char *high = block, *quants = block + 32, *packed = block + 96;
    const float scale = half_at(block + 108);
    const auto scale_of = [&](size_t group) {
        const unsigned low = group < 8 ? packed[group] & 15U : packed[group - 8] >> 4U;
        const unsigned top = packed[8 + group % 4] >> (2 * (group / 4)) & 3U;
        return scale * static_cast<float>(static_cast<int>(low | top << 4U) - 32);
    };
    size_t group = 0;
    unsigned bit = 0;
    for (size_t half = 0; half < 2; ++half, quants += 32)
        for (unsigned shift = 0; shift < 8; shift += 2, ++bit)
            for (size_t part = 0; part < 2; ++part, ++group)
                for (size_t i = 16 * part; i < 16 * part + 16; ++i) {
                    const int low = static_cast<int>(quants[i] >> shift & 3U), missing = high[i] >> bit & 1U ? 0 : 4;
                    *values++ = scale_of(group) * static_cast<float>(low - missing);
                }
}

struct ScaleAndMinimum {
    float scale, minimum;
};

/// Of q4_k and q5_k: 8 groups of 32 values with 6 bits each.
ScaleAndMinimum group_of_k(const unsigned char* block, size_t group) {
    const unsigned char* packed = block + 4;
    const unsigned scale =
        group < 4 ? packed[group] & 63U : (packed[group + 4] & 15U) | (packed[group - 4] >> 6U) << 4U;
    const unsigned minimum =
        group < 4 ? packed[group + 4] & 63U : packed[group + 4] >> 4U | (packed[group] >> 6U) << 4U;
    return {half_at(block) * static_cast<float>(scale), half_at(block + 2) * static_cast<float>(minimum)};
}

void decode_q4_k(const unsigned char* block, float* values) {
    const unsigned char* quants = block + 16;
    for (size_t group = 0; group < 8; ++group) {
        const auto [scale, minimum] = group_of_k(block, group);
        for (size_t i = 0; i < 32; ++i)
            *values++ = scale * static_cast<float>(quants[group / 2 * 32 + i] >> (4 * (group % 2)) & 15U) - minimum;
    }
}

void decode_q5_k(const unsigned char* block, float* values) {
    const unsigned char *fifth = block + 16, *quants = block + 48;
    for (size_t group = 0; group < 8; ++group) {
        const auto [scale, minimum] = group_of_k(block, group);
        for (size_t i = 0; i < 32; ++i) {
            const unsigned low = quants[group / 2 * 32 + i] >> (4 * (group % 2)) & 15U;
            *values++ = scale * static_cast<float>(low | (fifth[i] >> group & 1U) << 4U) - minimum;
        }
    }
}

/// 16 groups of 16 values with 8 bits of scale each.
void decode_q6_k(const unsigned char* block, float* values) {
    const float scale = half_at(block + 208);
    for (size_t half = 0; half < 2; ++half) {
        const unsigned char *low = block + 64 * half, *high = block + 128 + 32 * half, *scales = block + 192 + 8 * half;
        for (size_t quarter = 0; quarter < 4; ++quarter)
            for (size_t i = 0; i < 32; ++i) {
                const unsigned four = low[i + 32 * (quarter % 2)] >> (4 * (quarter / 2)) & 15U;
                const int value = static_cast<int>(four | (high[i] >> (2 * quarter) & 3U) << 4U) - 32;
                const auto of_group = static_cast<int8_t>(scales[2 * quarter + i / 16]);
                *values++ = scale * static_cast<float>(of_group) * static_cast<float>(value);
            }
    }
}

using c10::ScalarType;

constexpr std::array types{
    GgmlType{0, "f32", ScalarType::Float, 1, 4},
    GgmlType{1, "f16", ScalarType::Half, 1, 2},
    GgmlType{2, "q4_0", ScalarType::Float, small, 18, decode_q4_0},
    GgmlType{3, "q4_1", ScalarType::Float, small, 20, decode_q4_1},
    GgmlType{6, "q5_0", ScalarType::Float, small, 22, decode_q5_0},
    GgmlType{7, "q5_1", ScalarType::Float, small, 24, decode_q5_1},
    GgmlType{8, "q8_0", ScalarType::Float, small, 34, decode_q8_0},
    GgmlType{10, "q2_k", ScalarType::Float, large, 84, decode_q2_k},
    GgmlType{11, "q3_k", ScalarType::Float, large, 110, decode_q3_k},
    GgmlType{12, "q4_k", ScalarType::Float, large, 144, decode_q4_k},
    GgmlType{13, "q5_k", ScalarType::Float, large, 176, decode_q5_k},
    GgmlType{14, "q6_k", ScalarType::Float, large, 210, decode_q6_k},
    GgmlType{24, "i8", ScalarType::Char, 1, 1},
    GgmlType{25, "i16", ScalarType::Short, 1, 2},
    GgmlType{26, "i32", ScalarType::Int, 1, 4},
    GgmlType{27, "i64", ScalarType::Long, 1, 8},
    GgmlType{28, "f64", ScalarType::Double, 1, 8},
    GgmlType{30, "bf16", ScalarType::BFloat16, 1, 2},
};

}  // namespace

const GgmlType* find_ggml_type(uint32_t number) {
    const auto* const found =
        std::find_if(types.begin(), types.end(), [number](const GgmlType& type) { return type.number == number; });
    return found == types.end() ? nullptr : found;
}

}  // namespace diffapple
