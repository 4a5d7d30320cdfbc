#include "diffapple/experiments/latent_experiment.h"

#include <algorithm>
#include <utility>

#include "diffapple/core/dtype.h"
#include "diffapple/core/error.h"
#include "diffapple/core/process_memory.h"
#include "diffapple/core/text.h"
#include "diffapple/experiments/latent_inputs.h"
#include "diffapple/io/sha256.h"
#include "diffapple/models/safety_checker.h"
#include "diffapple/pipelines/memory_plan.h"
#include "diffapple/pipelines/stable_diffusion.h"

namespace diffapple {

using nlohmann::json;

namespace {

/// Digest of the files that decide how a text is cut into tokens.
std::string tokenizer_sha256(const std::filesystem::path& folder) {
    std::string digests;
    for (const char* const name :
         {"vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"})
        if (std::filesystem::is_regular_file(folder / name))
            digests += std::string(name) + ' ' + sha256_of_file(folder / name) + '\n';
    return sha256(digests);
}

class LatentExperiment final : public Experiment {
public:
    LatentExperiment(const StudyExperiment& kind, const RunSettings& settings)
        : context_(open_run(kind, settings)),
          model_(context_.checkpoint, StableDiffusionConfig::read(context_.checkpoint),
                 {context_.placement.device, context_.placement.dtype, settings.weights}),
          inputs_(kind, settings, model_.config()) {
        if (const auto strength = inputs_.default_strength(); strength && settings.strengths.empty())
            context_.settings.strengths = {*strength};
        if (!model_.config().is_xl() && (settings.prompt_2 || settings.negative_prompt_2))
            fail_usage("--prompt-2 and --negative-prompt-2: this model has one text encoder");
        if (settings.safety == true && model_.config().safety_checker.empty())
            fail_usage("--safety on: this model has no safety checker");
        check_clip_skip();
        choose_size();
        sizes_ = size_conditioning();
        identify_components();
        read_start_latents(context_, latents_shape());
        make_memory_plan();
    }

    const RunContext& context() const override { return context_; }

    int64_t pictures_per_batch() const override {
        return static_cast<int64_t>(context_.settings.prompts.size()) * context_.settings.batch_size;
    }

    void set_prompts(std::vector<std::string> prompts) override { context_.settings.prompts = std::move(prompts); }

    void check(const BatchSettings& batch) const override { context_.new_scheduler(batch); }

    Recipe recipe(const BatchSettings& batch, int64_t index) const override {
        const RunSettings& run = context_.settings;
        json settings{{"prompt", prompt_text(index)}, {"batch", run.prompts}, {"guidance", *batch.guidance}};
        if (run.prompt_2 && model_.config().is_xl()) settings["prompt_2"] = *run.prompt_2;
        if (run.clip_skip > 0) settings["clip_skip"] = run.clip_skip;
        if (run.weights == WeightStorage::int8) settings["weights"] = "int8";
        if (tiles()) settings["vae_tiling"] = true;
        if (run.eta > 0 && scheduler_reads_eta(batch.scheduler)) settings["eta"] = run.eta;
        if (batch.strength) settings["strength"] = *batch.strength;
        for (const auto& [key, pair] : size_settings()) settings[key] = pair;
        if (is_checked()) settings["safety"] = true;
        settings.update(inputs_.settings());
        if (guidance(batch).active()) {
            settings["negative_prompt"] = run.negative_prompt ? json(*run.negative_prompt) : json("");
            if (model_.config().is_xl()) {
                settings["zero_negative_prompt"] = negative_prompt().zeros;
                if (run.negative_prompt_2) settings["negative_prompt_2"] = *run.negative_prompt_2;
            }
            if (run.guidance_rescale > 0) settings["guidance_rescale"] = run.guidance_rescale;
        }
        return base_recipe(context_, batch, index, settings, dtypes());
    }

