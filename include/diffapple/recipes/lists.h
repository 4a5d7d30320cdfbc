// Lists on the command line: "0,2,4,8", and ranges of integers "0..3" that include both ends.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace diffapple {

/// What stands between the commas of a list, without the blanks around it.
std::vector<std::string> list_words(const std::string& text);

/// Integers from `minimum` to `maximum`, in the order given, each once. Throws Error (exit code 2) naming the option
/// for anything else, or for more than 100,000 values.
std::vector<int64_t> parse_integers(const std::string& option, const std::string& text, int64_t minimum,
                                    int64_t maximum);

/// Seeds, 0 to 2^64 - 1, as parse_integers.
std::vector<uint64_t> parse_seeds(const std::string& option, const std::string& text);

/// The list of seeds with a number from `draw` in the place of each `random` (or -1, as web UIs call it), and N
/// different ones in that of `random:N`; the text as it is where there are none. Throws Error (exit code 2) for an N
/// that is not from 1 to 100,000.
std::string with_drawn_seeds(const std::string& option, const std::string& text, const std::function<uint64_t()>& draw);

/// Numbers from `minimum` to `maximum`, in the order given, each once: "0,2.5,7", or whole ones "0..3".
std::vector<double> parse_numbers(const std::string& option, const std::string& text, double minimum, double maximum);

/// Words separated by commas, each one of `choices`.
std::vector<std::string> parse_choices(const std::string& option, const std::string& text,
                                       const std::vector<std::string>& choices);

}  // namespace diffapple
