// Which picture goes where on a contact sheet, and what the labels say; nothing about pixels.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace diffapple {

/// What the plan needs of a picture.
struct SheetPicture {
    std::map<std::string, std::string> settings;  ///< setting_texts; empty: a picture without a recipe
    std::string file;                             ///< its name, shown where settings are missing
};

/// A grid of cells. A table has labels for its rows and columns; otherwise each picture has a caption of its own.
struct SheetPlan {
    bool is_table = false;
    size_t rows = 0, columns = 0;
    std::string column_name;                           ///< what the columns' labels are values of; may be empty
    std::vector<std::string> column_labels;            ///< of a table
    std::vector<std::vector<std::string>> row_labels;  ///< of a table: lines; none when there is nothing to say
    std::vector<std::optional<size_t>> cells;          ///< row by row; the picture's place in the list
    std::vector<std::vector<std::string>> captions;    ///< else: lines for each cell
    std::string shared;                                ///< the settings that all pictures have in common
    std::string note;                                  ///< of a table that would be, or is, mostly blank
};

/// Arranges pictures. Up to two settings that vary become rows and columns: the one with most values goes to the
/// columns, as long as there are at most `max_columns` and they are words rather than sentences; all others are
/// combined in the rows. Where that would leave most of a table blank, as with two sweeps in one folder, two settings
/// whose pairs make a full table are the columns together. `rows` and `columns` name settings to take instead. Without
/// them, pictures that differ in nothing (or in one setting with many values), that make no such table, or that have no
/// recipe are shown one after the other, with captions; a note says what would make a table. Throws Error (exit code 2)
/// for a name that is no setting, or is chosen for pictures of which one has no recipe.
SheetPlan plan_sheet(const std::vector<SheetPicture>& pictures, const std::optional<std::string>& rows,
                     const std::optional<std::string>& columns, size_t max_columns);

}  // namespace diffapple
