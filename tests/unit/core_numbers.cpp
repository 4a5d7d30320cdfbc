// Numbers as text.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "diffapple/core/numbers.h"

namespace diffapple {
namespace {

TEST(Numbers, FloatsAsPythonPrintsThem) {
    EXPECT_EQ(python_float(0), "0.0");
    EXPECT_EQ(python_float(-0.0), "-0.0");
    EXPECT_EQ(python_float(7.5), "7.5");
    EXPECT_EQ(python_float(8), "8.0");
    EXPECT_EQ(python_float(0.1), "0.1");
    EXPECT_EQ(python_float(1e-5), "1e-05");
    EXPECT_EQ(python_float(0.0001), "0.0001");
    EXPECT_EQ(python_float(1e16), "1e+16");
    EXPECT_EQ(python_float(123456789.0), "123456789.0");
    EXPECT_EQ(python_float(9007199254740993.0), "9007199254740992.0");
    EXPECT_EQ(python_float(std::numeric_limits<double>::infinity()), "inf");
    EXPECT_EQ(python_float(std::nan("")), "nan");
}

TEST(Numbers, DigitsAreRoundedAsPrintfDoesIt) {
    EXPECT_EQ(format_fixed(0.125, 2), "0.12");  // half to even where the half is exact
    EXPECT_EQ(format_fixed(2.5, 0), "2");
    EXPECT_EQ(format_fixed(3, 2), "3.00");
    EXPECT_EQ(format_fixed(-1.05, 1), "-1.1");
    EXPECT_EQ(format_fixed(1e300, 0).size(), 301U);
    EXPECT_EQ(format_significant(3, 3), "3");
    EXPECT_EQ(format_significant(0.41666, 3), "0.417");
    EXPECT_EQ(format_significant(142.4, 3), "142");
    EXPECT_EQ(format_significant(12345, 3), "1.23e+04");
    EXPECT_EQ(format_scientific(4.24e-5, 1), "4.2e-05");
    EXPECT_EQ(format_percent(0.42), "42%");
    EXPECT_EQ(format_percent(0.99951, 2), "99.95%");
}

TEST(Numbers, Integers) {
    EXPECT_EQ(format_grouped(0), "0");
    EXPECT_EQ(format_grouped(999), "999");
    EXPECT_EQ(format_grouped(-100'000), "-100,000");
    EXPECT_EQ(format_grouped(113'673'219), "113,673,219");
    EXPECT_EQ(format_hex(0x1b, 2), "1b");
    EXPECT_EQ(format_hex(7, 2), "07");
    EXPECT_EQ(format_hex(0x202e, 2), "202e");
}

TEST(Numbers, CountsOfThings) {
    EXPECT_EQ(counted(1, "picture"), "1 picture");
    EXPECT_EQ(counted(size_t{0}, "picture"), "0 pictures");
    EXPECT_EQ(counted(int64_t{2}, "batch"), "2 batches");
    EXPECT_EQ(counted(3, "entry"), "3 entries");
    EXPECT_EQ(plural("day"), "days");
    EXPECT_EQ(plural("CUDA device"), "CUDA devices");
    EXPECT_STREQ(is_or_are(1), "is");
    EXPECT_STREQ(is_or_are(size_t{2}), "are");
}

TEST(Numbers, BytesAndDurations) {
    EXPECT_EQ(format_bytes(0), "0 B");
    EXPECT_EQ(format_bytes(999), "999 B");
    EXPECT_EQ(format_bytes(999'500), "1.0 MB");
    EXPECT_EQ(format_bytes(1'234'000'000), "1.2 GB");
    EXPECT_EQ(format_bytes(454'692'876), "455 MB");
    EXPECT_EQ(format_duration(0), "0:00");
    EXPECT_EQ(format_duration(7.4), "0:07");
    EXPECT_EQ(format_duration(754), "12:34");
    EXPECT_EQ(format_duration(3723), "1:02:03");
    EXPECT_EQ(format_duration(360'000), "100:00:00");
}

}  // namespace
}  // namespace diffapple
