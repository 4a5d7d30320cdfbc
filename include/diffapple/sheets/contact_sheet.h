// Contact sheets: many pictures in one, in rows and columns that are labelled with the settings that vary.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "diffapple/core/size.h"
#include "diffapple/io/image.h"
#include "diffapple/sheets/sheet_plan.h"

namespace diffapple {

struct SheetOptions {
    std::filesystem::path out;                 ///< the file; empty: sheet_<id>.png in `folder`
    std::filesystem::path folder;              ///< empty: the deepest folder that all pictures are in
    std::vector<std::string> where;            ///< conditions (sheets/picture_filter.h)
    std::optional<std::string> rows, columns;  ///< settings to take, as in plan_sheet
    /// Longer side of a cell in pixels: pictures are enlarged or reduced to it. Absent: that of the largest picture,
    /// and smaller ones keep their size.
    std::optional<int64_t> cell;
    bool force = false;          ///< replace a file that is no contact sheet
    bool keep_existing = false;  ///< leave a sheet of the same pictures that is there
    bool all = false;            ///< every file must be readable: a sheet of fewer pictures has another id and name
};

/// A sheet has at most this many pixels (and largest_image_side on a side): cells are reduced to keep to it.
constexpr int64_t largest_sheet = 40'000'000;
constexpr int64_t smallest_cell = 16;

struct WrittenSheet {
    std::filesystem::path path;
    std::string id;
    size_t pictures = 0;                ///< on the sheet
    std::vector<std::string> notes;     ///< what the user should know: smaller cells, sheets left out
    std::vector<std::string> problems;  ///< files that could not be read, one line each
};

/// Makes the contact sheet of these picture files and writes it as a PNG whose `diffapple` text holds the pictures' ids
/// and file names. Its own id is a hash of its pictures' ids, so the same pictures give the same name. Files that
/// cannot be read are left out and listed; contact sheets among them are left out too. The sheet replaces an older
/// sheet, but nothing else unless `force`. Throws Error when no picture is left, one cannot be read and `all` are
/// wanted, or they are too many for one sheet; Interrupted.
WrittenSheet write_contact_sheet(const std::vector<std::filesystem::path>& files, const SheetOptions& options);

/// The cells of a sheet that is drawn: pixels of picture `index`, at any size; empty when it cannot be had.
using PictureSource = std::function<std::optional<Image>(size_t index)>;

/// Draws a plan with cells of that size (before labels) into a picture of 3 channels.
/// Pictures larger than a cell are reduced to fit, smaller ones enlarged only when `enlarge`. Absent when the sheet
/// would be larger than allowed.
std::optional<Image> draw_sheet(const SheetPlan& plan, Size cell, bool enlarge, const PictureSource& picture);

}  // namespace diffapple
