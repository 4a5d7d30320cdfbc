// UTF-8 of any bytes.
#include <gtest/gtest.h>

#include "diffapple/io/utf8.h"

namespace diffapple {
namespace {

TEST(Utf8, MalformedBytesAreReplacedOneByOne) {
    EXPECT_EQ(decode_utf8_replacing("aä猫😀"), U"aä猫😀");
    EXPECT_EQ(decode_utf8_replacing("\xff\xc3"), U"\xfffd\xfffd");
    EXPECT_EQ(decode_utf8_replacing("\xc0\x80x"), U"\xfffd\xfffdx");          // overlong
    EXPECT_EQ(decode_utf8_replacing("\xed\xa0\x80"), U"\xfffd\xfffd\xfffd");  // a surrogate
    EXPECT_EQ(decode_utf8_replacing("\xe7\x8c"), U"\xfffd\xfffd");            // cut off
    EXPECT_EQ(encode_utf8(U"aä猫😀"), "aä猫😀");
    EXPECT_EQ(encode_utf8(std::u32string{0x110000, 0xd800}), "\xef\xbf\xbd\xef\xbf\xbd");
}

}  // namespace
}  // namespace diffapple
