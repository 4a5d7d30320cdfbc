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

namespace diffapple {
namespace {

struct Options {
    std::vector<std::string> places, where;
    std::string csv, html;
    bool as_json = false;
};

constexpr const char* standard_output = "-";

std::string experiment_of(const PictureFacts& picture) {
    if (!picture.recipe) return "";
    const auto found = picture.recipe->determining.find("experiment");
    return found != picture.recipe->determining.end() && found->is_string() ? found->get<std::string>() : "";
}

/// The pictures of each experiment, in the order in which they first appear.
std::vector<std::vector<PictureFacts>> by_experiment(const std::vector<PictureFacts>& pictures) {
    std::vector<std::vector<PictureFacts>> groups;
    for (const PictureFacts& picture : pictures) {
        if (!picture.recipe) continue;
        const auto group = std::find_if(groups.begin(), groups.end(), [&](const auto& other) {
            return experiment_of(other.front()) == experiment_of(picture);
        });
        if (group == groups.end())
            groups.push_back({picture});
        else
            group->push_back(picture);
    }
    return groups;
}

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

/// The report as files, or in place of the tables: true where it went there.
bool write_files(const Report& report, const Options& options) {
    const bool csv_to_stdout = options.csv == standard_output;
    if (csv_to_stdout && options.as_json) fail_usage("--csv - and --json: stdout holds one of them");
    for (const auto& file : {options.csv, options.html})
        if (!file.empty()) remove_stale_temporary_files(std::filesystem::absolute(file).parent_path());
    if (!options.csv.empty() && !csv_to_stdout) write_file_atomically(options.csv, to_csv(report));
    if (!options.html.empty())
        write_file_atomically(options.html, to_html(report, std::filesystem::absolute(options.html).parent_path()));
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
    if (!write_files(report, options)) print_tables(list.pictures);
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
    with_value(command->add_option("PLACES", options->places, "Pictures, and folders of PNG files"), "PLACES")
        ->required();
    add_where_option(command, options->where);
    with_value(
        command->add_option("--csv", options->csv, "Write all pictures' table to this file instead; - is stdout"),
        "FILE");
    with_value(command->add_option("--html", options->html, "Write a page with the pictures to this file instead"),
               "FILE");
    command->add_flag("--json", options->as_json, "One JSON object per picture on stdout");
    add_examples(command, {"report out", "report out --where steps=4 --csv table.csv", "report out --html table.html"});
    command->callback([options] { run(*options); });
}

}  // namespace diffapple
