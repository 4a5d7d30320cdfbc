// Rows of the table of settings: what pictures start from.
#include <algorithm>
#include <cctype>

#include "diffapple/core/numbers.h"
#include "diffapple/core/text.h"
#include "diffapple/core/utf8.h"
#include "diffapple/io/files.h"
#include "diffapple/recipes/jobs.h"
#include "diffapple/recipes/lists.h"
#include "diffapple/recipes/output_names.h"
#include "setting_kinds.h"

namespace diffapple::rows {
namespace {

Task task_of(const BatchSettings& batch) {
    return batch.mask.given() ? Task::inpaint : batch.image.given() ? Task::image_to_image : Task::text_to_image;
}

namespace fs = std::filesystem;

enum class PictureName { readable, foreign, none };

/// What a file of a folder is by its name. Those that --image cannot read are photos of a camera or a phone, too.
PictureName kind_of_name(const fs::path& path) {
    static const std::set<std::string> readable{".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp"};
    static const std::set<std::string> foreign{".gif", ".tif", ".tiff", ".heic", ".heif", ".avif",
                                               ".jp2", ".jxl", ".psd",  ".svg",  ".dng",  ".cr2",
                                               ".cr3", ".nef", ".arw",  ".raf",  ".orf",  ".rw2"};
    const std::string ending = lower_ascii(path.extension().string());
    if (path.filename().string().starts_with('.') || path.stem().string().ends_with("_comp")) return PictureName::none;
    if (readable.contains(ending)) return PictureName::readable;
    return foreign.contains(ending) ? PictureName::foreign : PictureName::none;
}

/// Throws Error for a folder with pictures that cannot be read: its user would take all of them for done.
std::vector<fs::path> pictures_of_folder(const fs::path& folder) {
    std::vector<fs::path> found, foreign;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder, error)) {
        const PictureName kind = kind_of_name(entry.path());
        if (kind == PictureName::none || !is_file(entry.path())) continue;
        (kind == PictureName::readable ? found : foreign).push_back(entry.path());
    }
    if (error) fail("--image ", folder.string(), ": ", error.message());
    std::sort(found.begin(), found.end());
    std::erase_if(foreign, [&](const fs::path& photo) {  // a camera's raw file beside its JPEG
        return std::any_of(found.begin(), found.end(),
                           [&](const fs::path& other) { return other.stem() == photo.stem(); });
    });
    std::sort(foreign.begin(), foreign.end());
    if (!foreign.empty())
        fail("--image ", folder.string(), ": ", counted(foreign.size(), "picture"), " there, as ",
             quote(foreign.front().filename().string()),
             ", cannot be read; convert to PNG (macOS: sips -s format png "
             "FILE --out FILE.png; elsewhere: magick FILE FILE.png), or give those that can by a pattern: --image ",
             folder.string(), "/*", found.empty() ? ".png" : found.front().extension().string());
    if (found.empty()) fail("--image ", folder.string(), ": holds no PNG, JPEG, WebP or BMP files");
    return found;
}

/// The files that are meant: themselves, those of a folder, or those that a text file names, one a line.
std::vector<fs::path> find_input_pictures(const Texts& texts) {
    constexpr uintmax_t largest_list = 64 << 20;
    std::vector<fs::path> found;
    if (const std::string whole = join(texts, " "); texts.size() > 1 && is_file(whole))
        fail_usage("--image: a path with spaces needs quotation marks: --image '", whole, "'");
    for (const std::string& text : texts) {
        if (text.empty()) fail_usage("--image: the name of the file is empty");
        const fs::path place = text;
        if (is_folder(place)) {
            for (auto& file : pictures_of_folder(place)) found.push_back(std::move(file));
        } else if (place.extension() == ".txt" && is_file(place)) {
            for (const PromptLine& line : find_prompt_lines(read_file(place, largest_list), "--image " + text))
                found.emplace_back(line.text);
        } else {
            found.push_back(place);
        }
    }
    return found;
}

/// Earlier versions' names of inpainted pictures were for one picture and one mask.
void leave_out_of_older_names(Setting& row, const std::string& name, InputFile BatchSettings::*member) {
    row.older_suffix = [name, member](const BatchSettings& batch, const Circumstances& now) {
        if (now.experiment.inpaints || !(batch.*member).given()) return std::string();
        return name + "-" + digits((batch.*member).sha256);
    };
}

/// Needs a mask; what is off its default without one is a wrong call.
void require_mask(Setting& row, bool (*is_given)(const BatchSettings&)) {
    row.with_prompts = true;
    row.topic = Topic::pictures;
    row.settle = [option = row.option, is_given](BatchSettings& batch, const Circumstances&) {
        if (is_given(batch) && !batch.mask.given()) fail_usage(option, ": belongs to a mask; give --image and --mask");
    };
}

}  // namespace

void add_latents_row(std::vector<Setting>& rows) {
    Setting row = file_row({.key = "latents",
                            .option = "--latents",
                            .help = "Start noise instead of the seed's: safetensors, fp32, tensor `latents`"},
                           &BatchSettings::latents);
    row.topic = Topic::pictures;
    rows.push_back(row);
}

