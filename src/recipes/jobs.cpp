#include "diffapple/recipes/jobs.h"

#include <algorithm>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>

#include "diffapple/core/nearest.h"
#include "diffapple/core/text.h"
#include "diffapple/core/utf8.h"
#include "diffapple/io/json_fields.h"

namespace diffapple {

using nlohmann::json;

std::vector<PromptLine> find_prompt_lines(const std::string& content, const std::string& where) {
    constexpr std::string_view byte_order_mark = "\xef\xbb\xbf", blanks = " \t\r\v\f";
    std::string_view rest = content;
    if (rest.starts_with("\xff\xfe") || rest.starts_with("\xfe\xff"))
        fail(where, ": is text in UTF-16; save it as UTF-8 (iconv -f UTF-16 -t UTF-8)");
    if (rest.starts_with(byte_order_mark)) rest.remove_prefix(byte_order_mark.size());
    std::vector<PromptLine> lines;
    for (size_t number = 1; !rest.empty(); ++number) {
        const size_t end = std::min(rest.find('\n'), rest.size());
        std::string_view line = rest.substr(0, end);
        rest.remove_prefix(std::min(end + 1, rest.size()));
        if (line.find('\0') != std::string_view::npos)
            fail(where, ": line ", number, " holds a NUL; prompts are text in UTF-8");
        if (valid_utf8(line) != line)
            fail(where, ": line ", number,
                 " is not UTF-8; save the file as UTF-8 (from Latin-1: iconv -f L1 -t UTF-8)");
        if (line.ends_with('\r')) line.remove_suffix(1);
        const size_t first = line.find_first_not_of(blanks);
        if (first == std::string_view::npos || line.front() == '#') continue;
        lines.push_back({.place = concat("line ", number), .text = std::string(line)});
    }
    if (lines.empty()) fail(where, ": holds no prompts");
    return lines;
}

void LineProblems::add(const std::string& place, const Error& error) {
    if (places_.empty()) code_ = error.code();
    places_.push_back(place);
    messages_.push_back(concat(place, ": ", error.what()));
}

void LineProblems::fail_if_any(const std::string& where) const {
    if (!messages_.empty()) throw Error(concat(where, ": ", join(messages_, "; ")), code_);
}

namespace {

using Given = std::map<const Setting*, std::vector<std::string>>;

/// An option's name without dashes at its front, and with underscores.
std::string plain_name(std::string option) {
    option.erase(0, std::min(option.find_first_not_of('-'), option.size()));
    std::replace(option.begin(), option.end(), '-', '_');
    return option;
}

const Setting& prompt_row() {
    return setting("batch");
}

bool is_named(const Setting& row, const std::string& name) {
    return (row.key == name && &row != &prompt_row()) || plain_name(row.option) == name ||
           std::any_of(row.aliases.begin(), row.aliases.end(),
                       [&](const auto& alias) { return alias.starts_with("--") && plain_name(alias) == name; });
}

/// Only what belongs to a batch, and its folder, may differ from line to line.
bool may_differ(const Setting& row) {
    return (row.write && !row.once && row.key != "latents") || row.option == "--out" || row.option == "--size";
}

/// The row that a key names. `otherwise`: of one that names what belongs to a whole run.
const Setting& row_of(const std::string& key, const StudyExperiment& experiment,
                      const std::function<std::string(const Setting&)>& otherwise) {
    const std::string name = plain_name(key);
    std::vector<std::string> names;
    for (const Setting& row : settings()) {
        if (!row.applies_to(experiment)) continue;
        if (may_differ(row)) names.push_back(plain_name(row.option));
        if (!is_named(row, name)) continue;
        if (!may_differ(row)) fail_usage(quote(key), ": ", otherwise(row));
        return row;
    }
    fail_usage(quote(key), ": is no setting of `diffapple ", experiment.name, "`", did_you_mean(name, names));
}

bool is_size(const Setting& row) {
    return row.option == "--size" || row.option == "--width" || row.option == "--height";
}

std::string text_of(const std::string& key, const json& value) {
    if (value.is_string()) return value.get<std::string>();
    if (value.is_number()) return value.dump();
    fail_usage(quote(key), ": takes a text, a number or a list of them");
}

/// A line's value as the texts of an option; absent for what leaves the option as it is.
std::optional<std::vector<std::string>> texts_of(const Setting& row, const std::string& key, const json& value) {
    if (value.is_null()) return std::nullopt;
    if (row.value.empty()) {
        if (!value.is_boolean()) fail_usage(quote(key), ": takes true or false");
        return value.get<bool>() ? std::vector<std::string>{"true"} : std::vector<std::string>{};
    }
    if (!value.is_array()) return std::vector<std::string>{text_of(key, value)};
    std::vector<std::string> texts;
    for (const json& element : value) texts.push_back(text_of(key, element));
    if (texts.empty()) fail_usage(quote(key), ": is an empty list");
    if (row.repeatable) return texts;
    if (row.value != "LIST") fail_usage(quote(key), ": takes one value");
    return std::vector<std::string>{join(texts, ",")};
}

}  // namespace

bool begins_as_job(const std::string& line) {
    const size_t brace = line.find_first_not_of(" \t");
    if (brace == std::string::npos || line[brace] != '{') return false;
    const size_t next = line.find_first_not_of(" \t", brace + 1);
    return next != std::string::npos && (line[next] == '"' || line[next] == '}');
}

namespace {

json parse_object(const std::string& line) {
    try {
        return parse_json(line, "it", {.depth = 4, .strict = true});
    } catch (const Error& error) {
        fail_usage("begins as a JSON object; ", error.what());
    }
}

void apply_object(const std::string& line, const StudyExperiment& experiment, Given& given) {
    const json object = parse_object(line);
    for (const auto& [key, value] : object.items()) {
        const Setting& row = row_of(key, experiment, [](const Setting& of_run) {
            return "is one for a whole run; give it as " + of_run.option;
        });
        const auto texts = texts_of(row, key, value);
        if (!texts) continue;
        given.erase(&row);
        // Another way to say it, from the command line.
        std::erase_if(given, [&](const auto& other) {
            const bool both = row.option == "--size" || other.first->option == "--size";
            return is_size(row) && is_size(*other.first) && both && !object.contains(other.first->option.substr(2));
        });
        if (!texts->empty()) given[&row] = *texts;
    }
    if (!given.contains(&prompt_row())) fail_usage("has no \"prompt\"");
}

std::vector<GivenOption> in_order(const Given& given) {
    std::vector<GivenOption> options;
    for (const Setting& row : settings())
        if (const auto found = given.find(&row); found != given.end()) options.push_back({&row, found->second});
    return options;
}

/// Every way to choose of each text one that it stands for.
std::vector<std::vector<std::string>> expand_all(const std::vector<std::string>& texts, const RunSettings& run) {
    std::vector<std::vector<std::string>> ways{{}};
    for (const std::string& text : texts) {
        const auto expanded = run.wildcards ? expand_wildcards(text, run.wildcard_folder) : std::vector{text};
        if (ways.size() > max_pictures_of_run / expanded.size())
            fail_usage("stands for more than ", max_pictures_of_run, " prompts");
        std::vector<std::vector<std::string>> longer;
        for (const auto& way : ways)
            for (const std::string& last : expanded) longer.emplace_back(way).push_back(last);
        ways = std::move(longer);
    }
    return ways;
}

}  // namespace

GivenOption read_change(const std::string& text, const StudyExperiment& experiment) {
    const size_t sign = text.find('=');
    if (sign == std::string::npos || sign == 0) fail_usage(quote(text), ": must be NAME=VALUE, as guidance=4");
    const Setting& row = row_of(text.substr(0, sign), experiment, [](const Setting& other) -> std::string {
        static const std::set<std::string> of_replay{"--model",  "--config", "--vae",
                                                     "--device", "--dtype",  "--latents"};
        if (of_replay.contains(other.option)) return "is no change of the recipe; give it as " + other.option;
        return "is nothing that a picture's recipe holds";
    });
    const std::string value = text.substr(sign + 1);
    if (row.value.empty() && value != "true") fail_usage(quote(text), ": can be set to true only");
    return {&row, {value}};
}

namespace {

/// Makes jobs of lines.
class JobReader {
public:
    JobReader(RunSettings& run, const StudyExperiment& experiment, const std::vector<GivenOption>& given)
        : run_(run), experiment_(experiment) {
        for (const GivenOption& option : given) {
            const std::string& name = option.setting->option;
            const bool of_all = name == "--prompts" || name == "--prompt" || name == "--shard" || name == "--wildcards";
            if (!of_all) given_[option.setting] = option.texts;
        }
        if (!run.drawn_seeds.empty()) given_[&setting("seed")] = {run.drawn_seeds};
    }

