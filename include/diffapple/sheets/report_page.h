// Finished pictures as one page for a browser: to filter, sort, compare and chart.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "diffapple/recipes/picture_facts.h"

namespace diffapple {

/// Whether the files of these pictures are few and small enough for a page that can still be sent around.
bool fit_into_page(const std::vector<PictureFacts>& pictures);

/// The page (src/sheets/report_page/) with what is known of the pictures that have a recipe. It needs no network, and
/// its policy allows it none; it runs its own scripts alone. Pictures are data in it when `inside`, else referred to by
/// paths relative to `folder`, where the page is to lie. Everything from recipes is a stranger's text: printable
/// (core/text.h), and shown as text. Throws Error when a picture cannot be read, or they are too large to be inside.
std::string make_report_page(const std::vector<PictureFacts>& pictures, const std::filesystem::path& folder,
                             bool inside);

}  // namespace diffapple