    PictureName name(const BatchSettings& batch, int64_t index) const override {
        const RunSettings& run = context_.settings;
        PictureName name = base_name(context_, batch, index);
        name.prompt_folder = prompt_text(index);
        const auto add = [&](const std::string& key, const std::string& value) {
            name.suffixes.emplace_back(key, value);
        };
        const auto digits = [](const std::string& text) { return sha256(text).substr(0, 6); };
        if (guidance(batch).active()) {
            const bool study = run.prompts == context_.kind.prompts;
            if (run.negative_prompt.value_or("") != (study ? context_.kind.negative_prompt : ""))
                add("neg", digits(run.negative_prompt.value_or("")));
            if (run.negative_prompt_2) add("neg2", digits(*run.negative_prompt_2));
            if (run.guidance_rescale > 0) add("rescale", python_float(run.guidance_rescale));
        }
        if (run.prompt_2) add("prompt2", digits(*run.prompt_2));
        if (run.clip_skip > 0) add("clip-skip", std::to_string(run.clip_skip));
        if (run.weights == WeightStorage::int8) add("weights", "int8");
        if (tiles()) add("vae-tiling", "on");
        if (run.eta > 0 && scheduler_reads_eta(batch.scheduler)) add("eta", python_float(run.eta));
        for (const auto& [key, pair] : size_settings())
            add(key == "crop_top_left" ? "crop-at" : key.substr(0, key.find('_')), concat(pair[0], 'x', pair[1]));
        if (batch.strength != inputs_.default_strength()) add("strength", python_float(*batch.strength));
        for (const auto& [key, value] : inputs_.suffixes()) add(key, value);
        if (!model_.config().safety_checker.empty() && !is_checked()) add("safety", "off");
        return name;
    }

    MadeBatch make(const BatchSettings& batch, bool last, Reporter& reporter) override {
        require_memory(reporter);
        const Keep wanted = context_.settings.keep_loaded ? Keep::all : last ? Keep::none : Keep::loop;
        model_.set_residency(std::min(wanted, plan_.keep), [&reporter](const std::string& component, double seconds) {
            reporter.detail(concat("loaded ", component, " in ", seconds, " s; resident memory is now ",
                                   resident_memory() / 1'000'000, " MB"));
        });
        encode_prompts(reporter);
        const auto scheduler = context_.new_scheduler(batch);
        NoiseSource noise(batch.seed);
        const Start start = inputs_.start(model_, latents_shape(), size(), batch.strength.value_or(1.0),
                                          context_.latents, *scheduler, noise);
        MadeBatch made{.denoised = model_.denoise(request(batch), start, *scheduler, noise,
                                                  [&](size_t done, size_t total) { reporter.turn(done, total); })};
        std::vector<Image> results = to_images(model_.decode(made.denoised.sample));
        censor(results, reporter);
        for (const Image& result : results) {
            made.images.push_back(inputs_.finish(result));
            if (auto comparison = inputs_.compare(made.images.back()))
                made.comparisons.push_back(std::move(*comparison));
        }
        return made;
    }

private:
    /// Those that are off their defaults, by their names in a recipe: [width, height] or [left, top].
    std::vector<std::pair<std::string, PixelPair>> size_settings() const {
        const RunSettings& run = context_.settings;
        const PixelPair own{context_.width, context_.height};
        std::vector<std::pair<std::string, PixelPair>> given;
        if (run.original_size.value_or(own) != own) given.emplace_back("original_size", *run.original_size);
        if (run.target_size.value_or(own) != own) given.emplace_back("target_size", *run.target_size);
        if (run.crop.value_or(PixelPair{0, 0}) != PixelPair{0, 0}) given.emplace_back("crop_top_left", *run.crop);
        return given;
    }

    /// SDXL takes the last layer but one, so that one more is left out.
    void check_clip_skip() const {
        const int64_t layers = model_.config().text_layers - (model_.config().is_xl() ? 1 : 0);
        if (context_.settings.clip_skip > layers)
            fail_usage("--clip-skip ", context_.settings.clip_skip, ": this model's text encoder has ", layers,
                       " layers to leave out");
    }

