#include "diffapple/cli/output.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <nlohmann/json.hpp>

#include "diffapple/core/error.h"
#include "diffapple/core/utf8.h"

namespace diffapple {

void print_result(const std::string& line) {
    const bool written = std::fwrite(line.data(), 1, line.size(), stdout) == line.size() &&
                         std::fputc('\n', stdout) != EOF && std::fflush(stdout) == 0;
    if (!written) fail("standard output cannot be written: ", std::strerror(errno));
}

void print_json(const nlohmann::json& object) {
    print_result(object.dump(-1, ' ', /*ensure_ascii=*/false, nlohmann::json::error_handler_t::replace));
}

void print_message(const std::string& line) {
    std::fprintf(stderr, "%s\n", line.c_str());
}

std::string format_table(const std::vector<std::vector<std::string>>& rows) {
    std::vector<size_t> widths;
    for (const auto& row : rows)
        for (size_t i = 0; i < row.size(); ++i) {
            if (i >= widths.size()) widths.push_back(0);
            widths[i] = std::max(widths[i], count_characters(row[i]));
        }
    std::string table;
    for (const auto& row : rows) {
        std::string line;
        for (size_t i = 0; i < row.size(); ++i) {
            line += row[i];
            if (i + 1 < row.size()) line += std::string(widths[i] + 2 - count_characters(row[i]), ' ');
        }
        table += (table.empty() ? "" : "\n") + line;
    }
    return table;
}

std::string format_bytes(double bytes) {
    constexpr const char* units[] = {"B", "kB", "MB", "GB", "TB"};
    size_t unit = 0;
    for (; bytes >= 999.5 && unit + 1 < std::size(units); ++unit) bytes /= 1000;
    char text[32];
    std::snprintf(text, sizeof(text), bytes < 9.95 && unit > 0 ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
    return text;
}

std::string printable(const std::string& text) {
    std::string shown;
    for (size_t i = 0; i < text.size(); ++i) {
        auto byte = static_cast<unsigned char>(text[i]);
        // U+0080 to U+009F, C2 80 to C2 9F in UTF-8: some terminals take U+009B for the start of an escape sequence.
        const bool c1 = byte == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0;
        if (c1) byte = static_cast<unsigned char>(text[++i]);
        const bool control = c1 || (byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7f;
        char escaped[8];
        std::snprintf(escaped, sizeof(escaped), "\\x%02x", byte);
        shown += control ? std::string(escaped) : std::string(1, text[i]);
    }
    return shown;
}

}  // namespace diffapple
