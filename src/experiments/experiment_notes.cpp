// What an experiment tells its user before anything is loaded: of the model that is used, of pictures, prompts and
// noise that will surprise.
#include <algorithm>
#include <cmath>
#include <regex>

#include "diffapple/core/cuda_generator.h"
#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"
#include "diffapple/core/text.h"
#include "diffapple/experiments/experiment.h"
#include "diffapple/io/image_alpha.h"
#include "diffapple/models/single_file.h"

namespace diffapple {

namespace {

std::string name_of(const InputFile& file) {
    return file.path.filename().string();
}

std::string text_of(Size size) {
    return concat(size.width, 'x', size.height);
}

/// A size of the picture's shape with about as many pixels as the model is made for.
Size fitting_size(Size image, Size usual, int64_t factor) {
    const double scale =
        std::sqrt(static_cast<double>(usual.width * usual.height) / static_cast<double>(image.width * image.height));
    const auto side = [&](int64_t length) {
        const double wanted = static_cast<double>(length) * scale / static_cast<double>(factor);
        return std::max(std::llround(wanted), 1LL) * factor;
    };
    return {side(image.width), side(image.height)};
}

/// Nothing where the mask says what most masks say.
std::string describe_mask(const BatchSettings& batch, const Image& mask, Size image) {
    const std::string name = "--mask " + name_of(batch.mask) + ": ";
    const auto [least, most] = std::minmax_element(mask.pixels.begin(), mask.pixels.end());
    constexpr int threshold = 128;  // of the model's masks
    std::vector<std::string> notes;
    if (*most < threshold) notes.push_back("is all black, so nothing is painted anew");
    if (*least >= threshold) notes.push_back("is all white, so everything is painted anew");
    if (has_alpha(batch.mask.path)) notes.push_back("its alpha is dropped; what is painted anew is white");
    if (mask.width != image.width || mask.height != image.height)
        notes.push_back(concat("is of ", text_of({mask.width, mask.height}), ", the picture of ", text_of(image),
                               "; each is scaled to the result's size"));
    return notes.empty() ? "" : name + join(notes, "; ");
}

}  // namespace

/// Of a settled batch, whose inputs were read last.
void Experiment::note_inputs(const BatchSettings& batch) {
    const auto note = [&](const std::string& text) {
        const bool known = std::find(input_notes_.begin(), input_notes_.end(), text) != input_notes_.end();
        if (!text.empty() && !known) input_notes_.push_back(text);
    };
    const Size image = image_sizes_.at(batch.image.sha256), size = batch.size();
    const auto& traits = circumstances_.traits;
    const auto pixels = [](Size s) { return static_cast<double>(s.width) * static_cast<double>(s.height); };
    constexpr double most_squeezed = 1.05, much_larger = 2;
    const double squeeze = static_cast<double>(size.width) / static_cast<double>(size.height) *
                           static_cast<double>(image.height) / static_cast<double>(image.width);
    const std::string name = concat("--image ", name_of(batch.image), ": ");
    if (!batch.padding_mask_crop && std::max(squeeze, 1 / squeeze) > most_squeezed)
        note(concat(name, text_of(image), " is squeezed to ", text_of(size), "; --width ",
                    fitting_size(image, size, traits.size_factor).width, " alone keeps its shape"));
    if (traits.default_size && pixels(size) > much_larger * pixels(*traits.default_size))
        note(concat(name, text_of(size), " is much larger than this model is made for (", text_of(*traits.default_size),
                    "): it takes long, and may repeat what it shows; --width ",
                    fitting_size(image, *traits.default_size, traits.size_factor).width, " scales it"));
    if (inputs_->mask) note(describe_mask(batch, *inputs_->mask, image));
}

void Experiment::explain_demo(Reporter& reporter) const {
    if (!run_.batch.model.empty() || !circumstances_.is_demo) return;
    const std::string& study_model = circumstances_.experiment.model();
    reporter.note(concat(study_model, " is not on this machine, so the small demo model ", checkpoint_.name,
                         " is used; for the study's model, ", how_to_get(study_model)));
}

namespace {

/// Whether the experiment is made for models of such a form; every one with prompts takes all of them.
bool is_for(const StudyExperiment& study, const ModelTraits& traits) {
    if (study.has_prompts() != traits.has_prompts || study.is_xl() != traits.is_xl) return false;
    return traits.is_xl || study.inpaints == traits.reads_mask;
}

}  // namespace

void Experiment::explain_model(Reporter& reporter) const {
    if (checkpoint_.file && checkpoint_.folder.empty())
        if (const auto guessed = checkpoint_.file->kind().guessed; !guessed.empty())
            reporter.note(concat("--model ", checkpoint_.name, ": ", guessed));
    const StudyExperiment& study = circumstances_.experiment;
    const StudyExperiment* meant = nullptr;
    for (const StudyExperiment& other : study_experiments()) {
        const bool named = other.has_hub_id(checkpoint_.name) || other.model_folder() == checkpoint_.name;
        if (named || (!meant && is_for(other, circumstances_.traits) && !is_for(study, circumstances_.traits)))
            meant = &other;
    }
    if (!meant || meant->name == study.name) return;
    reporter.note(concat("the model ", checkpoint_.name, " is one for `diffapple ", meant->name,
                         "`; the steps, guidance ", "and sampler that were not given are those of ", study.name));
}

void Experiment::explain_unused(const std::vector<GivenOption>& given, Reporter& reporter) const {
    for (const GivenOption& option : given) {
        const Setting& row = *option.setting;
        try {
            const bool of_noise = row.key == "seed" && start_latents_ && !run_.batch.image.given();
            if (of_noise && new_scheduler(batch(0))->draws() == 0)
                reporter.note("--seed has no effect here: the noise is that of --latents, and this sampler draws none");
            if (!row.has_no_effect) continue;
            bool used = false;
            for (size_t number = 0; number < batch_count() && !used; ++number) used = !row.has_no_effect(batch(number));
            if (!used) reporter.note(concat(row.option, " has no effect here: it needs ", row.needs));
        } catch (const Error&) {
            return;  // of a batch that cannot be made, the run tells
        }
    }
}

void Experiment::explain_inputs(Reporter& reporter) const {
    for (const std::string& note : input_notes_) reporter.note(note);
}

namespace {

/// "(cat:1.3)", as web UIs write weights; "" where there is none.
std::string weight_in(const std::string& prompt) {
    static const std::regex weight(R"(\([^()]{1,100}:\s*[0-9]*\.?[0-9]+\s*\))");
    std::smatch found;
    return std::regex_search(prompt, found, weight) ? found.str() : "";
}

}  // namespace

void Experiment::explain_prompts(Reporter& reporter) const {
    for (const RunSettings* const part : run_.parts())
        for (const std::string& prompt : part->batch.prompts) {
            const std::string weight = prompt.size() < 10'000 ? weight_in(prompt) : "";
            if (weight.empty() || part->batch.prompt_syntax == PromptSyntax::weighted) continue;
            reporter.note(concat("prompts are read as plain text, as in diffusers: '", weight,
                                 "' is no weight, but punctuation and a number; --prompt-syntax weighted reads it"));
            return;
        }
}

void Experiment::explain_noise(Reporter& reporter) const {
    const BatchSettings first = batch(0);
    const int64_t numbers = c10::multiply_integers(pipeline_->latents_shape(first.pictures(), first.size()));
    if (first.generator == GeneratorKind::cuda && numbers > CudaGenerator::threads)
        reporter.note(concat("--rng cuda: these pictures' noise has ", counted(numbers, "number"), "; beyond ",
                             CudaGenerator::threads,
                             " it depends on the GPU's size, and is that of an RTX A5000 (docs/fidelity.md)"));
}

}  // namespace diffapple
