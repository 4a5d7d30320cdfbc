// The text that A1111's web UI, stable-diffusion.cpp and others put into a picture: how it was made, in prose.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace diffapple {

/// A `parameters` text taken apart: the prompt's lines, from "Negative prompt:" on the negative prompt's, and a last
/// line of settings.
struct GenerationText {
    std::string prompt, negative_prompt;
    std::vector<std::pair<std::string, std::string>> settings;  ///< in the text's order

    /// The first setting of that name.
    std::optional<std::string> setting(const std::string& name) const;
};

/// What A1111's regular expression finds in a line: \s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$), as names and
/// values without their quotation marks. Takes time in proportion to the line; bytes of other than ASCII characters
/// count as letters.
std::vector<std::pair<std::string, std::string>> find_generation_settings(const std::string& line);

/// As A1111 reads it: when the last line has fewer than three settings it belongs to the prompt.
GenerationText parse_generation_text(const std::string& text);

}  // namespace diffapple
