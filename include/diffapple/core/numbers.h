// Numbers as text: the one place that decides how they are rounded and what unit stands behind them. The same on every
// machine, whatever its locale.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>

namespace diffapple {

/// As Python prints a float: the fewest digits that give the same number. "0.0", "7.5", "1e-05", "1e+16", "inf".
std::string python_float(double value);

/// With so many digits behind the point: 2 makes "0.42" and "3.00".
std::string format_fixed(double value, int decimals);

/// With at most so many digits that count, and no zeros at the end: 3 makes "0.417", "3", "42.1", "1.23e+04".
std::string format_significant(double value, int digits);

/// One digit before the point and so many behind it: 1 makes "4.2e-05".
std::string format_scientific(double value, int decimals);

/// A share of 1 in percent: "42%", with decimals "99.95%".
std::string format_percent(double share, int decimals = 0);

/// With commas between thousands: "113,673,219".
std::string format_grouped(int64_t count);

/// At least so many hexadecimal digits, in lower case: 2 makes "1b".
std::string format_hex(uint64_t value, size_t digits);

/// The plural of a noun that forms it regularly: "picture" makes "pictures", "batch" "batches", "entry" "entries".
std::string plural(const std::string& noun);

/// How many there are of something, by its singular: "1 picture", "2 pictures", "0 batches".
template <std::integral Count>
std::string counted(Count count, const std::string& noun) {
    return std::to_string(count) + ' ' + (count == 1 ? noun : plural(noun));
}

/// The verb that follows such a number.
template <std::integral Count>
const char* is_or_are(Count count) {
    return count == 1 ? "is" : "are";
}

/// "1.2 GB", "455 MB", "12 kB" (decimal units).
std::string format_bytes(uint64_t bytes);

/// A time as clocks show it, in whole seconds: "0:07", "12:34", "1:02:03". Not negative.
std::string format_duration(double seconds);

}  // namespace diffapple
