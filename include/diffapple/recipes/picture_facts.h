// What finished pictures say about themselves, as short texts that can be compared and shown.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "diffapple/recipes/recipe.h"

namespace diffapple {

/// A picture file without its pixels.
struct PictureFacts {
    std::filesystem::path path;
    std::string id;  ///< the recipe's; of a picture without one, 16 hex digits of the file's sha256
    int64_t width = 0, height = 0;
    std::optional<Recipe> recipe;
    bool of_other_program = false;  ///< the recipe is what another program's text says, as far as names are the same
    bool is_sheet = false;          ///< a contact sheet of other pictures
};

/// Reads them from a PNG, JPEG or WebP file; from other kinds of picture there is no recipe. Throws Error for what is
/// no picture, is damaged, or has a recipe that cannot be trusted.
PictureFacts read_picture_facts(const std::filesystem::path& path);

/// The files of a mixed list that could be read, in its order, without contact sheets, and why others could not.
struct PictureList {
    std::vector<PictureFacts> pictures;
    std::vector<std::string> problems;  ///< one line each, naming the file
    size_t sheets = 0;                  ///< left out
};
PictureList read_picture_list(const std::vector<std::filesystem::path>& files);

/// Settings of a picture by their names in labels: "seed", "steps", "guidance", "prompt", "negative prompt", "size"
/// (512x768), "scheduler", "model", "device", "dtype" ("fp16", or "unet fp16, vae fp32" where components differ),
/// "picture" (its number among those of its prompt and seed, from 0) and whatever else the recipe's settings hold; also
/// "weights", "configs" and "scheduler KEY". A sha256 is cut to 8 digits, floats are written as Python does.
std::map<std::string, std::string> setting_texts(const Recipe& recipe);

/// The order of labels: below 0 for what changes slowly in a sweep (prompts and models before others), above 0 for what
/// changes fast (the seed last), as the table of settings has it.
int label_speed(const std::string& label);

/// Settings that follow from others in a normal sweep, so that a reader need not see them: digests, the scheduler's
/// config, the place in a batch.
bool is_derived_setting(const std::string& name);

/// Settings whose values are digests of files: they tell pictures apart, and tell people nothing.
bool is_digest_setting(const std::string& name);

}  // namespace diffapple
