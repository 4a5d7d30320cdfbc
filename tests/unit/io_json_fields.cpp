// JSON files with limits, and checked fields.
#include <nlohmann/json.hpp>

#include "diffapple/io/json_fields.h"
#include "io_support.h"

namespace diffapple {
namespace {

using nlohmann::json;

const json kConfig = json::parse(R"({
    "three": 3, "three_point_zero": 3.0, "half": 0.5, "minus": -1, "huge": 18446744073709551615, "wide": 1e300,
    "yes": true, "name": "unet", "nothing": null, "list": [1, 2, 3], "mixed": [1, "two"], "words": ["a", "b"],
    "halves": [0.5, 1], "inner": {"depth": {"value": "x"}}, "empty": []})");

JsonFields config() {
    return JsonFields(kConfig, "unet/config.json");
}

}  // namespace

TEST(JsonFields, ReadsEachType) {
    const JsonFields fields = config();
    EXPECT_EQ(fields.integer("three", 0, 10), 3);
    EXPECT_EQ(fields.integer("three_point_zero", 3, 3), 3);
    EXPECT_EQ(fields.integer("minus", -5, 5), -1);
    EXPECT_EQ(fields.unsigned_integer("huge"), UINT64_MAX);
    EXPECT_EQ(fields.unsigned_integer("three_point_zero"), 3U);
    EXPECT_EQ(fields.number("three"), 3.0);
    EXPECT_EQ(fields.number("half"), 0.5);
    EXPECT_TRUE(fields.boolean("yes"));
    EXPECT_EQ(fields.text("name"), "unet");
    EXPECT_EQ(fields.choice("name", {"vae", "unet"}), "unet");
    EXPECT_EQ(fields.integers("list", 1, 3), (std::vector<int64_t>{1, 2, 3}));
    EXPECT_EQ(fields.integers("empty", 1, 3), std::vector<int64_t>{});
    EXPECT_EQ(fields.numbers("halves"), (std::vector<double>{0.5, 1}));
    EXPECT_EQ(fields.texts("words"), (std::vector<std::string>{"a", "b"}));
    EXPECT_EQ(fields.value("yes"), json(true));
    EXPECT_EQ(fields.object("inner").object("depth").text("value"), "x");
    EXPECT_EQ(fields.where(), "unet/config.json");
}

TEST(JsonFields, AbsentAndNullGiveTheFallback) {
    const JsonFields fields = config();
    for (const char* key : {"absent", "nothing"}) {
        EXPECT_FALSE(fields.has(key));
        EXPECT_EQ(fields.integer(key, 0, 10, 99), 99) << "the fallback is not checked";
        EXPECT_EQ(fields.number(key, 0.0), 0.0);
        EXPECT_FALSE(fields.boolean(key, false));
        EXPECT_EQ(fields.text(key, ""), "");
        EXPECT_EQ(fields.choice(key, {"a"}, "b"), "b");
        EXPECT_EQ(fields.integers(key, 0, 1, std::vector<int64_t>{7}), std::vector<int64_t>{7});
        EXPECT_EQ(fields.numbers(key, std::vector<double>{}), std::vector<double>{});
        EXPECT_EQ(fields.texts(key, std::vector<std::string>{"x"}), std::vector<std::string>{"x"});
        EXPECT_ERROR(fields.integer(key, 0, 10), concat("unet/config.json: key '", key, "' is missing"));
        EXPECT_ERROR(fields.value(key), "is missing");
        EXPECT_ERROR(fields.object(key), "is missing");
    }
    EXPECT_TRUE(fields.given("nothing"));
    EXPECT_FALSE(fields.given("absent"));
}

TEST(JsonFields, RejectsWrongTypesAndRanges) {
    const JsonFields fields = config();
    EXPECT_ERROR(fields.integer("three", 4, 10), "key 'three' must be an integer from 4 to 10, not 3");
    EXPECT_ERROR(fields.integer("half", 0, 10), "not 0.5");
    EXPECT_ERROR(fields.integer("yes", 0, 10), "not true");
    EXPECT_ERROR(fields.integer("name", 0, 10), "not \"unet\"");
    EXPECT_ERROR(fields.integer("huge", INT64_MIN, INT64_MAX), "not 18446744073709551615");
    for (const char* const key : {"minus", "half", "wide", "name"})
        EXPECT_ERROR(fields.unsigned_integer(key), "must be an integer from 0 to 18446744073709551615, not ");
    EXPECT_ERROR(fields.integer("wide", INT64_MIN, INT64_MAX), "not 1e+300");
    EXPECT_ERROR(fields.number("name"), "must be a number");
    EXPECT_ERROR(fields.number("yes"), "must be a number");
    EXPECT_ERROR(fields.boolean("three"), "must be true or false, not 3");
    EXPECT_ERROR(fields.text("three"), "must be a text, not 3");
    EXPECT_ERROR(fields.choice("name", {"a", "b"}), "must be one of a, b, not \"unet\"");
    EXPECT_ERROR(fields.choice("three", {"a"}), "must be a, not 3");
    EXPECT_ERROR(fields.integers("three", 0, 9), "must be a list of integers, not 3");
    EXPECT_ERROR(fields.integers("mixed", 0, 9), "key 'mixed[1]' must be an integer from 0 to 9, not \"two\"");
    EXPECT_ERROR(fields.integers("list", 0, 2), "key 'list[2]'");
    EXPECT_ERROR(fields.numbers("words"), "key 'words[0]'");
    EXPECT_ERROR(fields.texts("list"), "key 'list[0]'");
    EXPECT_ERROR(fields.object("list"), "key 'list' must be an object");
    EXPECT_ERROR(fields.object("inner").object("depth").integer("value", 0, 1),
                 "unet/config.json: key 'inner.depth.value' must be an integer");
    EXPECT_ERROR(JsonFields(kConfig["list"], "here"), "here: is not a JSON object");
}

