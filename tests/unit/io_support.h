// What the io tests share: a temporary folder, expected errors, environment variables.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "diffapple/core/error.h"
#include "diffapple/io/files.h"
#include "io_samples.h"

namespace diffapple {

/// A fresh folder, removed with its content at the end of the test.
class TemporaryFolder {
public:
    TemporaryFolder() {
        std::string pattern = (std::filesystem::temp_directory_path() / "diffapple-XXXXXX").string();
        if (!::mkdtemp(pattern.data())) throw std::runtime_error("cannot make a temporary folder");
        path_ = pattern;
    }
    ~TemporaryFolder() {
        std::error_code error;
        std::filesystem::remove_all(path_, error);
    }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;

    std::filesystem::path path() const { return path_; }

    /// Writes a file (and the folders it needs) and returns its path.
    std::filesystem::path write(const std::string& name, const std::string& content) const {
        std::filesystem::path path = path_ / name;
        std::filesystem::create_directories(path.parent_path());
        std::ofstream(path, std::ios::binary).write(content.data(), static_cast<std::streamsize>(content.size()));
        return path;
    }

private:
    std::filesystem::path path_;
};

/// Runs the call and returns the text of the Error it must throw (empty, with a test failure, when it does not).
template <typename Call>
std::string error_of(Call call) {
    try {
        call();
        ADD_FAILURE() << "no Error was thrown";
        return {};
    } catch (const Error& error) {
        std::string text = error.what();
        EXPECT_EQ(text.find('\n'), std::string::npos) << "not one line: " << text;
        return text;
    }
}

inline bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

#define EXPECT_ERROR(call, part)                                                             \
    do {                                                                                     \
        const std::string error_text = ::diffapple::error_of([&] { (void)(call); });         \
        EXPECT_TRUE(::diffapple::contains(error_text, part)) << "the error: " << error_text; \
    } while (false)

/// Sets an environment variable (null: removes it) until the end of the test.
class ScopedVariable {
public:
    ScopedVariable(const char* name, const char* value) : name_(name) {
        const char* old = std::getenv(name);
        had_value_ = old != nullptr;
        if (old) old_ = old;
        set(value);
    }
    ~ScopedVariable() { set(had_value_ ? old_.c_str() : nullptr); }
    ScopedVariable(const ScopedVariable&) = delete;
    ScopedVariable& operator=(const ScopedVariable&) = delete;

private:
    void set(const char* value) const {
        if (value) {
            ::setenv(name_, value, 1);
        } else {
            ::unsetenv(name_);
        }
    }
    const char* name_;
    bool had_value_;
    std::string old_;
};

}  // namespace diffapple