    void add(const PromptLine& line) {
        Given given = given_;
        if (begins_as_job(line.text))
            apply_object(line.text, experiment_, given);
        else
            given[&prompt_row()] = {line.text};
        for (const auto& prompts : expand_all(given[&prompt_row()], run_)) {
            given[&prompt_row()] = prompts;
            add_job(in_order(given), line.place);
        }
    }

private:
    void add_job(const std::vector<GivenOption>& options, const std::string& place) {
        RunSettings job = read_run(experiment_, options, digests_);
        if (!job.drawn_seeds.empty()) fail_usage("\"seed\": no seeds are drawn for a line; give numbers");
        pictures_ += static_cast<size_t>(job.batch.pictures()) * job.batch_count();
        if (pictures_ > max_pictures_of_run)
            fail_usage("with it, the run has more than ", max_pictures_of_run, " pictures");
        job.place = place;
        job.first_batch = run_.jobs.empty() ? 0 : run_.batch_count();
        run_.jobs.push_back(std::move(job));
    }

    RunSettings& run_;
    const StudyExperiment& experiment_;
    Given given_;
    FileDigests digests_;
    size_t pictures_ = 0;
};

}  // namespace

void add_jobs(RunSettings& run, const StudyExperiment& experiment, const std::vector<GivenOption>& given,
              const std::vector<PromptLine>& lines, const std::string& where) {
    if (!run.batch.latents.path.empty() || !run.save_latents.empty())
        fail_usage(where, ": --latents and --save-latents take one batch");
    run.source = where;
    run.keep_loaded = true;  // of every line, its prompts are encoded when its turn comes
    JobReader reader(run, experiment, given);
    LineProblems problems;
    for (const PromptLine& line : lines) problems.gather(line.place, [&] { reader.add(line); });
    problems.fail_if_any(where);
}

}  // namespace diffapple
