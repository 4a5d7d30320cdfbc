// `diffapple report PLACES...`: a table of pictures that are already made.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "diffapple/cli/commands.h"
#include "diffapple/cli/options.h"
#include "diffapple/cli/output.h"
#include "diffapple/cli/terminal.h"
#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"
#include "diffapple/io/files.h"
#include "diffapple/sheets/picture_filter.h"
#include "diffapple/sheets/report.h"
#include "diffapple/sheets/report_page.h"

namespace diffapple {
namespace {

struct Options {
    std::vector<std::string> places, where;
    std::string csv, html, pictures = "auto";
    bool as_json = false;
};

constexpr const char* standard_output = "-";

/// What people read of a report: no ids and digests, and what fits the terminal.
void print_table(const Report& report, const std::string& experiment) {
    std::vector<std::vector<std::string>> rows{report.header};
    rows.insert(rows.end(), report.rows.begin(), report.rows.end());
    for (auto& row : rows) {
        std::vector<std::string> shown;
        for (size_t i = 0; i < row.size(); ++i)
            if (report.for_people[i]) shown.push_back(row[i]);
        row = std::move(shown);
        for (auto& value : row) std::replace(value.begin(), value.end(), '\n', ' ');
    }
    const auto width = terminal_width(STDOUT_FILENO);
    std::string shared = report.shared;  // it names the experiment, too
    if (const size_t at = shared.find(experiment + ", "); !experiment.empty() && at != std::string::npos)
        shared.erase(at, experiment.size() + 2);
    const std::string title = experiment.empty() ? shared : experiment + ": " + shared;
    print_result(width ? wrap_words(title, *width, 2) : title);
    print_result("");
    print_result(width ? fit_table(rows, *width, {"device model", "peak MB", "file", "seconds", "it/s"})
                       : format_table(rows));
}

void print_tables(const std::vector<PictureFacts>& pictures) {
    bool first = true;
    const auto groups = by_experiment(pictures);
    for (const auto& group : groups) {
        if (!std::exchange(first, false)) print_result("");
        print_table(make_report(group), experiment_of(group.front()));
    }
}

std::string make_page(const std::vector<PictureFacts>& pictures, const Options& options) {
    const bool inside = options.pictures == "auto" ? fit_into_page(pictures) : options.pictures == "inside";
    return make_report_page(pictures, std::filesystem::absolute(options.html).parent_path(), inside);
}

/// Replaces an earlier report, and nothing else.
void write_report(const std::string& option, const std::string& file, const std::string& content) {
    constexpr size_t beginning = 12;
    require_same_kind(option, file, std::string_view(content).substr(0, beginning));
    remove_stale_temporary_files(std::filesystem::absolute(file).parent_path());
    write_file_atomically(file, content);
}

/// The report as files, or in place of the tables: true where it went there.
bool write_files(const std::vector<PictureFacts>& pictures, const Report& report, const Options& options) {
    const bool csv_to_stdout = options.csv == standard_output;
    if (csv_to_stdout && options.as_json) fail_usage("--csv - and --json: stdout holds one of them");
    if (!options.csv.empty() && !csv_to_stdout) write_report("--csv", options.csv, to_csv(report));
    if (!options.html.empty()) write_report("--html", options.html, make_page(pictures, options));
    if (options.as_json) {
        for (const auto& object : report.objects) print_json(object);
        return true;
    }
    if (csv_to_stdout) {
        print_data(to_csv(report));
        return true;
    }
    for (const auto& file : {options.csv, options.html})
        if (!file.empty()) print_path(file);
    return !options.csv.empty() || !options.html.empty();
}

void run(const Options& options) {
    PictureList list = read_picture_list(find_pictures({options.places.begin(), options.places.end()}));
    list.pictures = filter_pictures(std::move(list.pictures), options.where);
    const Report report = make_report(list.pictures);
    if (!write_files(list.pictures, report, options)) print_tables(list.pictures);
    if (report.without_recipe > 0)
        print_message(concat(counted(report.without_recipe, "picture"), " without a recipe ",
                             is_or_are(report.without_recipe), " left out"));
    for (const auto& problem : list.problems) print_message(problem);
    if (!list.problems.empty())
        fail(counted(list.problems.size(), "file"), " could not be read",
             report.rows.empty() ? "" : "; the report holds the others");
    if (report.rows.empty()) fail("no picture with a recipe was found");
}

}  // namespace

void add_report_command(CLI::App& app) {
    CLI::App* const command =
        app.add_subcommand("report", "Compare pictures in a table: settings that vary, time, memory, device");
    const auto options = std::make_shared<Options>();
    with_value(command->add_option("PLACES", options->places, "Pictures, and folders of them"), "PLACES")->required();
    add_where_option(command, options->where);
    with_value(
        command->add_option("--csv", options->csv, "Write all pictures' table to this file instead; - is stdout"),
        "FILE");
    with_value(command->add_option("--html", options->html,
                                   "Write a page to look at and compare the pictures to this file instead"),
               "FILE");
    add_choice_option(command, "--pictures", options->pictures, {"auto", "inside", "beside"},
                      "Where the page has its pictures: in itself, or where they are; auto: by their size");
    command->add_flag("--json", options->as_json, "One JSON object per picture on stdout");
    add_examples(command, {"report out", "report out --where steps=4 --csv table.csv", "report out --html table.html"});
    command->callback([options] { run(*options); });
}

}  // namespace diffapple
