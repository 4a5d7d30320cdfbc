#include "sheet_layout.h"

#include <algorithm>

#include "label_layout.h"

namespace diffapple {

int64_t SheetLayout::height_of(const Lines& lines) const {
    return static_cast<int64_t>(lines.size()) * font->line_height();
}

namespace {

int64_t tallest(const SheetLayout& layout, const std::vector<Lines>& labels, size_t first, size_t count) {
    int64_t height = 0;
    for (size_t i = first; i < std::min(first + count, labels.size()); ++i)
        height = std::max(height, layout.height_of(labels[i]));
    return height;
}

/// A column is wider than its pictures when its labels need it, up to a limit.
int64_t slot_width(const SheetPlan& plan, SheetLayout& layout, int64_t font_size) {
    int64_t natural = 0;
    for (const auto& label : plan.column_labels)
        natural = std::max(natural, label_width(*layout.font, wrap_label(*layout.font, label, 10 * font_size, 3)));
    for (const auto& caption : plan.captions)
        natural = std::max(natural, label_width(*layout.font, wrap_labels(*layout.font, caption, 10 * font_size, 3)));
    return std::max(layout.cell.width, natural);
}

void wrap_all(const SheetPlan& plan, SheetLayout& layout, int64_t font_size) {
    Font& font = *layout.font;
    layout.slot_width = slot_width(plan, layout, font_size);
    for (const auto& label : plan.column_labels)
        layout.column_labels.push_back(wrap_label(font, label, layout.slot_width, 3));
    for (const auto& caption : plan.captions)
        layout.captions.push_back(wrap_labels(font, caption, layout.slot_width, 4));
    const int64_t row_label_width = std::clamp(layout.cell.width, 13 * font_size, 22 * font_size);
    const auto lines = static_cast<size_t>(std::max<int64_t>(4, layout.cell.height / font.line_height()));
    for (const auto& label : plan.row_labels)
        layout.row_labels.push_back(wrap_labels(font, label, row_label_width, lines));
}

/// From left to right: row labels, then columns. Returns the width of the columns.
int64_t place_columns(const SheetPlan& plan, SheetLayout& layout) {
    int64_t labels = 0;
    for (const auto& label : layout.row_labels) labels = std::max(labels, label_width(*layout.font, label));
    layout.row_label_right = layout.margin + labels;
    layout.grid_left = layout.row_label_right + (labels > 0 ? 2 * layout.gap : 0);
    return layout.column_left(plan.columns) - layout.gap - layout.grid_left;
}

/// From top to bottom: the columns' name and labels, then rows.
void place_rows(const SheetPlan& plan, SheetLayout& layout, int64_t columns_width) {
    if (!plan.column_name.empty()) layout.column_name = wrap_label(*layout.font, plan.column_name, columns_width, 1);
    layout.column_name_top = layout.margin;
    layout.column_labels_bottom =
        layout.margin + layout.height_of(layout.column_name) + tallest(layout, layout.column_labels, 0, plan.columns);
    int64_t top = layout.column_labels_bottom;
    if (top > layout.margin) top += layout.gap;
    for (size_t row = 0; row < plan.rows; ++row) {
        const int64_t label = row < layout.row_labels.size() ? layout.height_of(layout.row_labels[row]) : 0;
        layout.row_tops.push_back(top);
        layout.row_heights.push_back(std::max(layout.cell.height, label));
        const int64_t captions = tallest(layout, layout.captions, row * plan.columns, plan.columns);
        top += layout.row_heights.back() + layout.gap + captions + (captions > 0 ? layout.gap : 0);
    }
    layout.footer_top = top + layout.gap;
}

}  // namespace

SheetLayout lay_out_sheet(const SheetPlan& plan, Size cell) {
    SheetLayout layout;
    const int64_t longer = std::max(cell.width, cell.height);
    const int64_t font_size = std::clamp<int64_t>(longer / 22, 13, 40);
    layout.font = open_font(font_size);
    layout.cell = cell;
    layout.gap = std::clamp<int64_t>(longer / 32, 4, 24);
    layout.margin = font_size;
    wrap_all(plan, layout, font_size);
    const int64_t columns_width = place_columns(plan, layout);
    place_rows(plan, layout, columns_width);
    const int64_t footer_width = std::max(layout.grid_left + columns_width - layout.margin, 24 * font_size);
    layout.footer = wrap_label(*layout.font, plan.shared, footer_width, 3);
    const int64_t footer_right = layout.margin + label_width(*layout.font, layout.footer);
    layout.width = std::max(layout.grid_left + columns_width, footer_right) + layout.margin;
    layout.height = layout.footer.empty() ? layout.footer_top - 2 * layout.gap + layout.margin
                                          : layout.footer_top + layout.height_of(layout.footer) + layout.margin;
    return layout;
}

}  // namespace diffapple
