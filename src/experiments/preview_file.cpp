#include "preview_file.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"
#include "diffapple/io/files.h"
#include "diffapple/io/picture_encoding.h"
#include "diffapple/io/resample.h"
#include "diffapple/pipelines/image_processor.h"

namespace diffapple {
namespace {

/// In every preview, so that no other file of that name is lost.
const TextChunk& mark() {
    static const TextChunk text{.keyword = "Comment", .text = "diffapple: the picture so far"};
    return text;
}

void require_own(const std::filesystem::path& path) {
    if (!is_there(path)) return;
    std::vector<TextChunk> texts;
    if (is_file(path)) texts = read_png_info(path).text;
    const bool own = std::any_of(texts.begin(), texts.end(), [](const TextChunk& text) {
        return text.keyword == mark().keyword && text.text == mark().text;
    });
    if (!own) fail(path.string(), ": is in its place, and none; move it");
}

Image side_by_side(const std::vector<Image>& pictures, Size size) {
    Image row = blank_image(size.width * static_cast<int64_t>(pictures.size()), size.height, pictures[0].channels);
    for (size_t i = 0; i < pictures.size(); ++i)
        paste(row, resize(pictures[i], size.width, size.height, Filter::bicubic), size.width * static_cast<int64_t>(i),
              0);
    return row;
}

}  // namespace

PreviewFile::~PreviewFile() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove(path_, ignored);
}

void PreviewFile::explain_none(size_t every, size_t turns, Reporter& reporter) {
    if (std::exchange(explained_, true)) return;
    reporter.note(concat("--preview ", every, ": there is none, where a picture has ", counted(turns, "step")));
}

void PreviewFile::write(const std::filesystem::path& path, const at::Tensor& pictures, Size final_size,
                        Reporter& reporter) {
    if (failed_) return;
    const Size size{.width = std::max(pictures.size(3), final_size.width / 2),
                    .height = std::max(pictures.size(2), final_size.height / 2)};
    try {
        if (path_.empty()) require_own(path);
        // A model may go astray for a turn; what is no number is no picture.
        const Image row = side_by_side(to_images(at::nan_to_num(pictures, 0, 1, -1)), size);
        write_file_atomically(path, encode_picture(path, row, {mark()}));
        if (path_.empty()) reporter.note("preview: " + path.string());
        path_ = path;
    } catch (const Error& error) {
        failed_ = true;
        reporter.note(std::string("no preview: ") + error.what());
    }
}

}  // namespace diffapple
