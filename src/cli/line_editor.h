// Lines that a person types on a terminal: edited, with a history of the lines before. Private to the command line.
#pragma once

#include <memory>
#include <optional>
#include <string>

namespace diffapple {

class LineEditor {
public:
    /// Throws Error where the terminal cannot be edited on.
    explicit LineEditor(const std::string& prompt);
    ~LineEditor();
    LineEditor(const LineEditor&) = delete;
    LineEditor& operator=(const LineEditor&) = delete;

    /// The next line without its end; absent at the end of input (Ctrl-D) and where a stop was requested. Lines that
    /// are not blank are remembered, in ~/.local/state/diffapple/history, too.
    std::optional<std::string> next();

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace diffapple
