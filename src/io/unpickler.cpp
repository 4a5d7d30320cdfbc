// A pickle is a program for a stack machine. This one knows the opcodes of protocols 2 to 5 that torch.save writes.
#include "unpickler.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <optional>

#include "diffapple/core/error.h"
#include "diffapple/core/text.h"

namespace diffapple::pickle {
namespace {

// Far more than the largest checkpoint needs; keeps a hostile file of some megabytes from filling the memory.
constexpr size_t most_objects = 1'000'000;

enum Opcode : unsigned char {
    op_proto = 0x80,
    op_frame = 0x95,
    op_stop = '.',
    op_mark = '(',
    op_none = 'N',
    op_true = 0x88,
    op_false = 0x89,
    op_int4 = 'J',
    op_int1 = 'K',
    op_int2 = 'M',
    op_long1 = 0x8a,
    op_float = 'G',
    op_bytes1 = 'C',
    op_bytes4 = 'B',
    op_text1 = 0x8c,
    op_text4 = 'X',
    op_text8 = 0x8d,
    op_empty_dict = '}',
    op_empty_list = ']',
    op_empty_tuple = ')',
    op_tuple = 't',
    op_tuple1 = 0x85,
    op_tuple2 = 0x86,
    op_tuple3 = 0x87,
    op_append = 'a',
    op_appends = 'e',
    op_setitem = 's',
    op_setitems = 'u',
    op_put1 = 'q',
    op_put4 = 'r',
    op_memoize = 0x94,
    op_get1 = 'h',
    op_get4 = 'j',
    op_global = 'c',
    op_stack_global = 0x93,
    op_persistent_id = 'Q',
    op_reduce = 'R',
    op_build = 'b',
};

struct StorageClass {
    std::string_view name;
    c10::ScalarType dtype;
};
constexpr std::array storage_classes = {
    StorageClass{"torch.FloatStorage", c10::ScalarType::Float},
    StorageClass{"torch.HalfStorage", c10::ScalarType::Half},
    StorageClass{"torch.BFloat16Storage", c10::ScalarType::BFloat16},
    StorageClass{"torch.DoubleStorage", c10::ScalarType::Double},
    StorageClass{"torch.LongStorage", c10::ScalarType::Long},
    StorageClass{"torch.IntStorage", c10::ScalarType::Int},
    StorageClass{"torch.ShortStorage", c10::ScalarType::Short},
    StorageClass{"torch.CharStorage", c10::ScalarType::Char},
    StorageClass{"torch.ByteStorage", c10::ScalarType::Byte},
    StorageClass{"torch.BoolStorage", c10::ScalarType::Bool},
    StorageClass{"torch.storage.UntypedStorage", c10::ScalarType::Byte},
};

constexpr std::string_view ordered_dict = "collections.OrderedDict";
constexpr std::string_view rebuild_tensor = "torch._utils._rebuild_tensor";
constexpr std::string_view rebuild_tensor_v2 = "torch._utils._rebuild_tensor_v2";
constexpr std::string_view rebuild_parameter = "torch._utils._rebuild_parameter";

std::optional<c10::ScalarType> storage_dtype(std::string_view name) {
    for (const StorageClass& known : storage_classes) {
        if (known.name == name) return known.dtype;
    }
    return std::nullopt;
}

/// What training checkpoints hold beside their tensors (numbers of numpy, the names of callbacks, bytes): read, never
/// called, and without a value here.
constexpr std::array<std::string_view, 8> without_value = {
    "__builtin__.set",
    "_codecs.encode",
    "builtins.set",
    "numpy._core.multiarray.scalar",
    "numpy.core.multiarray.scalar",
    "numpy.dtype",
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
    "lightning.pytorch.callbacks.model_checkpoint.ModelCheckpoint",
};

bool has_no_value(std::string_view name) {
    return std::find(without_value.begin(), without_value.end(), name) != without_value.end();
}

bool is_rebuild(std::string_view name) {
    return name == rebuild_tensor || name == rebuild_tensor_v2;
}

bool is_allowed(std::string_view name) {
    return name == ordered_dict || is_rebuild(name) || name == rebuild_parameter || storage_dtype(name) ||
           has_no_value(name);
}

}  // namespace

Value Unpickler::run() {
    for (;;) {
        const auto opcode = take_little_endian<unsigned char>();
        if (opcode == op_stop) return pop();
        if (!frame(opcode) && !constant(opcode) && !container(opcode) && !memo(opcode) && !object(opcode)) {
            reject(concat("uses the pickle opcode ", static_cast<int>(opcode), ", which no state dict needs"));
        }
    }
}

void Unpickler::reject(const std::string& problem) const {
    fail(where_, ": data.pkl ", problem, " (byte ", position_, "); get the model as .safetensors instead");
}

// ---- Bytes

std::string_view Unpickler::take(uint64_t bytes) {
    if (bytes > bytes_.size() - position_) reject("is cut off");
    const std::string_view taken = bytes_.substr(position_, bytes);
    position_ += bytes;
    return taken;
}

std::string_view Unpickler::take_line() {
    const size_t end = bytes_.find('\n', position_);
    if (end == std::string_view::npos) reject("is cut off");
    const std::string_view line = take(end - position_);
    ++position_;
    return line;
}

template <typename Integer>
Integer Unpickler::take_little_endian() {
    Integer value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
}

/// A two's complement number of up to 8 bytes, preceded by their count.
int64_t Unpickler::take_long() {
    const auto size = take_little_endian<unsigned char>();
    if (size > 8) reject("has a number of more than 64 bits");
    const std::string_view digits = take(size);
    uint64_t value = size > 0 && static_cast<signed char>(digits.back()) < 0 ? ~uint64_t{0} : 0;
    for (size_t i = size; i-- > 0;) value = value << 8 | static_cast<unsigned char>(digits[i]);
    return static_cast<int64_t>(value);
}

/// The only big-endian number of the format.
double Unpickler::take_double() {
    uint64_t bits = 0;
    for (const char byte : take(8)) bits = bits << 8 | static_cast<unsigned char>(byte);
    return std::bit_cast<double>(bits);
}

// ---- Stack

void Unpickler::push(Value value) {
    if (stack_.size() >= most_objects) reject("has too many values");
    stack_.push_back(value);
}

Value Unpickler::pop() {
    if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) reject("takes more values than it has");
    const Value value = stack_.back();
    stack_.pop_back();
    return value;
}

