#include "diffapple/core/numbers.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <iterator>

namespace diffapple {
namespace {

/// std::to_chars, which knows no locale; the arguments are those behind the value.
template <typename Value, typename... Format>
std::string to_text(Value value, Format... format) {
    std::array<char, 512> buffer;  // the largest double has 309 digits before its point
    const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, format...);
    return {buffer.data(), result.ptr};
}

std::string padded(const std::string& digits, size_t least) {
    return std::string(least - std::min(least, digits.size()), '0') + digits;
}

}  // namespace

std::string python_float(double value) {
    const double magnitude = std::fabs(value);
    if (magnitude != 0 && (magnitude < 1e-4 || magnitude >= 1e16)) return to_text(value, std::chars_format::scientific);
    const std::string text = to_text(value, std::chars_format::fixed);
    return std::isnan(value) || text.find('.') != std::string::npos ? text : text + ".0";
}

std::string format_fixed(double value, int decimals) {
    return to_text(value, std::chars_format::fixed, decimals);
}

std::string format_significant(double value, int digits) {
    return to_text(value, std::chars_format::general, digits);
}

std::string format_scientific(double value, int decimals) {
    return to_text(value, std::chars_format::scientific, decimals);
}

std::string format_percent(double share, int decimals) {
    return format_fixed(100 * share, decimals) + "%";
}

std::string format_grouped(int64_t count) {
    std::string digits = std::to_string(count);
    const ptrdiff_t first = count < 0 ? 1 : 0;
    for (auto i = std::ssize(digits) - 3; i > first; i -= 3) digits.insert(static_cast<size_t>(i), 1, ',');
    return digits;
}

std::string format_hex(uint64_t value, size_t digits) {
    return padded(to_text(value, 16), digits);
}

std::string plural(const std::string& noun) {
    const auto ends_in = [&](const char* ending) { return noun.ends_with(ending); };
    if (ends_in("y") && !ends_in("ay") && !ends_in("ey") && !ends_in("oy"))
        return noun.substr(0, noun.size() - 1) + "ies";
    return noun + (ends_in("s") || ends_in("x") || ends_in("ch") || ends_in("sh") ? "es" : "s");
}

std::string format_bytes(uint64_t bytes) {
    constexpr std::array units = {"B", "kB", "MB", "GB", "TB"};
    auto amount = static_cast<double>(bytes);
    size_t unit = 0;
    for (; amount >= 999.5 && unit + 1 < units.size(); ++unit) amount /= 1000;
    return format_fixed(amount, amount < 9.95 && unit > 0 ? 1 : 0) + ' ' + units[unit];
}

std::string format_duration(double seconds) {
    const auto total = static_cast<uint64_t>(std::llround(seconds));
    const auto two_digits = [](uint64_t value) { return padded(std::to_string(value), 2); };
    const std::string end = two_digits(total / 60 % 60) + ':' + two_digits(total % 60);
    return total < 3600 ? end.substr(end[0] == '0' ? 1 : 0) : std::to_string(total / 3600) + ':' + end;
}

}  // namespace diffapple