TEST(JsonFields, ErrorsStayOneShortLine) {
    const json config = {{"key", std::string(5000, '\n') + "\xff\x1b[31m"}};
    const std::string text = error_of([&] { JsonFields(config, "c").integer("key", 0, 1); });
    EXPECT_LT(text.size(), 200U);
    EXPECT_EQ(text.find('\x1b'), std::string::npos);
}

TEST(Json, RejectsWhatIsNotJson) {
    for (const char* text :
         {"", "{", "{\"a\":}", "{\"a\":NaN}", "{\"a\":Infinity}", "{\"a\":1,}", "{'a':1}", "{\"a\":1}x",
          "{\"a\":\"\xff\"}", "{\"a\":01}", "{\"a\":\"\n\"}", "{\"a\":1e999}", "\xef\xbb", "{a:1}"}) {
        EXPECT_ERROR(parse_json(text, "x.json"), "x.json: is not valid JSON: ");
    }
    for (const char* text : {"[]", "1", "null", "\"x\""}) {
        EXPECT_ERROR(parse_json(text, "x.json"), "x.json: is not a JSON object");
    }
    EXPECT_ERROR(parse_json("{\"a\":\n 1,,}", "x.json"), "line 2, column");
}

TEST(Json, RefusesDeepNestingButNotWideOne) {
    const auto nested = [](size_t depth) {
        return "{\"a\":" + std::string(depth, '[') + std::string(depth, ']') + "}";
    };
    EXPECT_NO_THROW(parse_json(nested(60), "x"));
    EXPECT_ERROR(parse_json(nested(70), "x"), "nested deeper than 64 levels");
    EXPECT_NO_THROW(parse_json(nested(3), "x", {.depth = 4}));
    EXPECT_ERROR(parse_json(nested(4), "x", {.depth = 4}), "nested deeper than 4 levels");
    EXPECT_ERROR(parse_json(concat("{\"a\":", std::string(2'000'000, '[')), "x"), "nested deeper");
    std::string objects;
    for (int i = 0; i < 100'000; ++i) objects += "{\"a\":";
    EXPECT_ERROR(parse_json(objects, "x"), "nested deeper");
    EXPECT_NO_THROW(parse_json("{\"a\":[0" + std::string(100'000, ' ') + ",[],{},[]]}", "x"));
}

TEST(Json, DuplicateKeysAreAnErrorOnDemand) {
    const std::string twice = R"({"a":1,"b":{"a":2},"a":3})";
    EXPECT_EQ(parse_json(twice, "x")["a"], 3);
    EXPECT_ERROR(parse_json(twice, "x", {.strict = true}), "key \"a\" is given twice");
    EXPECT_ERROR(parse_json(R"({"b":[{"c":1,"c":2}]})", "x", {.strict = true}), "key \"c\" is given twice");
    EXPECT_NO_THROW(parse_json(R"({"a":{"a":1},"b":{"a":1}})", "x", {.strict = true}));
}

TEST(Json, StrictTextsHaveNothingOfPythons) {
    EXPECT_EQ(parse_json(R"({"a":-Infinity})", "x")["a"], "-Infinity");
    EXPECT_ERROR(parse_json(R"({"a":-Infinity})", "x", {.strict = true}), "not valid JSON");
    EXPECT_EQ(parse_json(R"({"a":"-Infinity"})", "x", {.strict = true})["a"], "-Infinity");
}

TEST(Json, ReadsFilesWithinTheLimit) {
    const TemporaryFolder folder;
    EXPECT_EQ(read_json_file(folder.write("a.json", "{\"a\": 1}"))["a"], 1);
    EXPECT_ERROR(read_json_file(folder.path() / "absent.json"), "absent.json: cannot open");
    EXPECT_ERROR(read_json_file(folder.write("big.json", std::string((16 << 20) + 1, ' '))), "is larger than");
    EXPECT_ERROR(read_json_file(folder.write("bad.json", "{")), "bad.json: is not valid JSON");
}

}  // namespace diffapple