template <typename T>
T Unpickler::pop_as(const char* what) {
    const Value value = pop();
    if (!std::holds_alternative<T>(value)) reject(concat("has something else where ", what, " is due"));
    return std::get<T>(value);
}

Container* Unpickler::pop_container(Container::Kind kind) {
    auto* found = pop_as<Container*>("a container");
    if (found->kind != kind) reject("has a container of the wrong kind");
    return found;
}

Container* Unpickler::top_container(Container::Kind kind) {
    Container* found = pop_container(kind);
    stack_.emplace_back(found);
    return found;
}

std::vector<Value> Unpickler::pop_to_mark() {
    if (marks_.empty()) reject("closes a group that it has not opened");
    const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<Value> items(begin, stack_.end());
    stack_.erase(begin, stack_.end());
    marks_.pop_back();
    return items;
}

template <typename T>
T* Unpickler::keep(T object) {
    if (++kept_count_ > most_objects) reject("has too many objects");
    return &std::get<std::deque<T>>(kept_).emplace_back(std::move(object));
}

void Unpickler::push_text(std::string_view text) {
    push(static_cast<const std::string*>(keep(std::string(text))));
}

void Unpickler::push_container(Container::Kind kind, std::vector<Value> items) {
    push(keep(Container{kind, std::move(items)}));
}

void Unpickler::push_tuple_of(size_t count) {
    std::vector<Value> items(count);
    for (size_t i = count; i-- > 0;) items[i] = pop();
    push_container(Container::Kind::tuple, std::move(items));
}

