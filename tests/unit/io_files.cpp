// Atomic writing, and reading with a limit.
#include <sys/resource.h>
#include <sys/stat.h>

#include <array>
#include <atomic>
#include <csignal>
#include <ostream>
#include <thread>
#include <vector>

#include "diffapple/io/claim.h"
#include "diffapple/io/files.h"
#include "io_support.h"

namespace diffapple {
namespace {

namespace fs = std::filesystem;

size_t files_in(const fs::path& folder) {
    return static_cast<size_t>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

}  // namespace

TEST(Files, WritesAndReadsBack) {
    const TemporaryFolder folder;
    const fs::path path = folder.path() / "new" / "folder" / "file";
    const std::string text("with\0nul", 8);
    write_file_atomically(path, text);
    EXPECT_EQ(read_file(path, 8), text);
    EXPECT_EQ(files_in(path.parent_path()), 1U);
    write_file_atomically(path, std::string());
    EXPECT_EQ(read_file(path, 0), "");
}

TEST(Files, WritesARelativeName) {
    const TemporaryFolder folder;
    const fs::path before = fs::current_path();
    fs::current_path(folder.path());
    write_file_atomically("plain", std::string("text"));
    fs::current_path(before);
    EXPECT_EQ(read_file(folder.path() / "plain", 100), "text");
}

TEST(Files, StreamsContentOfAnySize) {
    const TemporaryFolder folder;
    std::string expected;
    for (int i = 0; i < 100'000; ++i) expected += std::to_string(i) + '\n';
    write_file_atomically(folder.path() / "numbers", [](std::ostream& out) {
        for (int i = 0; i < 100'000; ++i) out << i << '\n';
    });
    EXPECT_EQ(read_file(folder.path() / "numbers", 1 << 20), expected);
}

TEST(Files, AnExceptionLeavesTheOldFileAndNoTemporaryFile) {
    const TemporaryFolder folder;
    const fs::path path = folder.write("file", "old");
    const auto write = [&] {
        write_file_atomically(path, [](std::ostream& out) {
            out << "new";
            throw std::runtime_error("stop");
        });
    };
    EXPECT_THROW(write(), std::runtime_error);
    EXPECT_EQ(read_file(path, 100), "old");
    EXPECT_EQ(files_in(folder.path()), 1U);
}

TEST(Files, AFullDiskIsAnErrorAndLeavesTheOldFile) {
    const TemporaryFolder folder;
    const fs::path path = folder.write("file", "old");
    rlimit before{};
    ::getrlimit(RLIMIT_FSIZE, &before);
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    const rlimit small{1 << 16, before.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &small);
    const std::string whole = error_of([&] { write_file_atomically(path, std::string(1 << 20, 'x')); });
    const std::string streamed = error_of([&] {
        write_file_atomically(path, [](std::ostream& out) {
            for (int i = 0; i < 1'000'000; ++i) out << "piece";
        });
    });
    ::setrlimit(RLIMIT_FSIZE, &before);
    std::signal(SIGXFSZ, handler);
    EXPECT_TRUE(contains(whole, "cannot write: File too large")) << whole;
    EXPECT_EQ(whole, streamed);
    EXPECT_EQ(read_file(path, 100), "old");
    EXPECT_EQ(files_in(folder.path()), 1U);
}

TEST(Files, RefusesAFolderAFileAsParentAndAnEmptyName) {
    const TemporaryFolder folder;
    folder.write("file", "");
    fs::create_directory(folder.path() / "folder");
    EXPECT_ERROR(write_file_atomically(folder.path() / "folder", std::string("x")), "a folder has this name");
    EXPECT_ERROR(write_file_atomically(folder.path() / "file" / "below", std::string("x")), "cannot create folder");
    EXPECT_ERROR(write_file_atomically("", std::string("x")), "not a file name");
    EXPECT_ERROR(write_file_atomically(folder.path() / std::string(300, 'x'), std::string("x")), "File name too long");
    EXPECT_EQ(files_in(folder.path()), 2U);
}

TEST(Files, RefusesAReadOnlyFolder) {
    if (::geteuid() == 0) GTEST_SKIP() << "root may write anywhere";
    const TemporaryFolder folder;
    fs::permissions(folder.path(), fs::perms::owner_read | fs::perms::owner_exec);
    EXPECT_ERROR(write_file_atomically(folder.path() / "file", std::string("x")), "Permission denied");
    fs::permissions(folder.path(), fs::perms::owner_all);
}

TEST(Files, WritersOfOneFileDoNotDisturbEachOther) {
    const TemporaryFolder folder;
    const fs::path path = folder.path() / "file";
    std::vector<std::thread> threads;
    for (char letter = 'a'; letter < 'e'; ++letter) {
        threads.emplace_back([&path, letter] {
            for (int i = 0; i < 20; ++i) write_file_atomically(path, std::string(100'000, letter));
        });
    }
    for (std::thread& thread : threads) thread.join();
    const std::string content = read_file(path, 1 << 20);
    EXPECT_EQ(content, std::string(100'000, content.at(0)));
    EXPECT_EQ(files_in(folder.path()), 1U);
}

TEST(Files, ALeftoverTemporaryFileIsNoObstacle) {
    const TemporaryFolder folder;
    const fs::path leftover = folder.write(concat(".diffapple-", ::getpid(), "-0.tmp"), "crashed");
    write_file_atomically(folder.path() / "file", std::string("x"));
    EXPECT_EQ(read_file(leftover, 100), "crashed");
    EXPECT_EQ(files_in(folder.path()), 2U);
}

TEST(Files, OnlyLeftoversOfThisProgramAreRemoved) {
    const TemporaryFolder folder;
    folder.write(".diffapple-1-0.tmp", "of a process that was killed");
    folder.write(".other.tmp", "another program's");
    folder.write("diffapple-1-0.tmp", "a user's");
    const fs::path path = folder.path() / "file";
    write_file_atomically(path, [&](std::ostream& out) {
        out << "being written";
        out.flush();
        remove_stale_temporary_files(folder.path());
        EXPECT_EQ(files_in(folder.path()), 3U);
    });
    EXPECT_EQ(read_file(path, 100), "being written");
    EXPECT_EQ(files_in(folder.path()), 3U);
    remove_stale_temporary_files(folder.path() / "absent");
}

TEST(Files, RemovingLeftoversDisturbsNoWriter) {
    const TemporaryFolder folder;
    std::atomic<bool> done = false;
    std::thread cleaner([&] {
        while (!done) remove_stale_temporary_files(folder.path());
    });
    for (int i = 0; i < 300; ++i) write_file_atomically(folder.path() / concat(i), std::string(1000, 'x'));
    done = true;
    cleaner.join();
    EXPECT_EQ(files_in(folder.path()), 300U);
}

TEST(Files, AClaimIsHeldByOneAtATime) {
    const TemporaryFolder folder;
    auto first = Claim::take(folder.path(), "work");
    ASSERT_TRUE(first);
    EXPECT_FALSE(Claim::take(folder.path(), "work"));
    EXPECT_TRUE(Claim::take(folder.path(), "other work"));
    remove_stale_temporary_files(folder.path());
    EXPECT_FALSE(Claim::take(folder.path(), "work")) << "a claim that is held is not tidied";
    EXPECT_EQ(files_in(folder.path()), 1U);
    first.reset();
    EXPECT_EQ(files_in(folder.path()), 0U);
    folder.write(".diffapple-claim-work.tmp", "of a process that was killed");
    EXPECT_TRUE(Claim::take(folder.path(), "work"));
    folder.write(".diffapple-claim-work.tmp", "");
    remove_stale_temporary_files(folder.path());
    EXPECT_EQ(files_in(folder.path()), 0U);
    EXPECT_ERROR(Claim::take(folder.path() / "absent", "work"), "cannot be made: No such file");
}

TEST(Files, ThreadsThatClaimTheSameWorkDoItOnce) {
    const TemporaryFolder folder;
    std::array<std::atomic<int>, 50> done{};
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 4; ++thread) {
        threads.emplace_back([&] {
            for (size_t work = 0; work < done.size(); ++work)
                for (bool seen = false; !seen;) {
                    const auto claim = Claim::take(folder.path(), concat(work));
                    seen = claim.has_value();
                    if (seen && done[work] == 0) ++done[work];
                }
        });
    }
    for (std::thread& thread : threads) thread.join();
    for (const auto& count : done) EXPECT_EQ(count, 1);
    EXPECT_EQ(files_in(folder.path()), 0U);
}

TEST(Files, ReadingNamesTheFileAndTheReason) {
    const TemporaryFolder folder;
    const fs::path path = folder.write("file", "12345");
    EXPECT_EQ(read_file(path, 5), "12345");
    EXPECT_ERROR(read_file(path, 4), path.string() + ": is larger than 4 bytes");
    EXPECT_ERROR(read_file(folder.path() / "absent", 4), "absent: cannot open: No such file");
    EXPECT_ERROR(read_file(folder.path(), 4), "directory");
    EXPECT_ERROR(read_file("/dev/zero", 1 << 20), "is not a file but a device");
    const fs::path pipe = folder.path() / "pipe";
    ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
    EXPECT_ERROR(read_file(pipe, 4), "is not a file but a pipe");
}

TEST(Files, WhatCannotBeLookedAtIsNotTakenForAbsent) {
    const TemporaryFolder folder;
    const fs::path path = folder.write("file", "1"), loop = folder.path() / "loop";
    EXPECT_TRUE(is_file(path) && !is_folder(path) && is_there(path));
    EXPECT_TRUE(!is_file(folder.path()) && is_folder(folder.path()) && is_there(folder.path()));
    for (const fs::path& absent : {folder.path() / "absent", path / "below", fs::path(std::string(5000, 'x'))})
        EXPECT_TRUE(!is_file(absent) && !is_folder(absent) && !is_there(absent));
    fs::create_symlink(loop, loop);
    EXPECT_ERROR(is_file(loop), "loop: cannot see what it is: ");
    EXPECT_ERROR(is_folder(loop), "loop: cannot see what it is: ");
}

}  // namespace diffapple
