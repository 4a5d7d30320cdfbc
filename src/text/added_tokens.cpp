#include "added_tokens.h"

#include <algorithm>

#include "unicode.h"

namespace diffapple {
namespace {

bool is_continuation(char byte) {
    return (static_cast<unsigned char>(byte) & 0xc0) == 0x80;
}

size_t last_character(std::string_view text) {
    size_t start = text.size() - 1;
    while (start > 0 && is_continuation(text[start])) --start;
    return start;
}

size_t first_character(std::string_view text) {
    size_t length = 1;
    while (length < text.size() && is_continuation(text[length])) ++length;
    return length;
}

bool is_space(std::string_view character) {
    return class_of(to_code_points(character).front()) == CharacterClass::space;
}

bool is_word(std::string_view character) {
    return is_word_character(to_code_points(character).front());
}

/// Where the white space at the end of the text starts.
size_t trailing_space(std::string_view text) {
    while (!text.empty() && is_space(text.substr(last_character(text)))) text = text.substr(0, last_character(text));
    return text.size();
}

/// The length of the white space at the start of the text.
size_t leading_space(std::string_view text) {
    size_t length = 0;
    while (length < text.size()) {
        const size_t next = first_character(text.substr(length));
        if (!is_space(text.substr(length, next))) break;
        length += next;
    }
    return length;
}

bool stands_alone(std::string_view before, std::string_view after) {
    return (before.empty() || !is_word(before.substr(last_character(before)))) &&
           (after.empty() || !is_word(after.substr(0, first_character(after))));
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