/// Adds items to the list or dict on top of the stack.
void Unpickler::append(Container::Kind kind, std::vector<Value> items) {
    if (kind == Container::Kind::dict && items.size() % 2 != 0) reject("has a key without a value");
    Container* target = top_container(kind);
    target->items.insert(target->items.end(), items.begin(), items.end());
}

// ---- Opcodes

bool Unpickler::frame(unsigned char opcode) {
    switch (opcode) {
        case op_proto:
            if (take_little_endian<unsigned char>() > 5) reject("is of an unknown pickle protocol");
            return true;
        case op_frame:
            take(8);
            return true;  // a hint for readers that read in blocks
        case op_mark:
            if (marks_.size() >= most_objects) reject("is nested too deeply");
            marks_.push_back(stack_.size());
            return true;
        default:
            return false;
    }
}

bool Unpickler::constant(unsigned char opcode) {
    switch (opcode) {
        case op_none:
            push(std::monostate{});
            return true;
        case op_true:
            push(true);
            return true;
        case op_false:
            push(false);
            return true;
        case op_int4:
            push(int64_t{take_little_endian<int32_t>()});
            return true;
        case op_int1:
            push(int64_t{take_little_endian<uint8_t>()});
            return true;
        case op_int2:
            push(int64_t{take_little_endian<uint16_t>()});
            return true;
        case op_long1:
            push(take_long());
            return true;
        case op_float:
            push(take_double());
            return true;
        case op_bytes1:
        case op_text1:
            push_text(take(take_little_endian<uint8_t>()));
            return true;
        case op_bytes4:
        case op_text4:
            push_text(take(take_little_endian<uint32_t>()));
            return true;
        case op_text8:
            push_text(take(take_little_endian<uint64_t>()));
            return true;
        default:
            return false;
    }
}

bool Unpickler::container(unsigned char opcode) {
    using Kind = Container::Kind;
    switch (opcode) {
        case op_empty_dict:
            push_container(Kind::dict);
            return true;
        case op_empty_list:
            push_container(Kind::list);
            return true;
        case op_empty_tuple:
            push_container(Kind::tuple);
            return true;
        case op_tuple:
            push_container(Kind::tuple, pop_to_mark());
            return true;
        case op_tuple1:
            push_tuple_of(1);
            return true;
        case op_tuple2:
            push_tuple_of(2);
            return true;
        case op_tuple3:
            push_tuple_of(3);
            return true;
        case op_append:
            append(Kind::list, {pop()});
            return true;
        case op_appends:
            append(Kind::list, pop_to_mark());
            return true;
        case op_setitems:
            append(Kind::dict, pop_to_mark());
            return true;
        case op_setitem: {
            const Value value = pop(), key = pop();
            append(Kind::dict, {key, value});
            return true;
        }
        default:
            return false;
    }
}

bool Unpickler::memo(unsigned char opcode) {
    const auto put = [&](uint32_t index) {
        if (memo_.size() >= most_objects) reject("has too many objects");
        const Value top = pop();
        stack_.push_back(top);
        memo_[index] = top;
    };
    const auto get = [&](uint32_t index) {
        const auto found = memo_.find(index);
        if (found == memo_.end()) reject("refers to an object that it has not defined");
        push(found->second);
    };
    switch (opcode) {
        case op_put1:
            put(take_little_endian<uint8_t>());
            return true;
        case op_put4:
            put(take_little_endian<uint32_t>());
            return true;
        case op_memoize:
            put(static_cast<uint32_t>(memo_.size()));
            return true;
        case op_get1:
            get(take_little_endian<uint8_t>());
            return true;
        case op_get4:
            get(take_little_endian<uint32_t>());
            return true;
        default:
            return false;
    }
}

