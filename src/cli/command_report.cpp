// `diffapple report PLACES...`: a table of pictures that are already made.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "diffapple/cli/commands.h"
#include "diffapple/cli/output.h"
#include "diffapple/core/error.h"
#include "diffapple/io/files.h"
#include "diffapple/sheets/report.h"

namespace diffapple {
namespace {

struct Options {
    std::vector<std::string> places;
    std::string csv, html;
    bool as_json = false;
};

void print_table(const Report& report) {
    std::vector<std::vector<std::string>> rows{report.header};
    rows.insert(rows.end(), report.rows.begin(), report.rows.end());
    for (auto& row : rows)
        for (auto& value : row) std::replace(value.begin(), value.end(), '\n', ' ');
    print_result(report.shared + "\n\n" + format_table(rows));
}

void run(const Options& options) {
    const PictureList list = read_picture_list(find_pictures({options.places.begin(), options.places.end()}));
    const Report report = make_report(list.pictures);
    const bool csv_to_stdout = options.csv == "-";
    if (csv_to_stdout && options.as_json) fail_usage("--csv - and --json: stdout holds one of them");
    if (!options.csv.empty() && !csv_to_stdout) write_file_atomically(options.csv, to_csv(report));
    if (!options.html.empty())
        write_file_atomically(options.html, to_html(report, std::filesystem::absolute(options.html).parent_path()));
    if (options.as_json)
        for (const auto& object : report.objects) print_json(object);
    else if (csv_to_stdout)
        print_data(to_csv(report));
    else if (!report.rows.empty())
        print_table(report);
    if (report.without_recipe > 0)
        print_message(concat(report.without_recipe, " pictures without a recipe are left out"));
    for (const auto& problem : list.problems) print_message(problem);
    if (!list.problems.empty())
        fail(list.problems.size(), list.problems.size() == 1 ? " file" : " files", " could not be read",
             report.rows.empty() ? "" : "; the report holds the others");
    if (report.rows.empty()) fail("no picture with a recipe was found");
}

}  // namespace

void add_report_command(CLI::App& app) {
    CLI::App* const command =
        app.add_subcommand("report", "Compare pictures in a table: settings that vary, time, memory, device");
    const auto options = std::make_shared<Options>();
    command->add_option("PLACES", options->places, "Pictures, and folders of PNG files")->required();
    command->add_option("--csv", options->csv, "Also write the table to this file; - is stdout, in place of the table");
    command->add_option("--html", options->html, "Also write a page with the pictures to this file");
    command->add_flag("--json", options->as_json, "One JSON object per picture on stdout");
    command->callback([options] { run(*options); });
}

}  // namespace diffapple
