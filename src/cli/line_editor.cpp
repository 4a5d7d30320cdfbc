#include "line_editor.h"

#include <histedit.h>
#include <langinfo.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string_view>

#include "diffapple/core/error.h"
#include "diffapple/core/stop.h"

namespace diffapple {
namespace {

namespace fs = std::filesystem;

constexpr int remembered_lines = 1000;

/// Characters beyond ASCII need a locale of UTF-8; numbers keep their points.
void use_utf8() {
    for (const char* const name : {"", "C.UTF-8", "en_US.UTF-8", "UTF-8"})
        if (std::setlocale(LC_CTYPE, name) && std::string_view(nl_langinfo(CODESET)) == "UTF-8") return;
}

bool stop_was_requested() noexcept try {
    check_stop();
    return false;
} catch (const Interrupted&) {
    return true;
}

/// 1, or -1 at the end and where a stop was requested. It looks up now and then: a signal that comes just before it
/// waits does not end the wait.
int read_byte(unsigned char& byte) {
    constexpr int milliseconds = 100;
    for (;;) {
        pollfd input{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
        const int ready = ::poll(&input, 1, milliseconds);
        if (stop_was_requested()) return -1;
        if (ready <= 0) continue;
        const ssize_t count = ::read(STDIN_FILENO, &byte, 1);
        if (count == 1) return 1;
        if (count == 0 || errno != EINTR || stop_was_requested()) return -1;
    }
}

/// One character of UTF-8. libedit's own reader goes on waiting when a signal comes.
int read_character(EditLine* /*editor*/, wchar_t* character) {
    unsigned char byte = 0;
    if (read_byte(byte) < 0) return -1;
    const int more = byte >= 0xF0 ? 3 : byte >= 0xE0 ? 2 : byte >= 0xC0 ? 1 : 0;
    unsigned long value = more == 3 ? byte & 0x07U : more == 2 ? byte & 0x0FU : more == 1 ? byte & 0x1FU : byte;
    for (int i = 0; i < more; ++i) {
        if (read_byte(byte) < 0) return -1;
        value = value << 6 | (byte & 0x3FU);
    }
    *character = static_cast<wchar_t>(value);
    return 1;
}

fs::path history_file() {
    const char *const folder = std::getenv("XDG_STATE_HOME"), *const home = std::getenv("HOME");
    if (folder && *folder != '\0') return fs::path(folder) / "diffapple" / "history";
    return home ? fs::path(home) / ".local" / "state" / "diffapple" / "history" : fs::path();
}

}  // namespace

struct LineEditor::State {
    std::string prompt;
    EditLine* editor = nullptr;
    History* history = nullptr;
    HistEvent event = {};
    fs::path file = history_file();
};

namespace {

char* prompt_of(EditLine* editor) {
    std::string* prompt = nullptr;
    el_get(editor, EL_CLIENTDATA, &prompt);
    return prompt->data();
}

}  // namespace

LineEditor::LineEditor(const std::string& prompt) : state_(std::make_unique<State>()) {
    use_utf8();
    state_->prompt = prompt;
    state_->editor = el_init("diffapple", stdin, stderr, stderr);  // stdout is for results
    state_->history = history_init();
    if (!state_->editor || !state_->history) fail("--interactive: this terminal cannot be edited on; use --prompts -");
    el_set(state_->editor, EL_CLIENTDATA, &state_->prompt);
    el_set(state_->editor, EL_PROMPT, prompt_of);
    el_set(state_->editor, EL_EDITOR, "emacs");
    el_set(state_->editor, EL_GETCFN, read_character);
    history(state_->history, &state_->event, H_SETSIZE, remembered_lines);
    history(state_->history, &state_->event, H_SETUNIQUE, 1);
    if (!state_->file.empty()) history(state_->history, &state_->event, H_LOAD, state_->file.c_str());
    el_set(state_->editor, EL_HIST, history, state_->history);
    el_source(state_->editor, nullptr);  // ~/.editrc, the user's own keys
}

/// That a history cannot be kept is no reason to fail.
LineEditor::~LineEditor() {
    if (std::error_code error; !state_->file.empty()) {
        fs::create_directories(state_->file.parent_path(), error);
        const fs::path temporary = state_->file.string() + "." + std::to_string(getpid());
        if (history(state_->history, &state_->event, H_SAVE, temporary.c_str()) >= 0)
            fs::rename(temporary, state_->file, error);
        if (error) fs::remove(temporary, error);
    }
    history_end(state_->history);
    el_end(state_->editor);
}

std::optional<std::string> LineEditor::next() {
    const StopNotice waiting(StopNotice::Kind::none);
    int count = 0;
    const char* const line = el_gets(state_->editor, &count);
    if (!line || count <= 0) {
        std::fputc('\n', stderr);
        return std::nullopt;
    }
    std::string text(line);
    while (text.ends_with('\n') || text.ends_with('\r')) text.pop_back();
    if (text.find_first_not_of(" \t") != std::string::npos)
        history(state_->history, &state_->event, H_ENTER, text.c_str());
    return text;
}

}  // namespace diffapple
