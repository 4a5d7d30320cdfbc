// Tables that commands print.
#include <gtest/gtest.h>

#include "diffapple/cli/output.h"
#include "diffapple/cli/terminal.h"
#include "diffapple/core/utf8.h"

namespace diffapple {
namespace {

TEST(Output, TablesCountCharacters) {
    EXPECT_EQ(format_table({{"a", "b"}, {"\xc3\xa4xy", "c"}}), "a    b\n\xc3\xa4xy  c");
}

TEST(Output, TablesFitWhatTheyShow) {
    EXPECT_EQ(format_table({{"a\x1b", "b"}, {"x", "c"}}), "a\\x1b  b\nx      c");
}

TEST(Output, TablesKeepWhatTellsRowsApart) {
    const std::string beginning = "a cat, fat, with ";
    const std::string table = fit_table({{"prompt", "n", "file"},
                                         {beginning + "brown fur", "1", "some/folder/n1.png"},
                                         {beginning + "white fur", "1", "some/folder/n2.png"}},
                                        30, {"file"});
    EXPECT_NE(table.find("brown"), std::string::npos) << table;
    EXPECT_NE(table.find("white"), std::string::npos) << table;
    EXPECT_NE(table.find("n2.png"), std::string::npos) << table;
}

TEST(Output, TablesKeepWhatTellsRowsApartBesideOthers) {
    const std::vector<std::vector<std::string>> rows{{"prompt", "file"},
                                                     {"a rather fat cat with fur", "w.png"},
                                                     {"a rather fat cat", "x.png"},
                                                     {"a rather fat dog with fur", "y.png"},
                                                     {"dog", "z.png"}};
    const std::string table = fit_table(rows, 19, {"file"});
    for (const char* const part : {"cat with", "\u2026cat ", "\u2026dog with", "dog  ", "z.png"})
        EXPECT_NE(table.find(part), std::string::npos) << part << '\n' << table;
}

TEST(Output, TablesWrapTheirLastColumn) {
    const std::vector<std::vector<std::string>> rows{{"device", ""}, {"mps", "not here: needs Apple silicon"}};
    EXPECT_EQ(wrap_table(rows, 100), format_table(rows));
    EXPECT_EQ(wrap_table(rows, 30), "device  \nmps     not here: needs Apple\n        silicon");
    EXPECT_EQ(wrap_table(rows, 20), "device  \nmps     \n    not here: needs\n    Apple silicon");
}

TEST(Output, TablesAreCutToAWidth) {
    const std::vector<std::vector<std::string>> rows{
        {"prompt", "n", "spare", "file"}, {std::string(60, 'p'), "1", "x", std::string(60, 'd') + "/end.png"}};
    for (const size_t width : {30U, 40U, 80U, 120U, 200U}) {
        const std::string table = fit_table(rows, width, {"spare"});
        for (size_t begin = 0; begin < table.size();) {
            const size_t end = std::min(table.find('\n', begin), table.size());
            EXPECT_LE(count_characters(table.substr(begin, end - begin)), width) << table;
            begin = end + 1;
        }
        EXPECT_NE(table.find("end.png"), std::string::npos) << "the end of a path";
    }
    EXPECT_EQ(fit_table(rows, 30, {"spare"}).find("spare"), std::string::npos);
    EXPECT_EQ(fit_table(rows, 200, {"spare"}), format_table(rows));
}

TEST(Terminal, WordsAreWrapped) {
    EXPECT_EQ(wrap_words("one two  three", 7, 2), "one two\n  three");
    EXPECT_EQ(wrap_words("longer-than-all b", 5, 0), "longer-than-all\nb");
    EXPECT_EQ(wrap_words("", 5, 0), "");
}

}  // namespace
}  // namespace diffapple
