// Where everything on a contact sheet stands, in pixels. Private to the contact sheet.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "diffapple/core/size.h"
#include "diffapple/sheets/sheet_plan.h"
#include "font.h"

namespace diffapple {

using Lines = std::vector<std::u32string>;

struct SheetLayout {
    std::unique_ptr<Font> font;
    int64_t width = 0, height = 0;  ///< of the sheet
    Size cell;                      ///< of the largest picture in a cell
    int64_t slot_width = 0;         ///< of a column: a cell, or wider for its label
    int64_t gap = 0, margin = 0;
    int64_t grid_left = 0, row_label_right = 0;
    int64_t column_name_top = 0, column_labels_bottom = 0, footer_top = 0;
    std::vector<int64_t> row_tops, row_heights;  ///< of the cells, without captions

    Lines column_name, footer;
    std::vector<Lines> column_labels, row_labels, captions;

    int64_t column_left(size_t column) const { return grid_left + static_cast<int64_t>(column) * (slot_width + gap); }
    int64_t height_of(const Lines& lines) const;
};

SheetLayout lay_out_sheet(const SheetPlan& plan, Size cell);

}  // namespace diffapple
