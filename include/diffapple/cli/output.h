// What commands print: results on stdout, everything else on stderr, text tables.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace diffapple {

/// Prints a line of results on stdout. Throws Error when stdout cannot take it (full disk).
void print_result(const std::string& line);

/// Prints one JSON object as one line on stdout. Bytes that are no UTF-8 become U+FFFD.
void print_json(const nlohmann::json& object);

/// Prints a message on stderr, above the progress bar if there is one.
void print_message(const std::string& line);

/// Rows as columns of equal width, two spaces apart, the first row being the header. Widths count characters.
std::string format_table(const std::vector<std::vector<std::string>>& rows);

/// Text from a file, safe to show on a terminal: control characters (escape sequences) become visible as \x1b.
std::string printable(const std::string& text);

}  // namespace diffapple
