// The results of bench as data: statistics, JSON, CSV, and files joined into a table and a picture.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "diffapple/core/error.h"
#include "diffapple/tools/bench/compare.h"
#include "diffapple/tools/bench/result.h"

namespace diffapple {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

BenchResult measured() {
    return {.experiment = "ddpm",
            .model = "org/name",
            .device = "cpu",
            .dtype = "fp32",
            .shape = {1, {256, 256}},
            .steps = 2,
            .repeats = 3,
            .status = BenchStatus::measured,
            .step_seconds = {2.0, 4.0, 2.5},
            .load_seconds = 1.5,
            .decode_seconds = 0.01,
            .memory = MemoryUse{.resident = 800'000'000},
            .flop_per_step = 500e9,
            .gemm_flop_per_second = 500e9};
}

BenchMachine machine(const std::string& cpu) {
    return {.cpu = cpu, .gpu = "", .os = "Linux", .libtorch = "2.13.0", .cores = 2, .threads = 2, .memory_bytes = 1};
}

TEST(BenchTiming, BestMedianSpread) {
    const Timing odd = summarize({3, 1, 2});
    EXPECT_EQ(odd.best, 1);
    EXPECT_EQ(odd.median, 2);
    EXPECT_EQ(odd.spread, 1);
    EXPECT_EQ(summarize({1, 2, 3, 10}).median, 2.5);
    EXPECT_EQ(summarize({5}).spread, 0);
    EXPECT_THROW(summarize({}), Error);
}

TEST(BenchTiming, FirstAndLastMinute) {
    std::vector<Stretch> stretches;  // 3 minutes, slower in the last
    for (int second = 10; second <= 180; second += 10)
        stretches.push_back({.end = static_cast<double>(second), .seconds = 10, .turns = second <= 120 ? 20 : 5});
    const Sustained sustained = first_and_last_minute(stretches);
    EXPECT_DOUBLE_EQ(sustained.minutes, 3);
    EXPECT_DOUBLE_EQ(sustained.first_it_per_s, 2);
    EXPECT_DOUBLE_EQ(sustained.last_it_per_s, 0.5);
    EXPECT_THROW(first_and_last_minute({}), Error);
}

TEST(BenchTiming, ShareOfTheGemmPeakIsOfTheBestStep) {
    EXPECT_DOUBLE_EQ(measured().gemm_share(), 0.5);
}

TEST(BenchJson, HasEveryKeyAndNullsForTheUnknown) {
    BenchResult absent = measured();
    absent.status = BenchStatus::absent;
    absent.step_seconds.clear();
    absent.memory.reset();
    absent.load_seconds.reset();
    absent.decode_seconds.reset();
    const json report = to_json(BenchReport{.machine = machine("CPU"), .results = {measured(), absent}});
    EXPECT_EQ(report["schema"], bench_schema);
    EXPECT_EQ(report["machine"]["cpu"], "CPU");
    EXPECT_EQ(report["machine"]["gpu"], nullptr);
    const json& first = report["results"][0];
    EXPECT_EQ(first["ms_per_step"], 2500);
    EXPECT_EQ(first["it_per_s"], 0.4);
    EXPECT_EQ(first["it_per_s_best"], 0.5);
    EXPECT_EQ(first["gflop_per_step"], 500);
    EXPECT_EQ(first["gemm_share"], 0.5);
    EXPECT_EQ(first["encode_s"], nullptr);
    EXPECT_EQ(first["peak_bytes"], 800'000'000);
    const json& second = report["results"][1];
    EXPECT_EQ(second["status"], "absent");
    for (const auto& key :
         {"ms_per_step", "it_per_s", "load_s", "load_peak_bytes", "decode_s", "peak_bytes", "gemm_share"})
        EXPECT_EQ(second.at(key), nullptr) << key;
    EXPECT_EQ(first.size(), second.size());
}

TEST(BenchJson, PeakIsTheDevicesWhereThereIsOne) {
    EXPECT_EQ((MemoryUse{.device = 5, .resident = 3}).peak(), 5);
    EXPECT_EQ((MemoryUse{.resident = 3}).peak(), 3);
}

TEST(BenchCsv, QuotesWhatItMust) {
    BenchResult result = measured();
    result.note = "a \"note\", with all";
    const std::string csv = to_csv({.machine = machine("CPU, fast"), .results = {result, measured()}});
    EXPECT_TRUE(csv.starts_with("cpu,gpu,os,libtorch,experiment,model,")) << csv;
    EXPECT_NE(csv.find("\"CPU, fast\",,Linux,2.13.0,ddpm,org/name,random,cpu,fp32,1,256,256,2,3,measured,"
                       "\"a \"\"note\"\", with all\",2500"),
              std::string::npos)
        << csv;
    EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 3);
}

