// What commands print: results on stdout, everything else on stderr, text tables. Nothing that a stranger wrote (a
// prompt, a file's name) reaches a terminal but through printable().
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace diffapple {

/// Prints text for people on stdout, made printable. Throws Error when stdout cannot take it (full disk), as the
/// functions below do.
void print_result(const std::string& text);

/// Prints a file's path as one line on stdout: as it is, for scripts; made printable where stdout is a terminal.
void print_path(const std::filesystem::path& path);

/// Prints lines of data (each with its end) on stdout: as they are, for programs; made printable on a terminal.
void print_data(const std::string& lines);

/// Prints one JSON object as one line on stdout. Bytes that are no UTF-8 become U+FFFD; on a terminal, characters
/// beyond ASCII are escaped.
void print_json(const nlohmann::json& object);

/// The same over several lines, with the keys in their order.
void print_indented_json(const nlohmann::ordered_json& object);

/// Prints a message on stderr as one line, made printable: a prompt with line ends cannot look like two messages.
void print_message(const std::string& text);

/// Prints why the program ends, as one line on stderr behind the program's name.
void print_error(const std::string& text);

/// Rows as columns of equal width, two spaces apart, the first row being the header. Cells are made printable; widths
/// count characters.
std::string format_table(std::vector<std::vector<std::string>> rows);

/// The same with the words of the last column in as many lines as they need, for `width` characters.
std::string wrap_table(std::vector<std::vector<std::string>> rows, size_t width);

/// A table in lines of at most `width` characters: columns named in `expendable` are left out, the first first, and
/// the longest cells are cut, those of the last column at their beginnings. At least one column stays.
std::string fit_table(std::vector<std::vector<std::string>> rows, size_t width,
                      const std::vector<std::string>& expendable);

}  // namespace diffapple
