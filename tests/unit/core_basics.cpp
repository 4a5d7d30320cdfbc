// Devices and dtypes by name, noise, the stop flag, text, CSV files.
#include <ATen/ATen.h>
#include <ATen/core/PhiloxRNGEngine.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <fstream>

#include "diffapple/core/csv.h"
#include "diffapple/core/device.h"
#include "diffapple/core/dtype.h"
#include "diffapple/core/error.h"
#include "diffapple/core/nearest.h"
#include "diffapple/core/random.h"
#include "diffapple/core/stop.h"
#include "diffapple/core/text.h"

namespace diffapple {
namespace {

ExitCode exit_code_of(const std::function<void()>& call) {
    try {
        call();
    } catch (const Error& error) {
        return error.code();
    }
    return ExitCode::ok;
}

/// The process that `child` makes of a fork, once it has ended.
int status_of(const std::function<void()>& child) {
    const pid_t pid = fork();
    if (pid == 0) {
        child();
        _exit(0);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    return status;
}

TEST(Stop, ASecondSignalRemovesFilesAndEndsTheProcessByIt) {
    const std::filesystem::path folder = testing::TempDir();
    const auto kept = folder / "kept", removed = folder / "removed";
    for (const auto& file : {kept, removed}) std::ofstream(file) << "text";
    const int status = status_of([&] {
        install_stop_handlers();
        const StopNotice notice(StopNotice::Kind::none);
        { const RemovedAtStop over(kept.string()); }
        const RemovedAtStop now(removed.string());
        std::raise(SIGINT);
        std::raise(SIGTERM);
    });
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    EXPECT_TRUE(std::filesystem::exists(kept) && !std::filesystem::exists(removed));
}

TEST(Stop, OneSignalThrowsAndEndsTheProcessAfterwards) {
    const int status = status_of([] {
        install_stop_handlers();
        end_by_stop_signal();  // nothing was requested
        const StopNotice notice(StopNotice::Kind::none);
        std::raise(SIGTERM);
        if (exit_code_of(check_stop) != ExitCode::interrupted) _exit(1);
        end_by_stop_signal();
    });
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

TEST(Stop, MoreFilesThanThereIsRoomForAreNoFault) {
    std::vector<std::unique_ptr<RemovedAtStop>> files;
    for (int i = 0; i < 100; ++i) files.push_back(std::make_unique<RemovedAtStop>(std::to_string(i)));
    RemovedAtStop(std::string(10'000, 'x'));
}

TEST(Nearest, IsTheWordThatWasMeant) {
    const std::vector<std::string> options{"--steps", "--seed", "--guidance", "--guidance-rescale", "--strength"};
    EXPECT_EQ(nearest("--step", options), "--steps");
    EXPECT_EQ(nearest("--sede", options), "--seed") << "swapped letters are one slip";
    EXPECT_EQ(nearest("--GUIDENCE", options), "--guidance");
    EXPECT_EQ(nearest("--str", options), "--strength") << "the only one that begins so";
    EXPECT_EQ(nearest("--xyzzy", options), "");
    EXPECT_EQ(nearest("", options), "");
    EXPECT_EQ(nearest(std::string(100'000, 'x'), options), "");
    EXPECT_EQ(did_you_mean("--step", options), "; did you mean --steps?");
    EXPECT_EQ(did_you_mean("--xyzzy", options), "");
}

TEST(Device, NamesAreResolvedOrRefused) {
    EXPECT_EQ(find_device("cpu"), c10::Device(c10::kCPU));
    for (const char* name : {"", "gpu", "cuda:", "cuda:-1", "cuda:x", "cuda:1x", "cuda:99999", "CPU", "mps:0"})
        EXPECT_EQ(exit_code_of([&] { find_device(name); }), ExitCode::usage) << name;
}

TEST(Device, ListHasOneEntryForEachKind) {
    bool cpu_available = false;
    std::string names;
    for (const DeviceInfo& info : list_devices()) {
        names += info.name + " ";
        if (info.name == "cpu") cpu_available = info.available && info.total_memory.value_or(0) > 0;
    }
    EXPECT_TRUE(cpu_available);
    EXPECT_NE(names.find("mps"), std::string::npos);
    EXPECT_NE(names.find("cuda"), std::string::npos);
}

TEST(Device, MemoryFiguresArePlausible) {
    EXPECT_GT(peak_memory(c10::kCPU), 1'000'000U);
    EXPECT_LE(available_memory(), physical_memory());
}

TEST(Dtype, PolicyPerDevice) {
    const c10::Device cpu(c10::kCPU), mps(c10::kMPS), cuda(c10::kCUDA, 0);
    EXPECT_EQ(find_dtype("auto", cpu), c10::kFloat);
    EXPECT_EQ(find_dtype("auto", mps), c10::kHalf);
    EXPECT_EQ(find_dtype("auto", cuda), c10::kHalf);
    EXPECT_EQ(find_dtype("bf16", cpu), c10::kBFloat16);
    EXPECT_EQ(exit_code_of([&] { find_dtype("fp16", cpu); }), ExitCode::usage);
    EXPECT_EQ(exit_code_of([&] { find_dtype("float32", cpu); }), ExitCode::usage);
    EXPECT_EQ(dtype_name(c10::kBFloat16), "bf16");
}

TEST(Noise, IsOneFp32StreamPerSeed) {
    NoiseSource one(7), other(7), half(7);
    const auto first = one.normal({2, 3, 8, 8}, at::kCPU, at::kFloat);
    EXPECT_TRUE(at::equal(first, other.normal({2, 3, 8, 8}, at::kCPU, at::kFloat)));
    EXPECT_FALSE(at::equal(first, one.normal({2, 3, 8, 8}, at::kCPU, at::kFloat)));
    EXPECT_TRUE(at::equal(first.to(at::kHalf), half.normal({2, 3, 8, 8}, at::kCPU, at::kHalf)));
}

/// Random123's kat_vectors for philox4x32 with 10 rounds: LibTorch's engine is the one that CudaGenerator takes.
TEST(CudaGenerator, ItsEngineHasTheKnownAnswers) {
    struct Case {
        uint64_t key, low, high;
        std::array<uint32_t, 4> words;
    };
    for (const auto& [key, low, high, words] :
         {Case{0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
          Case{~0ULL, ~0ULL, ~0ULL, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
          Case{0x299f31d0a4093822,
               0x85a308d3243f6a88,
               0x0370734413198a2e,
               {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}}) {
        at::Philox4_32 engine(key, high, low);
        for (const uint32_t word : words) EXPECT_EQ(engine(), word);
    }
}

/// A1111's web UI (modules/rng_philox.py) prints these for a GPU's torch.randn of seed 0.
TEST(CudaGenerator, HasAGpusNoise) {
    NoiseSource noise(0, GeneratorKind::cuda);
    const auto expected =
        at::tensor({-0.92466259F, -0.42534415F, -2.6438457F, 0.14518388F, -0.12086647F, -0.57972564F, -0.62285122F,
                    -0.32838709F, -1.07454231F, -0.36314407F, -1.67105067F, 2.26550497F});
    const auto first = noise.normal({3, 4}, at::kCPU, at::kFloat);
    EXPECT_LT((first.flatten() - expected).abs().max().item<float>(), 2e-6F);
    EXPECT_FALSE(at::equal(first, noise.normal({3, 4}, at::kCPU, at::kFloat)));
}

TEST(CudaGenerator, ADrawBeyondTheGridBeginsAsASmallerOne) {
    const auto draw = [](int64_t count) { return CudaGenerator(9).normal({count}); };
    const auto large = draw(CudaGenerator::threads * 9 + 5);
    EXPECT_TRUE(at::equal(draw(CudaGenerator::threads), large.slice(0, 0, CudaGenerator::threads)));
    EXPECT_LT(std::abs(large.mean().item<double>()), 0.005);
    EXPECT_LT(std::abs(large.std().item<double>() - 1), 0.005);
    EXPECT_EQ(draw(0).numel(), 0);
}

TEST(Csv, QuotesWhatItMust) {
    EXPECT_EQ(csv_line({"a", "", "b c", "\u00e4"}), "a,,b c,\u00e4\n");
    EXPECT_EQ(csv_line({"a, b", "a \"b\"", "a\nb", "a\rb"}), "\"a, b\",\"a \"\"b\"\"\",\"a\nb\",\"a\rb\"\n");
}

TEST(Csv, FormulasAreTextsAndNumbersStayNumbers) {
    for (const std::string formula : {"=1+1", "+1", "-1+1", "-cmd", "-inf", "--1", "-", "@sum", "\t1", "-1 "})
        EXPECT_EQ(csv_line({formula}), "'" + formula + "\n");
    EXPECT_EQ(csv_line({"\r=1", "=\"a\""}), "\"'\r=1\",\"'=\"\"a\"\"\"\n");
    for (const std::string number : {"-1.5", "-1", "-0.25e-05", "-1E+2", "1.5", "0"})
        EXPECT_EQ(csv_line({number}), number + "\n");
    EXPECT_EQ(csv_line({"\uff1d1+1", "-", "-1+1", "-1"}), "'\uff1d1+1,'-,'-1+1,-1\n");
    EXPECT_EQ(csv_line({"a=1", "a-1"}), "a=1,a-1\n");
}

TEST(Text, IsShortenedBetweenCharacters) {
    EXPECT_EQ(shorten("a\u00e4b", 3), "a\u00e4b");
    EXPECT_EQ(shorten("a\u00e4bc", 2), "a\u00e4\u2026");
    EXPECT_EQ(shorten("", 0), "");
    EXPECT_EQ(shorten("a", 0), "\u2026");
}

TEST(Text, ForeignTextIsOneSafeLine) {
    EXPECT_EQ(quote("a\n\x1b[0m\x7f"), "'a??[0m?'");
    const std::string almost_full(99, 'x');
    EXPECT_EQ(quote(almost_full + "y"), concat("'", almost_full, "y'"));
    EXPECT_EQ(quote(almost_full + "\u00e4b"), concat("'", almost_full, "...'"));  // not half a character
    EXPECT_EQ(quote(std::string(200, '\x80')), "'...'");
}

TEST(Text, WordsOfAShellAreQuoted) {
    EXPECT_EQ(shell_word("out/a_b-1.5:x,y.png"), "out/a_b-1.5:x,y.png");
    EXPECT_EQ(shell_word(""), "''");
    EXPECT_EQ(shell_word("a cat; $HOME `id` !! \"x\" \\"), "'a cat; $HOME `id` !! \"x\" \\'");
    EXPECT_EQ(shell_word("it's"), "'it'\\''s'");
    EXPECT_EQ(shell_word("~/x"), "'~/x'");
    EXPECT_EQ(shell_word("=x"), "'=x'");
    EXPECT_EQ(shell_word("\u00e4 \u4e2d"), "'\u00e4 \u4e2d'");
    EXPECT_EQ(shell_word("a\nb'!\\"), "$'a\\012b\\047\\041\\134'");
    EXPECT_EQ(shell_word("\x1b[201~;"), "$'\\033[201~;'") << "the end of what is pasted";
    EXPECT_EQ(shell_word("\u202ex"), "$'\\342\\200\\256x'");
    EXPECT_EQ(shell_word("\xff"), "$'\\377'");
    EXPECT_EQ(shell_word(std::string_view("a\0b", 3)), "a");
}

TEST(Text, WhatCouldDeceiveOnATerminalBecomesVisible) {
    EXPECT_EQ(printable("a\x1b[31mb\r\x7f\n\tc"), "a\\x1b[31mb\\x0d\\x7f\n\tc");
    EXPECT_EQ(printable("\u009b31m"), "\\x9b31m");              // escape and "[" in one, to some terminals
    EXPECT_EQ(printable("\x9b\xe7\x8cz"), "\\x9b\\xe7\\x8cz");  // no UTF-8
    EXPECT_EQ(printable("a\u202eb\u2066\u2069"), "a\\u{202e}b\\u{2066}\\u{2069}");  // from right to left
    EXPECT_EQ(printable("\u200e\u200f\ufeff\u2028"), "\\u{200e}\\u{200f}\\u{feff}\\u{2028}");
    EXPECT_EQ(printable("\U000e0041"), "\\u{e0041}");
    EXPECT_EQ(printable("\u3164\u115f\u034f\u180b"), "\\u{3164}\\u{115f}\\u{34f}\\u{180b}");  // drawn as nothing
    EXPECT_EQ(printable("\u2764\ufe0f"), "\u2764\ufe0f");                                     // an emoji
    const std::string plain = "\u00e4\u732b\u0643\u200c \u2764\ufe0f \U0001f468\u200d\U0001f469 \\x1b";
    EXPECT_EQ(printable(plain), plain);
    EXPECT_EQ(printable(printable("\x1b\u202e")), printable("\x1b\u202e"));
}

TEST(Stop, SignalSetsTheFlag) {
    EXPECT_EXIT(
        {
            install_stop_handlers();
            const bool before = exit_code_of(check_stop) != ExitCode::ok;
            std::raise(SIGINT);
            std::exit(!before && exit_code_of(check_stop) == ExitCode::interrupted ? 0 : 1);
        },
        testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace diffapple