bool Unpickler::object(unsigned char opcode) {
    switch (opcode) {
        case op_global: {
            const std::string module(take_line());
            push_global(module + "." + std::string(take_line()));
            return true;
        }
        case op_stack_global: {
            const auto* name = pop_as<const std::string*>("a name");
            const auto* module = pop_as<const std::string*>("a module");
            push_global(*module + "." + *name);
            return true;
        }
        case op_persistent_id:
            push(load_storage(*pop_container(Container::Kind::tuple)));
            return true;
        case op_reduce: {
            const Container* arguments = pop_container(Container::Kind::tuple);
            push(call(*pop_as<const Global*>("a function"), *arguments));
            return true;
        }
        case op_build:  // attributes of a dict or tensor (a state dict's _metadata): of no use here
            pop();
            push(pop());
            return true;
        default:
            return false;
    }
}

// ---- Objects

void Unpickler::push_global(const std::string& name) {
    if (!is_allowed(name)) reject(concat("asks for ", quote(name), ", which a state dict has no use for"));
    push(static_cast<const Global*>(keep(Global{name})));
}

Value Unpickler::call(const Global& function, const Container& arguments) {
    if (function.name == ordered_dict) {
        if (!arguments.items.empty()) reject("has an OrderedDict with arguments");
        return keep(Container{Container::Kind::dict, {}});
    }
    if (has_no_value(function.name)) return std::monostate{};
    if (is_rebuild(function.name)) return make_view(arguments);
    const bool parameter = function.name == rebuild_parameter && !arguments.items.empty() &&
                           std::holds_alternative<const View*>(arguments.items[0]);
    if (!parameter) reject(concat("has a wrong call of ", quote(function.name)));
    return arguments.items[0];
}

/// _rebuild_tensor(storage, offset, sizes, strides), _rebuild_tensor_v2(the same, requires_grad, backward_hooks
/// [, metadata])
const View* Unpickler::make_view(const Container& arguments) {
    const auto& items = arguments.items;
    const bool fits = items.size() >= 4 && std::holds_alternative<const Storage*>(items[0]) &&
                      std::holds_alternative<int64_t>(items[1]);
    if (!fits) reject("has a tensor with wrong arguments");
    return keep(
        View{std::get<const Storage*>(items[0]), std::get<int64_t>(items[1]), integers(items[2]), integers(items[3])});
}

/// ('storage', class, key, location, number of elements[, None]); the last one of legacy files, where it could be a
/// view of another storage (which torch stopped writing in 2017)
const Storage* Unpickler::load_storage(const Container& id) {
    const auto& items = id.items;
    const bool whole = items.size() == 5 || (items.size() == 6 && std::holds_alternative<std::monostate>(items[5]));
    const bool fits = whole && std::holds_alternative<const std::string*>(items[0]) &&
                      *std::get<const std::string*>(items[0]) == "storage" &&
                      std::holds_alternative<const Global*>(items[1]) &&
                      std::holds_alternative<const std::string*>(items[2]) && std::holds_alternative<int64_t>(items[4]);
    const auto dtype = fits ? storage_dtype(std::get<const Global*>(items[1])->name) : std::nullopt;
    if (!dtype) reject("has a storage that is not described as torch.save does");
    return keep(Storage{*dtype, *std::get<const std::string*>(items[2]), std::get<int64_t>(items[4])});
}

std::map<std::string, const Storage*> Unpickler::storages() const {
    std::map<std::string, const Storage*> by_key;
    for (const Storage& storage : std::get<std::deque<Storage>>(kept_)) by_key.emplace(storage.key, &storage);
    return by_key;
}

std::vector<int64_t> Unpickler::integers(const Value& tuple) {
    const auto* const* container = std::get_if<Container*>(&tuple);
    if (!container || (*container)->kind != Container::Kind::tuple) reject("has a tensor without sizes or strides");
    std::vector<int64_t> numbers;
    for (const Value& item : (*container)->items) {
        if (!std::holds_alternative<int64_t>(item)) reject("has a size or stride that is not a number");
        numbers.push_back(std::get<int64_t>(item));
    }
    return numbers;
}

}  // namespace diffapple::pickle
