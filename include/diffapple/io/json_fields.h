// Reads fields of a JSON object with checked types and ranges; every error names the file and the key's path.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

namespace diffapple {

/// Parses a JSON file whose top level is an object. Throws Error naming the file when it is missing, larger than
/// 16 MiB, nested deeper than 64 levels or not valid JSON (with line and column).
nlohmann::json read_json_file(const std::filesystem::path& path);

/// How a text is read.
struct JsonRules {
    int depth = 64;       ///< levels of nesting
    bool strict = false;  ///< a key given twice in one object is an Error (else the last one counts), and so is
                          ///< Python's -Infinity outside of strings (else it is a text)
};

/// The same for text in memory; `where` starts the error message.
nlohmann::json parse_json(const std::string& text, const std::string& where, const JsonRules& rules = {});

/// A config without diffusers' notes (its version, where it came from), whose keys begin with _.
nlohmann::json without_notes(const nlohmann::json& config);

/// A view of one JSON object. A key that is absent or null counts as not given: the fallback is returned, or an Error
/// is thrown by the overloads without one. The object must outlive the view.
class JsonFields {
public:
    /// `where` starts every error message: "unet/config.json" gives "unet/config.json: key 'act_fn' ...".
    JsonFields(const nlohmann::json& object, std::string where);

    bool given(const std::string& key) const;  ///< present, perhaps as null
    bool has(const std::string& key) const;    ///< present and not null

    /// An integer in [minimum, maximum]; 3.0 is accepted, 3.5, true and "3" are not.
    int64_t integer(const std::string& key, int64_t minimum, int64_t maximum,
                    std::optional<int64_t> fallback = {}) const;
    /// An integer from 0 to 2^64 - 1. Throws when not given.
    uint64_t unsigned_integer(const std::string& key) const;
    /// A finite number.
    double number(const std::string& key, std::optional<double> fallback = {}) const;
    /// Where there is a fallback, null is false, as None is to Python's programs, and not the fallback.
    bool boolean(const std::string& key, std::optional<bool> fallback = {}) const;
    std::string text(const std::string& key, std::optional<std::string> fallback = {}) const;
    /// One of `choices`; the error lists them.
    std::string choice(const std::string& key, const std::vector<std::string>& choices,
                       std::optional<std::string> fallback = {}) const;
    std::vector<int64_t> integers(const std::string& key, int64_t minimum, int64_t maximum,
                                  std::optional<std::vector<int64_t>> fallback = {}) const;
    std::vector<double> numbers(const std::string& key, std::optional<std::vector<double>> fallback = {}) const;
    std::vector<std::string> texts(const std::string& key, std::optional<std::vector<std::string>> fallback = {}) const;
    /// The raw value; throws when not given.
    const nlohmann::json& value(const std::string& key) const;
    /// A nested object as fields of its own, with its path in the errors.
    JsonFields object(const std::string& key) const;

    const std::string& where() const { return where_; }
    /// Throws Error "<where>: key '<key>' <problem>".
    [[noreturn]] void reject(const std::string& key, const std::string& problem) const;

private:
    JsonFields(const nlohmann::json& object, std::string where, std::string prefix);

    const nlohmann::json* find(const std::string& key) const;  ///< null pointer when not given
    [[noreturn]] void reject_value(const std::string& key, const std::string& wanted, const nlohmann::json& got) const;
    int64_t to_integer(const std::string& key, const nlohmann::json& value, int64_t minimum, int64_t maximum) const;
    double to_number(const std::string& key, const nlohmann::json& value) const;
    std::string to_text(const std::string& key, const nlohmann::json& value) const;
    template <typename Convert>
    auto to_list(const std::string& key, const std::string& wanted, Convert convert) const;

    const nlohmann::json* object_;
    std::string where_;
    std::string prefix_;  ///< path of this object inside the file, "" or "outer.inner."
};

}  // namespace diffapple