    void choose_size() {
        const PictureSize usual = inputs_.default_size();
        context_.width = context_.settings.width.value_or(usual.width);
        context_.height = context_.settings.height.value_or(usual.height);
        context_.default_size = size() == usual;
        const int64_t factor = model_.config().size_factor();
        for (const auto& [option, size] : {std::pair{"--width", context_.width}, {"--height", context_.height}})
            if (size < factor || size % factor != 0)
                fail_usage(option, ' ', size, ": this model makes sizes that are multiples of ", factor);
    }

    MemoryRequest memory_request() const {
        const auto& scales = context_.settings.guidance;
        const bool guided =
            std::any_of(scales.begin(), scales.end(), [](double scale) { return Guidance{scale}.active(); });
        const bool sweep = expand_batches(context_.settings, context_.default_scheduler()).size() > 1;
        return {.placement = model_.placement(),
                .vae_dtype = model_.vae_dtype(),
                .width = context_.width,
                .height = context_.height,
                .pictures = pictures_per_batch(),
                .guided = guided,
                .encodes_picture = inputs_.task() != LatentTask::text_to_image,
                .keep = context_.settings.keep_loaded ? Keep::all
                        : sweep                       ? Keep::loop
                                                      : Keep::none};
    }

    void make_memory_plan() {
        const auto& tiling = context_.settings.vae_tiling;
        const auto wanted = tiling ? std::optional(*tiling ? Tiling::on : Tiling::off) : std::nullopt;
        sizes_of_components_ = MemorySizes::read(context_.checkpoint, model_.config(), model_.placement());
        plan_ = plan_memory(sizes_of_components_, model_.config(), memory_request(), wanted,
                            free_memory(context_.placement.device));
        model_.set_tiling(plan_.tiling);
    }

    /// Throws Error, before anything is loaded, when the run cannot fit.
    void require_memory(Reporter& reporter) {
        if (std::exchange(plan_checked_, true)) return;
        reporter.detail(plan_.describe());
        if (plan_.fits()) return;
        const auto advice = advise(sizes_of_components_, model_.config(), memory_request(), plan_.free);
        fail("this run does not fit into memory: ", plan_.describe(),
             advice.empty() ? "; close other programs, or use a machine with more memory" : "; this would fit: ",
             advice);
    }

    /// Whether the VAE's tiles change the pictures: smaller ones are one tile.
    bool tiles() const {
        const int64_t tile = model_.config().vae.sample_size;
        return plan_.tiling == Tiling::on && std::max(context_.width, context_.height) > tile;
    }

    /// As diffusers: the picture's own size where nothing else is asked for.
    std::optional<SizeConditioning> size_conditioning() const {
        const RunSettings& run = context_.settings;
        if (!model_.config().is_xl()) {
            if (run.original_size || run.target_size || run.crop)
                fail_usage(
                    "--original-size, --target-size and --crop: this model has no conditioning on sizes (SDXL has)");
            return std::nullopt;
        }
        const auto rows_first = [](const PixelPair& pair) { return std::pair{pair[1], pair[0]}; };
        const PixelPair own{context_.width, context_.height};
        return SizeConditioning{.original = rows_first(run.original_size.value_or(own)),
                                .crop = rows_first(run.crop.value_or(PixelPair{0, 0})),
                                .target = rows_first(run.target_size.value_or(own))};
    }

    void identify_components() {
        const bool half = context_.placement.dtype == at::kHalf;
        std::vector<std::string> names{"unet", "vae"};
        for (const auto& text_encoder : model_.config().text_encoders) {
            names.push_back(text_encoder);
            const std::string tokenizer = tokenizer_of(text_encoder);
            context_.configs_sha256[tokenizer] = tokenizer_sha256(context_.checkpoint.folder / tokenizer);
        }
        if (is_checked()) names.push_back(model_.config().safety_checker);
        for (const auto& name : names) identify(context_, context_.checkpoint.component(name), half);
    }

    bool is_checked() const {
        return context_.settings.safety.value_or(true) && !model_.config().safety_checker.empty();
    }

