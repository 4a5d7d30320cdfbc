// Draws a contact sheet.
#include <algorithm>
#include <cmath>

#include "diffapple/core/stop.h"
#include "diffapple/io/resample.h"
#include "diffapple/sheets/contact_sheet.h"
#include "font_drawing.h"
#include "label_layout.h"
#include "sheet_layout.h"

namespace diffapple {
namespace {

constexpr uint8_t black = 0, grey = 100, light_grey = 190;

enum class Align { left, centre, right };

/// Lines from `top` down; `x` is their left end, centre or right end.
void draw_lines(Image& sheet, const SheetLayout& layout, const Lines& lines, int64_t x, int64_t top, Align align,
                uint8_t colour) {
    int64_t baseline = top + layout.font->ascent();
    for (const auto& line : lines) {
        const int64_t width = layout.font->width(line);
        const int64_t left = align == Align::left ? x : align == Align::right ? x - width : x - width / 2;
        layout.font->draw(sheet, left, baseline, line, colour);
        baseline += layout.font->line_height();
    }
}

void draw_column_labels(Image& sheet, const SheetLayout& layout) {
    const int64_t left = layout.column_left(0), right = layout.column_left(layout.column_labels.size()) - layout.gap;
    draw_lines(sheet, layout, layout.column_name, (left + right) / 2, layout.column_name_top, Align::centre, grey);
    for (size_t column = 0; column < layout.column_labels.size(); ++column) {
        const Lines& lines = layout.column_labels[column];
        draw_lines(sheet, layout, lines, layout.column_left(column) + layout.slot_width / 2,
                   layout.column_labels_bottom - layout.height_of(lines), Align::centre, black);
    }
}

void draw_row_labels(Image& sheet, const SheetLayout& layout) {
    for (size_t row = 0; row < layout.row_labels.size(); ++row) {
        const Lines& lines = layout.row_labels[row];
        const int64_t top = layout.row_tops[row] + (layout.row_heights[row] - layout.height_of(lines)) / 2;
        draw_lines(sheet, layout, lines, layout.row_label_right, top, Align::right, black);
    }
}

/// Reduced to fit into a cell; also enlarged when that is asked for.
Image fit(const Image& picture, Size cell, bool enlarge) {
    const double scale = std::min(static_cast<double>(cell.width) / static_cast<double>(picture.width),
                                  static_cast<double>(cell.height) / static_cast<double>(picture.height));
    if (scale == 1 || (scale > 1 && !enlarge)) return to_rgb(picture);
    const auto scaled = [scale](int64_t side) {
        return std::max<int64_t>(1, std::llround(scale * static_cast<double>(side)));
    };
    return resize(to_rgb(picture), scaled(picture.width), scaled(picture.height),
                  scale < 1 ? Filter::lanczos : Filter::bicubic);
}

void draw_cell(Image& sheet, const SheetLayout& layout, int64_t left, int64_t top, int64_t row_height,
               const std::optional<Image>& picture, bool enlarge) {
    if (!picture) {
        const int64_t x = left + (layout.slot_width - layout.cell.width) / 2;
        draw_box(sheet, x, top + (row_height - layout.cell.height) / 2, layout.cell.width, layout.cell.height, 1,
                 light_grey);
        return;
    }
    const Image fitted = fit(*picture, layout.cell, enlarge);
    paste(sheet, fitted, left + (layout.slot_width - fitted.width) / 2, top + (row_height - fitted.height) / 2);
}

}  // namespace

std::optional<Image> draw_sheet(const SheetPlan& plan, Size cell, bool enlarge, const PictureSource& picture) {
    const SheetLayout layout = lay_out_sheet(plan, cell);
    if (std::max(layout.width, layout.height) > largest_image_side || layout.width * layout.height > largest_sheet)
        return std::nullopt;
    Image sheet = blank_image(layout.width, layout.height, 3);
    std::fill(sheet.pixels.begin(), sheet.pixels.end(), uint8_t{255});
    draw_column_labels(sheet, layout);
    draw_row_labels(sheet, layout);
    for (size_t i = 0; i < plan.cells.size(); ++i) {
        check_stop();
        if (!plan.cells[i]) continue;
        const size_t row = i / plan.columns, index = *plan.cells[i];
        const int64_t left = layout.column_left(i % plan.columns), top = layout.row_tops[row];
        draw_cell(sheet, layout, left, top, layout.row_heights[row], picture(index), enlarge);
        if (i < layout.captions.size())
            draw_lines(sheet, layout, layout.captions[i], left + layout.slot_width / 2,
                       top + layout.row_heights[row] + layout.gap / 2, Align::centre, black);
    }
    draw_lines(sheet, layout, layout.footer, layout.margin, layout.footer_top, Align::left, grey);
    return sheet;
}

}  // namespace diffapple
