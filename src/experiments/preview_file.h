// The picture so far, in a file that a viewer shows again whenever it changes.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>

#include "diffapple/core/size.h"
#include "diffapple/experiments/reporter.h"

namespace diffapple {

class PreviewFile {
public:
    PreviewFile() = default;
    /// Removes the file.
    ~PreviewFile();
    PreviewFile(const PreviewFile&) = delete;
    PreviewFile& operator=(const PreviewFile&) = delete;

    /// Tells, once, that a batch of so many turns has none in between.
    void explain_none(size_t every, size_t turns, Reporter& reporter);
    /// Writes the pictures of a batch, [N, C, h, w] in about [-1, 1], fp32, on the CPU, side by side; each is enlarged
    /// to half the size that it will have. The reporter is told of the first, and of one that cannot be written, which
    /// harms nothing else: then no more are. A file in the way that is no preview stays.
    void write(const std::filesystem::path& path, const at::Tensor& pictures, Size final_size, Reporter& reporter);

private:
    std::filesystem::path path_;
    bool failed_ = false, explained_ = false;
};

}  // namespace diffapple
