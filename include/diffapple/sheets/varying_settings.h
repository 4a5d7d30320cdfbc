// In which settings pictures differ: the axes of a contact sheet, the columns of a report.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

namespace diffapple {

/// A setting, or several that always change together ("device, dtype"), over a list of pictures.
struct Axis {
    std::string name;
    std::vector<std::string> values;  ///< each once: numbers (and 64x64) by size, texts in the order of the pictures
    std::vector<size_t> value_of;     ///< for each picture, the place of its value in `values`

    bool is_text() const;  ///< has values that are sentences rather than words
};

/// A setting's name in labels, as a user may write it: "negative_prompt" is "negative prompt".
std::string setting_called(std::string name);

/// The axis of one setting; pictures that lack it have the value "-".
Axis make_axis(const std::string& name, const std::vector<std::map<std::string, std::string>>& pictures);

/// All settings in which the pictures (as setting_texts gives them) differ, the slowest of a sweep first: prompts and
/// models before schedulers, these before steps and guidance, the seed last. Derived settings are left out where the
/// others tell them, and so are those that do not apply where they are absent (a negative prompt without guidance).
/// Pictures that no setting tells apart are numbered by a last axis "copy".
std::vector<Axis> varying_settings(const std::vector<std::map<std::string, std::string>>& pictures);

/// Every setting that any of the pictures has, in the same order.
std::vector<Axis> all_settings(const std::vector<std::map<std::string, std::string>>& pictures);

/// The pictures' places, sorted by the values of the axes: the first axis changes slowest.
std::vector<size_t> in_order_of(const std::vector<Axis>& axes, size_t pictures);

/// The settings that all pictures share, without derived ones, as "model x, steps 4, seed 0".
std::string shared_settings(const std::vector<std::map<std::string, std::string>>& pictures);

}  // namespace diffapple
