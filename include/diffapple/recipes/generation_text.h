// The text that A1111's web UI, stable-diffusion.cpp and others put into a picture: how it was made, in prose.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "diffapple/io/png.h"

namespace diffapple {

/// A `parameters` text taken apart: the prompt's lines, from "Negative prompt:" on the negative prompt's, and a last
/// line of settings.
struct GenerationText {
    std::string program;                ///< "A1111", "ComfyUI", ...
    std::vector<std::string> keywords;  ///< of the texts that it was taken from
    std::string prompt, negative_prompt;
    std::vector<std::pair<std::string, std::string>> settings;  ///< in the text's order

    /// The first setting of that name.
    std::optional<std::string> setting(const std::string& name) const;
};

/// What A1111's regular expression finds in a line: \s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$), as names and
/// values without their quotation marks; but a value that begins with a quotation mark or a bracket reaches to where
/// that closes (else to the line's end), so that nothing inside it is taken for a setting. Takes time in proportion to
/// the line; bytes of other than ASCII characters count as letters.
std::vector<std::pair<std::string, std::string>> find_generation_settings(const std::string& line);

/// As A1111 reads it: when the last line has fewer than three settings it belongs to the prompt. Lines "Template:" and
/// "Negative Template:" behind it are settings, too, and so are the values of a JSON object "SDCPP:"
/// (stable-diffusion.cpp), whose prompts count.
GenerationText parse_generation_text(const std::string& text);

/// What other programs' texts say: A1111 and its kin, stable-diffusion.cpp, ComfyUI, InvokeAI, NovelAI, Draw Things,
/// Fooocus, SwarmUI. Settings have A1111's names where these exist. Absent where nothing is understood.
std::optional<GenerationText> find_generation_text(const std::vector<TextChunk>& chunks);

}  // namespace diffapple
