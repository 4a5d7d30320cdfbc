// Runs picture functions on files, for tests/python/test_images.py. Each line of stdin is one call:
//   OPERATION INPUT... OUTPUT    (words separated by tabs)
// and answers one line: "ok", or the Error's text. Pictures are written as PNG, tensors as safetensors ("tensor").
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <sstream>

#include "diffapple/core/error.h"
#include "diffapple/io/files.h"
#include "diffapple/io/png.h"
#include "diffapple/io/resample.h"

namespace diffapple {
namespace {

using Words = std::vector<std::string>;

void write(const std::string& path, const Image& image) {
    write_file_atomically(path, encode_png(image, {}));
}

const std::map<std::string, Filter> filters = {{"nearest", Filter::nearest},
                                               {"box", Filter::box},
                                               {"bilinear", Filter::bilinear},
                                               {"bicubic", Filter::bicubic},
                                               {"lanczos", Filter::lanczos}};

const std::map<std::string, std::function<void(const Words&)>> operations = {
    {"read", [](const Words& w) { write(w.at(2), read_image(w.at(1))); }},
    {"grey", [](const Words& w) { write(w.at(2), to_grey(read_image(w.at(1)))); }},
    {"resize",
     [](const Words& w) {
         write(w.at(5), resize(read_image(w.at(1)), std::stol(w.at(2)), std::stol(w.at(3)), filters.at(w.at(4))));
     }},
    {"resize_box",
     [](const Words& w) {
         const Box box{std::stof(w.at(5)), std::stof(w.at(6)), std::stof(w.at(7)), std::stof(w.at(8))};
         write(w.at(9), resize(read_image(w.at(1)), std::stol(w.at(2)), std::stol(w.at(3)), filters.at(w.at(4)), box));
     }},
    {"blur", [](const Words& w) { write(w.at(3), gaussian_blur(read_image(w.at(1)), std::stod(w.at(2)))); }},
};

std::string answer(const std::string& line) {
    Words words;
    std::istringstream stream(line);
    for (std::string word; std::getline(stream, word, '\t');) words.push_back(word);
    try {
        operations.at(words.at(0))(words);
        return "ok";
    } catch (const Error& error) {
        return error.what();
    }
}

}  // namespace
}  // namespace diffapple

int main() {
    for (std::string line; std::getline(std::cin, line);) std::cout << diffapple::answer(line) << std::endl;
}
