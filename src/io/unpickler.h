// A restricted reader of Python pickles: the part of the format that torch.save uses for a state dict, and nothing that
// could run code. Private to the io layer.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <variant>
#include <vector>

namespace diffapple::pickle {

/// A Python function or class that the pickle names: "torch.FloatStorage".
struct Global {
    std::string name;
};

/// A flat array of numbers, kept in the archive's record "data/<key>".
struct Storage {
    c10::ScalarType dtype;
    std::string key;
    int64_t elements;
};

/// A tensor as a view of a storage; nothing about it is checked yet.
struct View {
    const Storage* storage;
    int64_t offset;
    std::vector<int64_t> sizes, strides;
};

struct Container;

/// Objects are owned by the Unpickler that read them (they may form circles).
using Value = std::variant<std::monostate, bool, int64_t, double, const std::string*, const Global*, const Storage*,
                           const View*, Container*>;

struct Container {
    enum class Kind { dict, list, tuple } kind;
    std::vector<Value> items;  ///< of a dict: key, value, key, value, ...
};

class Unpickler {
public:
    /// `where` starts every error message; `bytes` must outlive the object.
    Unpickler(std::string_view bytes, std::string where) : bytes_(bytes), where_(std::move(where)) {}

    /// The pickled value, which lives as long as this object.
    Value run();
    /// The bytes that `run` has read: where what follows the pickle begins.
    size_t position() const { return position_; }
    /// All storages that the pickle names, by key: also those of no tensor of the state dict.
    std::map<std::string, const Storage*> storages() const;

private:
    // Opcodes by group; each returns false for an opcode that is not of its group.
    bool frame(unsigned char opcode);
    bool constant(unsigned char opcode);
    bool container(unsigned char opcode);
    bool memo(unsigned char opcode);
    bool object(unsigned char opcode);

    [[noreturn]] void reject(const std::string& problem) const;

    std::string_view take(uint64_t bytes);
    std::string_view take_line();
    template <typename Integer>
    Integer take_little_endian();
    int64_t take_long();
    double take_double();

    void push(Value value);
    Value pop();
    template <typename T>
    T pop_as(const char* what);
    Container* pop_container(Container::Kind kind);
    std::vector<Value> pop_to_mark();
    Container* top_container(Container::Kind kind);
    void push_text(std::string_view text);
    void push_container(Container::Kind kind, std::vector<Value> items = {});
    void push_tuple_of(size_t count);
    void append(Container::Kind kind, std::vector<Value> items);

    void push_global(const std::string& name);
    Value call(const Global& function, const Container& arguments);
    const View* make_view(const Container& arguments);
    const Storage* load_storage(const Container& id);
    std::vector<int64_t> integers(const Value& tuple);

    /// Moves an object into this reader's keeping.
    template <typename T>
    T* keep(T object);

    std::string_view bytes_;
    std::string where_;
    size_t position_ = 0;
    std::vector<Value> stack_;
    std::vector<size_t> marks_;  ///< stack heights
    std::unordered_map<uint32_t, Value> memo_;
    std::tuple<std::deque<std::string>, std::deque<Global>, std::deque<Storage>, std::deque<View>,
               std::deque<Container>>
        kept_;
    size_t kept_count_ = 0;
};

}  // namespace diffapple::pickle
