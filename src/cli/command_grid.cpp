// `diffapple grid FILES...`: a contact sheet of pictures that are already made.
#include <CLI/CLI.hpp>
#include <memory>

#include "diffapple/cli/commands.h"
#include "diffapple/cli/output.h"
#include "diffapple/core/error.h"
#include "diffapple/sheets/contact_sheet.h"
#include "diffapple/sheets/report.h"

namespace diffapple {
namespace {

struct Options {
    std::vector<std::string> places;
    std::string out;
    std::optional<std::string> rows, columns;
    std::optional<int64_t> cell;
    bool force = false;
};

void run(const Options& options) {
    const auto files = find_pictures({options.places.begin(), options.places.end()});
    const WrittenSheet sheet = write_contact_sheet(files, {.out = options.out,
                                                           .rows = options.rows,
                                                           .columns = options.columns,
                                                           .cell = options.cell,
                                                           .force = options.force});
    print_path(sheet.path);
    for (const auto& note : sheet.notes) print_message(note);
    for (const auto& problem : sheet.problems) print_message(problem);
    if (!sheet.problems.empty())
        fail(sheet.problems.size(), " of ", files.size(), " files could not be read; the sheet holds the other ",
             sheet.pictures);
}

}  // namespace

void add_grid_command(CLI::App& app) {
    CLI::App* const command =
        app.add_subcommand("grid", "Make a contact sheet: pictures in rows and columns, labelled from their recipes");
    const auto options = std::make_shared<Options>();
    command->add_option("PLACES", options->places, "Pictures, and folders of PNG files")->required();
    command->add_option("--out", options->out, "The sheet's file; default: sheet_ID.png in the pictures' folder");
    command->add_option("--rows", options->rows, "Setting of the rows, as seed; default: chosen from those that vary");
    command->add_option("--columns", options->columns, "Setting of the columns");
    command->add_option("--cell", options->cell, "Longer side of each picture in pixels; default: as the largest is")
        ->check(CLI::Range(smallest_cell, int64_t{4096}));
    command->add_flag("--force", options->force, "Replace a file that is no contact sheet");
    command->callback([options] { run(*options); });
}

}  // namespace diffapple
