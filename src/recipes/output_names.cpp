#include "diffapple/recipes/output_names.h"

#include <cstring>

#include "diffapple/core/error.h"
#include "diffapple/core/utf8.h"
#include "diffapple/io/sha256.h"

namespace diffapple {
namespace {

constexpr size_t max_name_bytes = 100;

bool is_refused(unsigned char c) {
    return c < 0x20 || c == 0x7f || std::strchr("/\\:*?\"<>|", c) != nullptr;
}

std::string cut(const std::string& name, const std::string& original) {
    const std::string ending = concat('-', sha256(original).substr(0, 8));
    return std::string(cut_utf8(name, max_name_bytes - ending.size())) + ending;
}

}  // namespace

std::string safe_name(const std::string& text) {
    std::string name;
    for (const char c : text) name += c == ' ' ? '_' : is_refused(static_cast<unsigned char>(c)) ? '-' : c;
    // Windows drops a trailing dot; "", "." and ".." are no names, and a leading dot hides the folder.
    if (name.empty()) name = "-";
    if (name.front() == '.') name.front() = '-';
    if (name.back() == '.') name.back() = '-';
    return name.size() > max_name_bytes ? cut(name, text) : name;
}

std::filesystem::path picture_path(const std::filesystem::path& out, const PictureName& name) {
    std::string file = name.stem;
    for (const auto& [key, value] : name.suffixes) file += "_" + key + "-" + value;
    return out / (name.experiment_folder + (name.demo ? "_demo" : "")) / safe_name(name.prompt_folder) /
           (file + ".png");
}

}  // namespace diffapple
