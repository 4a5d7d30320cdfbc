#include "diffapple/sheets/contact_sheet.h"

#include <algorithm>
#include <set>

#include "diffapple/core/error.h"
#include "diffapple/core/numbers.h"
#include "diffapple/io/files.h"
#include "diffapple/io/sha256.h"
#include "diffapple/recipes/picture_facts.h"
#include "diffapple/recipes/picture_file.h"
#include "diffapple/sheets/picture_filter.h"

namespace diffapple {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr size_t max_columns = 12;
constexpr size_t id_digits = 16;

std::string sheet_id(const std::vector<PictureFacts>& pictures) {
    std::vector<std::string> ids;
    for (const auto& picture : pictures) ids.push_back(picture.id);
    std::sort(ids.begin(), ids.end());
    std::string text;
    for (const auto& id : ids) text += id + "\n";
    return sha256(text).substr(0, id_digits);
}

/// The deepest folder that all files are in.
fs::path common_folder(const std::vector<PictureFacts>& pictures) {
    fs::path common = pictures.front().path.parent_path();
    for (const auto& picture : pictures) {
        const fs::path folder = picture.path.parent_path();
        const auto [end, unused] = std::mismatch(common.begin(), common.end(), folder.begin(), folder.end());
        fs::path shared;
        for (auto part = common.begin(); part != end; ++part) shared /= *part;
        common = shared;
    }
    return common;
}

fs::path sheet_path(const SheetOptions& options, const std::vector<PictureFacts>& pictures, const std::string& id) {
    if (!options.out.empty()) return options.out;
    return (options.folder.empty() ? common_folder(pictures) : options.folder) / ("sheet_" + id + ".png");
}

/// A sheet is made from pictures that are there, so it may be replaced; nothing else may.
void check_replaceable(const fs::path& path, bool force) {
    if (force || !is_there(path)) return;
    bool is_sheet = false;
    try {
        is_sheet = is_contact_sheet(read_png_info(path));
    } catch (const Error&) {  // no PNG
    }
    if (!is_sheet) fail(path.string(), ": exists and is no contact sheet; use --force to replace it, or another --out");
}

/// File names, with as many of their folders as tell them apart.
std::vector<std::string> short_names(const std::vector<PictureFacts>& pictures) {
    std::vector<std::string> names;
    for (size_t folders = 0;; ++folders) {
        names.clear();
        bool whole = true;
        for (const auto& picture : pictures) {
            fs::path name = picture.path.filename(), folder = picture.path.parent_path();
            for (size_t i = 0; i < folders && folder.has_filename(); ++i, folder = folder.parent_path())
                name = folder.filename() / name;
            whole = whole && !folder.has_filename();
            names.push_back(name.string());
        }
        const std::set<std::string> different(names.begin(), names.end());
        if (whole || different.size() == names.size()) return names;
    }
}

SheetPlan make_plan(const std::vector<PictureFacts>& pictures, const SheetOptions& options) {
    std::vector<SheetPicture> described;
    const auto names = short_names(pictures);
    for (size_t i = 0; i < pictures.size(); ++i)
        described.push_back(
            {.settings = pictures[i].recipe ? setting_texts(*pictures[i].recipe) : decltype(SheetPicture::settings)(),
             .file = names[i]});
    return plan_sheet(described, options.rows, options.columns, max_columns);
}

int64_t longer_side(Size size) {
    return std::max(size.width, size.height);
}

Size scaled_to(Size size, int64_t longer) {
    const auto scaled = [&](int64_t side) { return std::max<int64_t>(1, side * longer / longer_side(size)); };
    return {scaled(size.width), scaled(size.height)};
}

Size largest_picture(const std::vector<PictureFacts>& pictures) {
    Size size;
    for (const auto& picture : pictures)
        size = {std::max(size.width, picture.width), std::max(size.height, picture.height)};
    return size;
}

/// Draws with cells of the size that was asked for, or the largest that the sheet has room for.
Image draw_within_limits(const SheetPlan& plan, const std::vector<PictureFacts>& pictures, const SheetOptions& options,
                         const PictureSource& source, std::vector<std::string>& notes) {
    const Size largest = largest_picture(pictures);
    const int64_t wanted = options.cell.value_or(std::min(longer_side(largest), largest_image_side));
    for (int64_t cell = wanted; cell >= std::min(wanted, smallest_cell); cell = cell * 9 / 10) {
        auto sheet = draw_sheet(plan, scaled_to(largest, cell), options.cell.has_value(), source);
        if (!sheet) continue;
        if (cell < wanted)
            notes.push_back(concat("pictures are reduced to ", cell, " of ", wanted,
                                   " pixels, so that the sheet has at most ", largest_sheet / 1'000'000,
                                   " megapixels"));
        return std::move(*sheet);
    }
    fail(counted(pictures.size(), "picture"), " in ", counted(plan.rows, "row"), " and ",
         counted(plan.columns, "column"), " are too many for one contact sheet; make several");
}

json ids_of(const std::vector<PictureFacts>& pictures) {
    json ids = json::array();
    for (const auto& picture : pictures)
        ids.push_back({{"id", picture.id}, {"file", picture.path.filename().string()}});
    return ids;
}

void check_all_are_readable(const WrittenSheet& sheet, const SheetOptions& options) {
    if (options.all && !sheet.problems.empty()) fail(sheet.problems[0]);
}

}  // namespace

WrittenSheet write_contact_sheet(const std::vector<fs::path>& files, const SheetOptions& options) {
    if (const auto extension = options.out.extension(); !options.out.empty() && extension != ".png")
        fail_usage("--out ", options.out.string(),
                   ": a contact sheet is a PNG file, which holds what is on it; name it ", options.out.stem().string(),
                   ".png");
    PictureList list = read_picture_list(files);
    list.pictures = filter_pictures(std::move(list.pictures), options.where);
    const auto& pictures = list.pictures;
    if (pictures.empty())
        fail("no picture for a contact sheet", list.problems.empty()
                                                   ? std::string(list.sheets ? ": there are only contact sheets" : "")
                                                   : ": " + list.problems[0]);
    WrittenSheet written{.id = sheet_id(pictures), .problems = list.problems};
    check_all_are_readable(written, options);
    written.path = sheet_path(options, pictures, written.id);
    check_replaceable(written.path, options.force);
    if (options.keep_existing && is_there(written.path)) return written;
    if (list.sheets > 0)
        written.notes.push_back(
            concat(counted(list.sheets, "contact sheet"), " among the files ", is_or_are(list.sheets), " left out"));
    const PictureSource source = [&](size_t index) -> std::optional<Image> {
        try {
            Image image = read_image(pictures[index].path);
            ++written.pictures;
            return image;
        } catch (const Error& error) {
            written.problems.emplace_back(error.what());
            return std::nullopt;
        }
    };
    const SheetPlan plan = make_plan(pictures, options);
    if (!plan.note.empty()) written.notes.push_back(plan.note);
    const Image sheet = draw_within_limits(plan, pictures, options, source, written.notes);
    check_all_are_readable(written, options);
    remove_stale_temporary_files(fs::absolute(written.path).parent_path());
    write_file_atomically(written.path,
                          encode_png(sheet, {{recipe_keyword, contact_sheet_text(written.id, ids_of(pictures))}}));
    return written;
}

}  // namespace diffapple
