// The models on this machine and those the program knows how to run; removing one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "diffapple/models/checkpoint.h"
#include "diffapple/study/study.h"

namespace diffapple {

/// A line of `diffapple models`.
struct ModelEntry {
    std::string name;
    std::string command;  ///< the command that can run it, "" where none can yet
    bool found = false;
    std::filesystem::path folder;         ///< where it was found
    uint64_t bytes = 0;                   ///< on disk where found, else of the download
    std::string licence;                  ///< from its model card, "" where that does not say
    std::string how_to_get;               ///< for a known model that is not here
    std::string download_command;         ///< the same as a command; "" where there is none
    std::vector<std::string> missing;     ///< components without their files, where it was found
    std::string note;                     ///< of a known model: that it left the Hub, and where a copy is
    std::optional<StudyFigures> figures;  ///< of a known model: the study's, not measured here
};

/// The models that the program is made for, then every other model found. A model found twice is listed twice.
std::vector<ModelEntry> list_models();

/// What removing a model would delete: its folder under models/, or the models--org--name folder of the Hub's cache.
struct Removal {
    std::string name;
    std::filesystem::path folder;  ///< or a single file
    std::filesystem::path blob;    ///< what a single file of the Hub's cache links to; empty: nothing
    uint64_t bytes = 0;
    bool is_demo = false;  ///< comes with the program and cannot be downloaded
};

/// Finds a model by the name under which list_models shows it. Throws Error when none has that name: a path is never
/// taken, so nothing outside models/ and the Hub's cache can be removed.
Removal find_removal(const std::string& name);

/// Deletes the folder, or the file and its blob. Other symbolic links are deleted, never followed. Throws Error naming
/// what could not be deleted.
void remove_model(const Removal& removal);

}  // namespace diffapple
