#include "diffapple/text/weighted_prompt.h"

#include <cctype>
#include <cstdlib>
#include <optional>
#include <string_view>

#include "diffapple/core/error.h"
#include "diffapple/core/text.h"
#include "diffapple/core/utf8.h"

namespace diffapple {
namespace {

constexpr double bracket_weight = 1.1;

/// Part of a word: bytes of characters beyond ASCII are.
bool is_of_word(char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte >= 0x80 || std::isalnum(byte) != 0 || c == '_';
}

constexpr std::string_view blanks = " \t\r\n\f\v";

/// Reads a prompt from its beginning to its end.
class WeightedPromptReader {
public:
    explicit WeightedPromptReader(const std::string& prompt) : prompt_(prompt) {}

    std::vector<WeightedPart> read() {
        refuse_networks();
        for (at_ = 0; at_ < prompt_.size(); ++at_) read_character();
        if (!open_.empty()) reject(open_.back().at, "is not closed");
        add_text();
        return merged();
    }

private:
    /// A bracket that is not closed yet.
    struct Bracket {
        size_t at;
        size_t first_text;                 ///< the first of texts_ in it
        std::optional<size_t> colon = {};  ///< the last one directly in it
        bool has_bar = false;
    };
    struct Text {
        std::string text;
        double weight;
        size_t part;
    };

    [[noreturn]] void reject(size_t at, const std::string& problem) const {
        constexpr size_t most_shown = 40;
        const char bracket = prompt_[at];
        fail_usage("--prompt-syntax weighted: in '", shorten(prompt_, most_shown), "' the '", bracket,
                   "' at character ", count_characters(prompt_.substr(0, at)) + 1, ' ', problem, "; write \\", bracket,
                   " for a bracket that is meant");
    }

    void refuse_networks() const {
        for (const char* const network : {"<lora:", "<lyco:", "<hypernet:"})
            if (const size_t at = prompt_.find(network); at != std::string::npos)
                fail_usage("--prompt-syntax weighted: ", shorten(prompt_.substr(at), 40),
                           ": such networks are not supported; leave it out");
    }

    void read_character() {
        switch (const char c = prompt_[at_]; c) {
            case '\\':  // alone it is nothing, as there
                if (at_ + 1 < prompt_.size() && std::string_view("()[]\\").find(prompt_[at_ + 1]) != std::string::npos)
                    text_ += prompt_[++at_];
                break;
            case '(':
            case '[':
                add_text();
                open_.push_back({.at = at_, .first_text = texts_.size()});
                break;
            case ')':
            case ']':
                close(c);
                break;
            default:
                if (!open_.empty() && c == ':') open_.back().colon = at_;
                if (!open_.empty() && c == '|') open_.back().has_bar = true;
                text_ += c;
        }
    }

    void close(char bracket) {
        const char opening = bracket == ')' ? '(' : '[';
        if (open_.empty() || prompt_[open_.back().at] != opening) reject(at_, "closes nothing");
        const Bracket closed = open_.back();
        const std::optional<double> number = number_of(closed);
        if (bracket == ']' && (number || closed.has_bar))
            reject(closed.at, "begins a prompt that changes while sampling ([a:b:0.5], [a|b]), which is not supported");
        if (number) text_.resize(text_.size() - (at_ - *closed.colon));
        add_text();
        open_.pop_back();
        const double factor = number ? *number : bracket == ')' ? bracket_weight : 1 / bracket_weight;
        for (size_t i = closed.first_text; i < texts_.size(); ++i) {
            texts_[i].weight *= factor;
            if (texts_[i].weight > max_prompt_weight)
                reject(closed.at, concat("makes a weight of more than ", max_prompt_weight));
        }
    }

    /// What stands between the bracket's last colon and here, where it is a number. What begins like one and is none
    /// would be read as words, which nobody means.
    std::optional<double> number_of(const Bracket& bracket) const {
        if (!bracket.colon) return std::nullopt;
        const std::string_view all = prompt_;
        const std::string_view text = trimmed(all.substr(*bracket.colon + 1, at_ - *bracket.colon - 1), blanks);
        if (text.empty() || std::string_view("+-.0123456789").find(text[0]) == std::string_view::npos)
            return std::nullopt;
        if (text.find_first_not_of("+-.,0123456789") != std::string_view::npos) return std::nullopt;  // ":3d model"
        const std::string digits(text);
        char* end = nullptr;  // std::from_chars of a double is missing in older versions of Apple's library
        const double number = std::strtod(digits.c_str(), &end);
        if (*end != '\0' || number < 0 || number > max_prompt_weight)
            reject(bracket.at, concat("has the weight '", text, "', which is no number from 0 to ", max_prompt_weight));
        return number;
    }

    /// What was read since the last bracket; BREAK ends parts.
    void add_text() {
        std::string_view rest = text_;
        for (size_t from = 0; (from = rest.find("BREAK", from)) != std::string_view::npos;) {
            constexpr size_t length = 5;
            const size_t end = from + length;
            const bool is_word =
                (from == 0 || !is_of_word(rest[from - 1])) && (end == rest.size() || !is_of_word(rest[end]));
            if (!is_word) {
                from = end;
                continue;
            }
            add_piece(rest.substr(0, from));
            ++part_;
            rest.remove_prefix(end);
            from = 0;
        }
        add_piece(rest);
        text_.clear();
    }

    void add_piece(std::string_view piece) {
        piece = trimmed(piece, blanks);
        if (!piece.empty()) texts_.push_back({.text = std::string(piece), .weight = 1, .part = part_});
    }

    std::vector<WeightedPart> merged() const {
        std::vector<WeightedPart> parts;
        std::optional<size_t> part;
        for (const Text& text : texts_) {
            if (part != text.part) parts.emplace_back();
            part = text.part;
            WeightedPart& last = parts.back();
            if (!last.empty() && last.back().weight == text.weight)
                last.back().text += " " + text.text;
            else
                last.push_back({.text = text.text, .weight = text.weight});
        }
        if (parts.empty()) parts.emplace_back();
        return parts;
    }

    const std::string& prompt_;
    size_t at_ = 0, part_ = 0;
    std::string text_;
    std::vector<Bracket> open_;
    std::vector<Text> texts_;
};

}  // namespace

std::vector<WeightedPart> parse_weighted_prompt(const std::string& prompt) {
    return WeightedPromptReader(prompt).read();
}

std::string without_weights(const std::vector<WeightedPart>& parts) {
    std::vector<std::string> texts;
    for (const WeightedPart& part : parts)
        for (const WeightedText& text : part) texts.push_back(text.text);
    return join(texts, " ");
}

}  // namespace diffapple
