// Rows of the table of settings: what a prompt is, and how it is read.
#include "diffapple/core/numbers.h"
#include "diffapple/core/utf8.h"
#include "diffapple/io/sha256.h"
#include "setting_kinds.h"

namespace diffapple::rows {
namespace {

void needs_guidance(Setting& row) {
    row.has_no_effect = [](const BatchSettings& batch) { return !batch.is_guided(); };
    row.needs = "--guidance over 1";
}

/// What only a guided batch has.
void settle_with_guidance(Setting& row, std::function<void(BatchSettings&)> take_away) {
    row.settle = [inner = row.settle, take_away](BatchSettings& batch, const Circumstances& now) {
        if (inner) inner(batch, now);
        if (!batch.is_guided()) take_away(batch);
    };
    needs_guidance(row);
}

/// A text of SDXL's second encoder.
void require_second_encoder(Setting& row, std::optional<std::string> BatchSettings::*member) {
    row.settle = [option = row.option, member](BatchSettings& batch, const Circumstances& now) {
        if (batch.*member && !now.traits.is_xl) fail_usage(option, ": this model has one text encoder");
    };
}

/// Where weights are read, every text of a batch must be one that can be.
void require_weighted_texts(const BatchSettings& batch) {
    if (batch.prompt_syntax == PromptSyntax::plain) return;
    for (const auto& prompt : batch.prompts) parse_weighted_prompt(prompt);
    for (const auto& text : {batch.negative_prompt, batch.prompt_2, batch.negative_prompt_2})
        if (text) parse_weighted_prompt(*text);
}

Setting prompt_syntax_row() {
    Setting row = two_choice_row<PromptSyntax>({.key = "prompt_syntax",
                                                .option = "--prompt-syntax",
                                                .help = "weighted: (cat:1.3), [dog], BREAK, and prompts of any length"},
                                               &BatchSettings::prompt_syntax, {"plain", PromptSyntax::plain},
                                               {"weighted", PromptSyntax::weighted}, "syntax");
    row.topic = Topic::prompts;
    row.with_prompts = true;
    row.read = [read = row.read](const Texts& texts, RunSettings& run) {
        read(texts, run);
        require_weighted_texts(run.batch);  // which stand before this row: so bad lines of a file are named together
    };
    row.settle = [](BatchSettings& batch, const Circumstances&) { require_weighted_texts(batch); };
    return row;
}

}  // namespace

void add_prompt_row(std::vector<Setting>& rows) {
    Setting prompt{.key = "batch", .option = "--prompt", .value = "TEXT", .help = "What to show; may be repeated"};
    prompt.aliases = {"-p"};
    prompt.topic = Topic::prompts;
    prompt.with_prompts = prompt.repeatable = true;
    prompt.in_name = false;  // its own prompt is, those of the other pictures are not
    prompt.usual = [](const auto&) { return "the study's prompts"; };
    prompt.read = [](const Texts& texts, RunSettings& run) {
        for (const auto& text : texts) run.batch.prompts.push_back(valid_utf8(text));
    };
    prompt.write = [](const BatchSettings& batch, json& recipe) {
        if (!batch.prompts.empty()) put(recipe, "batch", batch.prompts);
    };
    prompt.restore = [](const JsonFields& recipe, BatchSettings& batch) {
        const JsonFields fields = settings_of(recipe);
        batch.prompts = fields.texts("batch");
        if (batch.prompts.empty() || batch.prompts.size() > static_cast<size_t>(max_recipe_pictures))
            fields.reject("batch", concat("must make 1 to ", max_recipe_pictures, " pictures"));
        for (const auto& text : batch.prompts)
            if (text.size() > max_recipe_text)
                fields.reject("batch", concat("has a text longer than ", max_recipe_text, " bytes"));
    };
    rows.push_back(prompt);
}

void add_negative_prompt_row(std::vector<Setting>& rows) {
    Setting negative = text_row({.key = "negative_prompt", .option = "--negative-prompt", .help = "What not to show"},
                                &BatchSettings::negative_prompt, "neg");
    negative.aliases = {"-n", "--negative"};
    needs_guidance(negative);
    negative.speed = -8;
    negative.usual = [](const auto&) { return "of the study's prompts: the study's; else empty"; };
    negative.settle = [](BatchSettings& batch, const Circumstances& now) {
        if (!batch.is_guided()) batch.negative_prompt.reset();
        // None at all is an empty text, except where it is an embedding of zeros (SDXL).
        else if (!batch.negative_prompt && !now.traits.zeros_for_no_prompt)
            batch.negative_prompt = "";
    };
    negative.write = [](const BatchSettings& batch, json& recipe) {
        if (!batch.is_guided()) return;
        put(recipe, "negative_prompt", batch.negative_prompt.value_or(""));
        if (!batch.negative_prompt) put(recipe, "zero_negative_prompt", true);
    };
    negative.restore = [](const JsonFields& recipe, BatchSettings& batch) {
        const JsonFields fields = settings_of(recipe);
        if (fields.has("negative_prompt") && !fields.boolean("zero_negative_prompt", false))
            batch.negative_prompt = bounded_text(fields, "negative_prompt");
    };
    negative.suffix = [](const BatchSettings& batch, const Circumstances& now) {
        if (!batch.negative_prompt) return std::string();  // no guidance, or zeros, where nothing was given
        const bool study = batch.prompts == now.experiment.prompts;
        const bool usual = *batch.negative_prompt == (study ? now.experiment.negative_prompt : "") &&
                           (study || !now.traits.zeros_for_no_prompt);
        return usual ? "" : "neg-" + digits(sha256(*batch.negative_prompt));
    };
    rows.push_back(negative);
}

void add_guidance_rows(std::vector<Setting>& rows) {
    Setting negative_2 = text_row(
        {.key = "negative_prompt_2", .option = "--negative-prompt-2", .help = "For the second text encoder (SDXL)"},
        &BatchSettings::negative_prompt_2, "neg2");
    negative_2.only_xl = true;
    negative_2.speed = -7;
    negative_2.usual = [](const auto&) { return "--negative-prompt"; };
    require_second_encoder(negative_2, &BatchSettings::negative_prompt_2);
    settle_with_guidance(negative_2, [](BatchSettings& batch) { batch.negative_prompt_2.reset(); });
    rows.push_back(negative_2);

    Setting rescale = number_row({.key = "guidance_rescale",
                                  .option = "--guidance-rescale",
                                  .help = "Rescaling of guidance, 0 to 1",
                                  .with_prompts = true},
                                 &BatchSettings::guidance_rescale, 1, "rescale");
    settle_with_guidance(rescale, [](BatchSettings& batch) { batch.guidance_rescale = 0; });
    rows.push_back(rescale);
}

void add_text_encoder_rows(std::vector<Setting>& rows) {
    Setting prompt_2 =
        text_row({.key = "prompt_2", .option = "--prompt-2", .help = "For the second text encoder (SDXL)"},
                 &BatchSettings::prompt_2, "prompt2");
    prompt_2.only_xl = true;
    prompt_2.speed = -9;
    prompt_2.usual = [](const auto&) { return "--prompt"; };
    require_second_encoder(prompt_2, &BatchSettings::prompt_2);
    rows.push_back(prompt_2);

    Setting skip{.key = "clip_skip",
                 .option = "--clip-skip",
                 .value = "N",
                 .help = "Last layers of the text encoder to leave out"};
    skip.topic = Topic::prompts;
    skip.with_prompts = true;
    skip.usual = [](const auto&) { return "0"; };
    skip.read = [](const Texts& texts, RunSettings& run) {
        run.batch.clip_skip = one_integer("--clip-skip", texts.front(), 0, max_clip_skip);
    };
    skip.settle = [](BatchSettings& batch, const Circumstances& now) {
        if (batch.clip_skip > now.traits.skippable_text_layers)
            fail_usage("--clip-skip ", batch.clip_skip, ": this model's text encoder has ",
                       counted(now.traits.skippable_text_layers, "layer"), " to leave out");
    };
    skip.write = [](const BatchSettings& batch, json& recipe) {
        if (batch.clip_skip > 0) put(recipe, "clip_skip", batch.clip_skip);
    };
    skip.restore = [](const JsonFields& recipe, BatchSettings& batch) {
        batch.clip_skip = settings_of(recipe).integer("clip_skip", 0, max_clip_skip, 0);
    };
    skip.suffix = [](const BatchSettings& batch, const Circumstances&) {
        return batch.clip_skip > 0 ? concat("clip-skip-", batch.clip_skip) : "";
    };
    rows.push_back(skip);
    rows.push_back(prompt_syntax_row());
}

}  // namespace diffapple::rows
