// Runs picture functions on files, for tests/python/test_images.py. Each line of stdin is one call:
//   OPERATION INPUT... OUTPUT    (words separated by tabs)
// and answers one line: "ok", or the Error's text. Pictures are written as PNG, tensors as safetensors ("tensor").
#include <ATen/ATen.h>

#include <functional>
#include <iostream>
#include <map>
#include <sstream>

#include "diffapple/core/error.h"
#include "diffapple/io/files.h"
#include "diffapple/io/png.h"
#include "diffapple/io/resample.h"
#include "diffapple/io/weights.h"
#include "diffapple/pipelines/image_processor.h"

namespace diffapple {
namespace {

using Words = std::vector<std::string>;

void write(const std::string& path, const Image& image) {
    write_file_atomically(path, encode_png(image, {}));
}

void write(const std::string& path, const at::Tensor& tensor) {
    save_safetensors(path, {{"tensor", tensor}});
}

Size size_of(const Words& w, size_t at) {
    return {std::stol(w.at(at)), std::stol(w.at(at + 1))};
}

/// The region that --padding-mask-crop gives for a mask; none for a padding of "-".
std::optional<CropRegion> region_of(const std::string& mask, Size size, const std::string& padding) {
    if (padding == "-") return std::nullopt;
    return crop_region(read_image(mask), size, std::stol(padding));
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
    // IMAGE MASK WIDTH HEIGHT PADDING|- OUTPUT
    {"image_tensor",
     [](const Words& w) {
         const auto size = size_of(w, 3);
         write(w.at(6), image_tensor(read_image(w.at(1)), size, region_of(w.at(2), size, w.at(5))));
     }},
    {"mask_tensor",
     [](const Words& w) {
         const auto size = size_of(w, 3);
         write(w.at(6), mask_tensor(read_image(w.at(2)), size, region_of(w.at(2), size, w.at(5))));
     }},
    {"masked_latents",  // the masked image, and the mask at an eighth of its size, joined flat
     [](const Words& w) {
         const auto size = size_of(w, 3);
         const auto mask = mask_tensor(read_image(w.at(2)), size);
         const auto small = mask_to_latents(mask, size.height / 8, size.width / 8);
         write(w.at(6),
               at::cat({masked_image(image_tensor(read_image(w.at(1)), size), mask).flatten(), small.flatten()}));
     }},
    // IMAGE MASK RESULT WIDTH HEIGHT PADDING OUTPUT
    {"overlay",
     [](const Words& w) {
         const auto region = region_of(w.at(2), size_of(w, 4), w.at(6)).value();
         write(w.at(7), apply_overlay(read_image(w.at(2)), read_image(w.at(1)), read_image(w.at(3)), region));
     }},
    {"keep_unmasked",
     [](const Words& w) {
         write(w.at(4), keep_unmasked(read_image(w.at(3)), read_image(w.at(1)), read_image(w.at(2))));
     }},
    {"comparison",
     [](const Words& w) { write(w.at(4), comparison(read_image(w.at(1)), read_image(w.at(2)), read_image(w.at(3)))); }},
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