void add_strength_row(std::vector<Setting>& rows) {
    Setting row{.key = "strength", .option = "--strength", .help = "How far to leave the picture: 0.5,0.8; at most 1"};
    row.topic = Topic::pictures;
    row.with_prompts = true;
    row.speed = 3;
    read_as_list(row, &BatchSettings::strength,
                 [](const std::string& option, const std::string& text) { return parse_numbers(option, text, 0, 1); });
    row.settle = [](BatchSettings& batch, const Circumstances& now) {
        if (batch.strength && !batch.image.given())
            fail_usage("--strength: says how far to leave a picture; give --image");
        if (!batch.strength) batch.strength = default_strength(task_of(batch), now.traits.is_xl);
    };
    row.write = [](const BatchSettings& batch, json& recipe) {
        if (batch.strength) put(recipe, "strength", *batch.strength);
    };
    row.restore = [](const JsonFields& recipe, BatchSettings& batch) {
        const JsonFields fields = settings_of(recipe);
        if (fields.has("strength")) batch.strength = bounded_number(fields, "strength", 1, 1);
    };
    row.suffix = [](const BatchSettings& batch, const Circumstances& now) {
        return batch.strength == default_strength(task_of(batch), now.traits.is_xl)
                   ? ""
                   : "strength-" + python_float(*batch.strength);
    };
    rows.push_back(row);
}

void add_picture_rows(std::vector<Setting>& rows) {
    Setting image = file_row({.key = "image",
                              .option = "--image",
                              .help = "Pictures to start from: PNG, JPEG, WebP, BMP; a folder; a .txt file of names"},
                             &BatchSettings::image);
    image.aliases = {"-i", "--init-image", "--init-img"};
    image.value = "FILE...";
    image.repeatable = true;
    image.speed = -6;
    image.read = [](const Texts& texts, RunSettings& run) {
        run.images = find_input_pictures(texts);
        run.batch.image.path = run.images.front();
    };
    image.topic = Topic::pictures;
    image.with_prompts = true;
    image.settle = [](BatchSettings& batch, const Circumstances& now) {
        if (now.experiment.inpaints && !batch.mask.given())
            fail_usage(now.experiment.name,
                       ": needs --image FILE and --mask FILE (white is painted anew); "
                       "scripts/experiments/sd2_inpaint.sh has an example");
        if (now.traits.reads_mask && !batch.mask.given())
            fail_usage("this model was trained for inpainting: give --image FILE and --mask FILE, or another --model");
    };
    // Its own name is for people, the digits are for pictures of one name.
    image.suffix = [](const BatchSettings& batch, const Circumstances&) {
        constexpr size_t most_shown = 40;
        if (!batch.image.given()) return std::string();
        const std::string stem(cut_utf8(safe_name(valid_utf8(batch.image.path.stem().string())), most_shown));
        return concat("image-", batch.image.path.empty() ? "" : stem + "-", digits(batch.image.sha256));
    };
    leave_out_of_older_names(image, "image", &BatchSettings::image);
    rows.push_back(image);

    Setting mask =
        file_row({.key = "mask", .option = "--mask", .help = "What of it to paint anew: white"}, &BatchSettings::mask);
    mask.aliases = {"--mask-image"};
    mask.topic = Topic::pictures;
    mask.with_prompts = true;
    mask.settle = [](BatchSettings& batch, const Circumstances&) {
        if (batch.mask.given() && !batch.image.given())
            fail_usage("--mask: belongs to a picture; give it with --image");
    };
    leave_out_of_older_names(mask, "mask", &BatchSettings::mask);
    rows.push_back(mask);
}

void add_mask_rows(std::vector<Setting>& rows) {
    Setting blur = number_row({.key = "mask_blur", .option = "--mask-blur", .help = "Blur of the mask, in pixels"},
                              &BatchSettings::mask_blur, max_blur, "mask-blur");
    require_mask(blur, [](const BatchSettings& batch) { return batch.mask_blur > 0; });
    rows.push_back(blur);

    Setting crop{.key = "padding_mask_crop",
                 .option = "--padding-mask-crop",
                 .value = "N",
                 .help = "Paint only the mask's surroundings, so many pixels wide, at full size"};
    crop.read = [](const Texts& texts, RunSettings& run) {
        run.batch.padding_mask_crop = one_integer("--padding-mask-crop", texts.front(), 0, max_size);
    };
    require_mask(crop, [](const BatchSettings& batch) { return batch.padding_mask_crop.has_value(); });
    crop.write = [](const BatchSettings& batch, json& recipe) {
        if (batch.padding_mask_crop) put(recipe, "padding_mask_crop", *batch.padding_mask_crop);
    };
    crop.restore = [](const JsonFields& recipe, BatchSettings& batch) {
        const JsonFields fields = settings_of(recipe);
        if (fields.has("padding_mask_crop"))
            batch.padding_mask_crop = fields.integer("padding_mask_crop", 0, max_recipe_size);
    };
    crop.suffix = [](const BatchSettings& batch, const Circumstances&) {
        return batch.padding_mask_crop ? concat("crop-", *batch.padding_mask_crop) : "";
    };
    rows.push_back(crop);

    Setting keep{
        .key = "keep_unmasked", .option = "--keep-unmasked", .help = "Put back the very pixels outside the mask"};
    keep.read = [](const Texts&, RunSettings& run) { run.batch.keep_unmasked = true; };
    require_mask(keep, [](const BatchSettings& batch) { return batch.keep_unmasked; });
    keep.write = [](const BatchSettings& batch, json& recipe) {
        if (batch.keep_unmasked) put(recipe, "keep_unmasked", true);
    };
    keep.restore = [](const JsonFields& recipe, BatchSettings& batch) {
        batch.keep_unmasked = settings_of(recipe).boolean("keep_unmasked", false);
    };
    keep.suffix = [](const BatchSettings& batch, const Circumstances&) {
        return batch.keep_unmasked ? "keep-unmasked" : "";
    };
    rows.push_back(keep);
}

}  // namespace diffapple::rows
