// `diffapple grid PLACES...`: a contact sheet of pictures that are already made.
#include <CLI/CLI.hpp>
#include <memory>

#include "diffapple/cli/commands.h"
#include "diffapple/cli/options.h"
#include "diffapple/cli/output.h"
#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"
#include "diffapple/sheets/contact_sheet.h"
#include "diffapple/sheets/report.h"

namespace diffapple {
namespace {

struct Options {
    std::vector<std::string> places, where;
    std::string out;
    std::optional<std::string> rows, columns;
    std::optional<int64_t> cell;
    bool force = false;
};

void run(const Options& options) {
    if (options.rows && options.rows == options.columns)
        fail_usage("--rows and --columns: ", *options.rows, " cannot be both");
    const auto files = find_pictures({options.places.begin(), options.places.end()});
    const WrittenSheet sheet = write_contact_sheet(files, {.out = options.out,
                                                           .where = options.where,
                                                           .rows = options.rows,
                                                           .columns = options.columns,
                                                           .cell = options.cell,
                                                           .force = options.force});
    print_path(sheet.path);
    for (const auto& note : sheet.notes) print_message(note);
    for (const auto& problem : sheet.problems) print_message(problem);
    if (!sheet.problems.empty())
        fail(sheet.problems.size(), " of ", counted(files.size(), "file"), " could not be read; the sheet holds ",
             counted(sheet.pictures, "picture"));
}

}  // namespace

void add_grid_command(CLI::App& app) {
    CLI::App* const command =
        app.add_subcommand("grid", "Make a contact sheet: pictures in rows and columns, labelled from their recipes");
    const auto options = std::make_shared<Options>();
    with_value(command->add_option("PLACES", options->places, "Pictures, and folders of them"), "PLACES")->required();
    add_where_option(command, options->where);
    with_value(command->add_option("--rows", options->rows, "Setting of the rows, as seed [chosen from what varies]"),
               "SETTING");
    with_value(command->add_option("--columns", options->columns, "Setting of the columns [chosen from what varies]"),
               "SETTING");
    add_integer_option(
        command, "--cell", [options](int64_t side) { options->cell = side; }, smallest_cell, 4096,
        "Longer side of each picture in pixels [as the largest is]");
    with_value(
        command->add_option("-o,--out", options->out, "The sheet, a PNG file [sheet_ID.png beside the pictures]"),
        "FILE");
    command->add_flag("-f,--force", options->force, "Replace a file that is no contact sheet");
    add_examples(command, {"grid out/sdxl_turbo", "grid out/sdxl_turbo --where guidance=0 --out steps.png",
                           "grid out --rows prompt --columns guidance --cell 256"});
    command->callback([options] { run(*options); });
}

}  // namespace diffapple