    void censor(std::vector<Image>& pictures, Reporter& reporter) {
        if (!is_checked()) return;
        if (!safety_checker_) safety_checker_.emplace(context_.checkpoint, context_.placement);
        const auto flagged = safety_checker_->censor(pictures);
        const auto count = std::count(flagged.begin(), flagged.end(), true);
        if (count > 0)
            reporter.note(concat("The model's safety checker has made ", count, " of ", flagged.size(),
                                 " pictures black; --safety off leaves it out."));
    }

    std::vector<int64_t> latents_shape() const {
        const int64_t factor = model_.config().vae_scale_factor();
        return {pictures_per_batch(), model_.config().vae.latent_channels, context_.height / factor,
                context_.width / factor};
    }

    PictureSize size() const { return {context_.width, context_.height}; }

    json dtypes() const {
        json dtypes{{"unet", dtype_name(context_.placement.dtype)}, {"vae", dtype_name(model_.vae_dtype())}};
        for (const auto& name : model_.config().text_encoders) dtypes[name] = dtype_name(context_.placement.dtype);
        return dtypes;
    }

    /// Pictures of one prompt stand together, as with diffusers' num_images_per_prompt.
    const std::string& prompt_text(int64_t index) const {
        return context_.settings.prompts[static_cast<size_t>(index / context_.settings.batch_size)];
    }

    Guidance guidance(const BatchSettings& batch) const {
        return {.scale = *batch.guidance, .rescale = context_.settings.guidance_rescale};
    }

    Prompt prompt(int64_t index) const {
        const RunSettings& run = context_.settings;
        const std::string& text = prompt_text(index);
        return {.text = text, .text_2 = or_first(run.prompt_2, text), .clip_skip = run.clip_skip};
    }

    /// diffusers applies clip_skip to positive prompts only.
    Prompt negative_prompt() const {
        const RunSettings& run = context_.settings;
        const std::string text = run.negative_prompt.value_or("");
        const bool zeros =
            model_.config().is_xl() && !run.negative_prompt && model_.config().force_zeros_for_empty_prompt;
        return {.text = text, .text_2 = or_first(run.negative_prompt_2, text), .zeros = zeros};
    }

    /// The second encoder's text: its own, or where that is absent or empty, the first one's.
    std::string or_first(const std::optional<std::string>& second, const std::string& first) const {
        if (!model_.config().is_xl()) return "";
        return second && !second->empty() ? *second : first;
    }

    void encode_prompts(Reporter& reporter) {
        std::vector<Prompt> prompts;
        for (int64_t index = 0; index < pictures_per_batch(); ++index) prompts.push_back(prompt(index));
        const auto& scales = context_.settings.guidance;
        if (std::any_of(scales.begin(), scales.end(), [](double scale) { return Guidance{scale}.active(); }))
            prompts.push_back(negative_prompt());
        model_.encode(prompts, [&](const std::string& lost) {
            constexpr size_t most_shown = 300;  // a pasted book is no message
            reporter.note("The text encoder reads 77 tokens; this end of the prompt is left out: " +
                          shorten(lost, most_shown));
        });
    }

    StableDiffusion::Request request(const BatchSettings& batch) const {
        StableDiffusion::Request request{.negative_prompt = negative_prompt(), .guidance = guidance(batch)};
        for (int64_t index = 0; index < pictures_per_batch(); ++index) request.prompts.push_back(prompt(index));
        request.sizes = sizes_;
        return request;
    }

    RunContext context_;
    StableDiffusion model_;
    LatentInputs inputs_;
    std::optional<SafetyChecker> safety_checker_;
    std::optional<SizeConditioning> sizes_;
    MemorySizes sizes_of_components_;
    MemoryPlan plan_;
    bool plan_checked_ = false;
};

}  // namespace

std::unique_ptr<Experiment> open_latent_experiment(const StudyExperiment& kind, const RunSettings& settings) {
    return std::make_unique<LatentExperiment>(kind, settings);
}

}  // namespace diffapple
