// A table of finished pictures: the settings in which they differ, and what their making took.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "diffapple/recipes/picture_facts.h"

namespace diffapple {

/// One row for each picture that has a recipe, in the order of the settings. Absent values are "".
struct Report {
    std::string shared;  ///< settings that all pictures have in common
    std::vector<std::string> header;
    std::vector<bool> for_people;  ///< of the columns; others are ids and digests, for programs
    std::vector<std::vector<std::string>> rows;
    std::vector<std::filesystem::path> files;  ///< of the rows
    std::vector<nlohmann::json> objects;       ///< of the rows: path, id, all settings, and `known` of the recipe
    size_t without_recipe = 0;
};

/// Columns: the settings that vary, then seconds, it/s, peak memory and device model where any picture knows them, then
/// id and file.
Report make_report(const std::vector<PictureFacts>& pictures);

/// The name of its experiment as its recipe has it; "" without.
std::string experiment_of(const PictureFacts& picture);

/// The pictures with recipes of each experiment, in the order in which they first appear.
std::vector<std::vector<PictureFacts>> by_experiment(const std::vector<PictureFacts>& pictures);

/// Every picture (*.png, *.jpg, *.webp) below a folder, in the order of their paths, but not comparisons (*_comp.*),
/// which show their picture once more; a name of something else stands for itself. Each file once, also where places
/// overlap.
std::vector<std::filesystem::path> find_pictures(const std::vector<std::filesystem::path>& places);

/// As a CSV file (core/csv.h), with the header first.
std::string to_csv(const Report& report);

}  // namespace diffapple
