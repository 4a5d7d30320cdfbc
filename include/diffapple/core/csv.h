// Tables as CSV files.
#pragma once

#include <string>
#include <vector>

namespace diffapple {

/// One line of a CSV file as RFC 4180 has it, but for its end, which is "\n": spreadsheets and libraries read both, and
/// the tools of a shell would take the "\r" for a part of the last field.
///
/// A text that a spreadsheet would run as a formula (it begins with = + - @, a tab or a carriage return) gets an
/// apostrophe before it; numbers such as "-1.5" stay as they are.
std::string csv_line(const std::vector<std::string>& fields);

}  // namespace diffapple
