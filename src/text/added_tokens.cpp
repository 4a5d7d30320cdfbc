#include "added_tokens.h"

#include <algorithm>

#include "diffapple/core/utf8.h"
#include "unicode.h"

namespace diffapple {
namespace {

bool is_space(const Utf8Character& character) {
    return class_of(character.code_point) == CharacterClass::space;
}

bool is_word(const Utf8Character& character) {
    return is_word_character(character.code_point);
}

/// Where the white space at the end of the text starts.
size_t trailing_space(std::string_view text) {
    while (!text.empty() && is_space(last_character(text))) text.remove_suffix(last_character(text).bytes);
    return text.size();
}

/// The length of the white space at the start of the text.
size_t leading_space(std::string_view text) {
    std::string_view rest = text;
    while (!rest.empty() && is_space(first_character(rest))) rest.remove_prefix(first_character(rest).bytes);
    return text.size() - rest.size();
}

bool stands_alone(std::string_view before, std::string_view after) {
    return (before.empty() || !is_word(last_character(before))) && (after.empty() || !is_word(first_character(after)));
}

}  // namespace

void TokenFinder::add(std::string content, const AddedToken& token) {
    if (content.empty()) return;
    auto& entries = entries_[static_cast<unsigned char>(content.front())];
    const auto shorter = [&](const Entry& entry) { return entry.content.size() < content.size(); };
    const auto place = std::find_if(entries.begin(), entries.end(), shorter);
    entries.insert(place, {std::move(content), token});
}

const TokenFinder::Entry* TokenFinder::find_at(std::string_view text) const {
    for (const auto& entry : entries_[static_cast<unsigned char>(text.front())])
        if (text.starts_with(entry.content)) return &entry;
    return nullptr;
}

std::vector<TextPart> TokenFinder::split(std::string_view text) const {
    std::vector<TextPart> parts;
    size_t done = 0;
    for (size_t at = 0; at < text.size();) {
        const Entry* const found = find_at(text.substr(at));
        if (!found) {
            ++at;
            continue;
        }
        size_t start = at, end = at + found->content.size();
        at = end;
        if (found->token.single_word && !stands_alone(text.substr(0, start), text.substr(end))) continue;
        if (found->token.left_strip) start = std::max(trailing_space(text.substr(0, start)), done);
        if (found->token.right_strip) end += leading_space(text.substr(end));
        if (done < start) parts.push_back({text.substr(done, start - done)});
        parts.push_back({text.substr(start, end - start), found->token.id});
        done = end;
        at = std::max(at, done);
    }
    if (done < text.size()) parts.push_back({text.substr(done)});
    return parts;
}

}  // namespace diffapple
