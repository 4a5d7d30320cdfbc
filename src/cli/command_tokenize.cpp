// `diffapple tokenize TEXT`: the ids that a model's text encoder reads, and the pieces of text that they stand for.
#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "diffapple/cli/commands.h"
#include "diffapple/cli/options.h"
#include "diffapple/cli/output.h"
#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"
#include "diffapple/core/stop.h"
#include "diffapple/models/checkpoint.h"
#include "diffapple/text/clip_tokenizer.h"

namespace diffapple {
namespace {

struct Options {
    std::optional<std::string> text;
    std::string model, tokenizer = "tokenizer", save_model;
    bool as_json = false;
};

void warn_about_loss(const ClipTokenizer& tokenizer, const std::string& text, size_t count) {
    if (count <= static_cast<size_t>(tokenizer.max_length())) return;
    print_message(concat("the model reads ", tokenizer.max_length(), " of these ", counted(count, "token"),
                         "; it would lose: ", tokenizer.encode_padded(text).lost));
}

void print_tokens(const ClipTokenizer& tokenizer, const std::string& text, bool as_json) {
    const std::vector<int64_t> ids = tokenizer.encode(text);
    if (as_json) {
        print_json(ids);
    } else {
        std::vector<std::vector<std::string>> rows{{"id", "piece"}};
        const std::vector<std::string> pieces = tokenizer.pieces(ids);
        for (size_t i = 0; i < ids.size(); ++i) rows.push_back({std::to_string(ids[i]), pieces[i]});
        print_result(format_table(rows));
    }
    warn_about_loss(tokenizer, text, ids.size());
}

void print_tokens_of_lines(const ClipTokenizer& tokenizer, bool as_json) {
    const StopNotice waiting(StopNotice::Kind::none);
    for (std::string line; std::getline(std::cin, line);) {
        check_stop();
        print_tokens(tokenizer, line, as_json);
    }
    check_stop();
}

void run(const Options& options) {
    if (!options.text && options.save_model.empty())
        fail_usage("tokenize: TEXT is missing (`diffapple tokenize --help` shows how it is called)");
    const Checkpoint checkpoint = require_checkpoint(options.model);
    const auto tokenizer = checkpoint.tokenizer(options.tokenizer).open();
    if (!options.save_model.empty()) tokenizer.save_model(options.save_model);
    if (options.text == "-") {
        print_tokens_of_lines(tokenizer, options.as_json);
    } else if (options.text) {
        print_tokens(tokenizer, *options.text, options.as_json);
    }
}

}  // namespace

void add_tokenize_command(CLI::App& app) {
    CLI::App* const command = app.add_subcommand("tokenize", "Show the token ids of a text");
    const auto options = std::make_shared<Options>();
    with_value(command->add_option("TEXT", options->text, "The text; - reads texts from stdin, one a line"), "TEXT");
    with_value(command->add_option("-m,--model", options->model, "Folder, file, name under models/ or Hub id"),
               "ID|DIR|FILE")
        ->required();
    add_choice_option(command, "--tokenizer", options->tokenizer, {"tokenizer", "tokenizer_2"},
                      "Which of the model's tokenizers (SDXL has two)")
        ->default_str(options->tokenizer);
    command->add_flag("--json", options->as_json, "One JSON array of ids a text, start and end tokens included");
    with_value(
        command->add_option("--save-model", options->save_model, "Also write the vocabulary as a SentencePiece model"),
        "FILE");
    add_examples(command, {"tokenize 'a fat cat' --model stabilityai/sdxl-turbo",
                           "tokenize - --json --model stabilityai/sdxl-turbo < texts.txt",
                           "tokenize 'a fat cat' --model stabilityai/sdxl-turbo --tokenizer tokenizer_2"});
    command->callback([options] { run(*options); });
}

}  // namespace diffapple
