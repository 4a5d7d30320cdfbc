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
        // A model may go astray for a turn; what is no number is no picture.
        const Image row = side_by_side(to_images(at::nan_to_num(pictures, 0, 1, -1)), size);
        write_file_atomically(path, encode_picture(path, row, {}));
        if (path_.empty()) reporter.note("preview: " + path.string());
        path_ = path;
    } catch (const Error& error) {
        failed_ = true;
        reporter.note(std::string("no preview: ") + error.what());
    }
}

}  // namespace diffapple