TEST(BenchCsv, RunsNoFormula) {
    BenchResult result = measured();
    result.note = "-1+1";
    const std::string csv = to_csv({.machine = machine("=CPU"), .results = {result}});
    EXPECT_NE(csv.find("\n'=CPU,"), std::string::npos) << csv;
    EXPECT_NE(csv.find(",'-1+1,"), std::string::npos) << csv;
    EXPECT_EQ(csv.find('\r'), std::string::npos) << csv;
}

class BenchCompare : public testing::Test {
protected:
    void SetUp() override {
        folder_ = fs::temp_directory_path() / ("diffapple_bench_" + std::to_string(getpid()));
        fs::create_directories(folder_);
    }
    void TearDown() override { fs::remove_all(folder_); }

    std::string write(const std::string& name, const std::string& text) const {
        std::ofstream(folder_ / name) << text;
        return (folder_ / name).string();
    }
    std::string write(const std::string& name, const BenchReport& report) const {
        return write(name, to_json(report).dump());
    }
    /// The message of the error that comparing this file gives.
    std::string error_of(const std::string& text) const {
        try {
            compare_benches({write("hostile.json", text)});
        } catch (const Error& error) {
            return error.what();
        }
        return "no error";
    }

    fs::path folder_;
};

TEST_F(BenchCompare, JoinsFilesFastestFirst) {
    BenchResult gpu = measured(), other_size = measured();
    gpu.device = "cuda:0";
    gpu.step_seconds = {0.02};
    other_size.shape.size.width = 128;
    BenchMachine with_gpu = machine("Host");
    with_gpu.gpu = "RTX";
    const auto comparison =
        compare_benches({write("a.json", {.machine = machine("Slow"), .results = {measured(), other_size}}),
                         write("b.json", {.machine = with_gpu, .results = {gpu}})});
    ASSERT_EQ(comparison.works.size(), 2);
    ASSERT_EQ(comparison.works[0].results.size(), 2);
    EXPECT_EQ(comparison.works[0].title(), "ddpm, 256x256, batch 1");
    EXPECT_EQ(comparison.works[0].results[0].label(), "RTX, cuda:0 fp32");
    EXPECT_EQ(comparison.works[0].results[1].label(), "Slow, cpu fp32");
    EXPECT_EQ(comparison.table().size(), 4);
    const std::string svg = comparison.svg();
    EXPECT_NE(svg.find(">50</text>"), std::string::npos) << svg;
    EXPECT_NE(svg.find(">0.4</text>"), std::string::npos) << svg;
}

TEST_F(BenchCompare, EscapesForXml) {
    const std::string name = "<script>\"A&B\"\x01\xef\xbf\xbf</script>";
    const auto comparison = compare_benches({write("a.json", {.machine = machine(name), .results = {measured()}})});
    const std::string svg = comparison.svg();
    EXPECT_NE(svg.find("&lt;script&gt;&quot;A&amp;B&quot;&lt;/script&gt;"), std::string::npos) << svg;
    EXPECT_EQ(svg.find('\x01'), std::string::npos);
}

TEST_F(BenchCompare, HostileFilesAreOneClearError) {
    EXPECT_NE(error_of("{").find("hostile.json"), std::string::npos);
    EXPECT_NE(error_of("{}").find("'schema'"), std::string::npos);
    EXPECT_NE(error_of(R"({"schema": 99})").find("newer"), std::string::npos);
    EXPECT_NE(error_of(R"({"schema": 1, "machine": {"cpu": "x"}, "results": {}})").find("'results'"),
              std::string::npos);
    EXPECT_NE(error_of(R"({"schema": 1, "machine": {"cpu": "x"}, "results": []})").find("none"), std::string::npos);
    EXPECT_NE(error_of(R"({"schema": 1, "machine": {"cpu": "x"}, "results": [3]})").find("hostile.json"),
              std::string::npos);
    json report = to_json(BenchReport{.machine = machine("x"), .results = {measured()}});
    for (const auto& [key, value] : {std::pair<std::string, json>{"it_per_s", -1},
                                     {"it_per_s", "fast"},
                                     {"width", 1e300},
                                     {"device", 7},
                                     {"peak_bytes", "much"}}) {
        json hostile = report;
        hostile["results"][0][key] = value;
        EXPECT_NE(error_of(hostile.dump()).find(key), std::string::npos) << error_of(hostile.dump());
    }
}

}  // namespace
}  // namespace diffapple
