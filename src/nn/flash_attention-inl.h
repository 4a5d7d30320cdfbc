// The kernel of flash_attention.h on vectors-inl.h.
//
// What is multiplied comes in units of 32 bits: an fp32, or two bf16 whose products one instruction adds. A vector
// holds a unit of each of kLanes columns:
//     queries        [row][step]                              step: a unit of the head's channels
//     packed keys    [head][block of kLanes keys][step][lane]
//     scores         [row][key], of a block of keys; then, in their place, weights [row][unit of keys]
//     packed values  [head][unit of keys][block of kLanes channels][lane]
// so that both products, Q K^T and weights x V, are the same one of few rows with packed columns.
#include <math.h>
#include <string.h>

#include "flash_attention.h"
#include "vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace diffapple::nn {
namespace HWY_NAMESPACE {
namespace {
constexpr size_t kRegisters = HWY_ARCH_X86 && kLanes < 16 ? 16 : 32;
constexpr size_t kRows = kRegisters / 4;  // of one product: with three vectors each, sums fill the registers
constexpr size_t kTaskRows = 64;          // of one head: so often keys and values are read
constexpr size_t kBlockKeys = 128;        // scores, keys and values of a block stay in the caches

/// fp32, one a unit.
struct Fp32 : PreciseExponential {
    using Element = float;
    static constexpr size_t kPerUnit = 1;

    static HWY_INLINE Vector multiply_add(Vector a, Vector b, Vector sum) { return hn::MulAdd(a, b, sum); }
    static HWY_INLINE void store_weights(Vector first, Vector second, float* to) {
        hn::StoreU(first, Floats(), to);
        hn::StoreU(second, Floats(), to + kLanes);
    }
    static HWY_INLINE float from_float(float x) { return x; }
};

/// What a problem is made of, in units and vectors.
template <class Type>
struct Sizes {
    size_t heads;     ///< of the whole batch
    size_t steps;     ///< units of a query or key
    size_t channels;  ///< of a value: those of a head, filled up to whole vectors
    size_t padded_keys, key_floats, value_floats;

    explicit Sizes(const FlashProblem& problem)
        : heads(static_cast<size_t>(problem.batch * problem.heads)),
          steps(parts_of(static_cast<size_t>(problem.head_size), Type::kPerUnit)),
          channels(parts_of(static_cast<size_t>(problem.head_size), kLanes) * kLanes),
          padded_keys(parts_of(static_cast<size_t>(problem.keys), kLanes) * kLanes),
          key_floats(padded_keys * steps),
          value_floats(padded_keys / Type::kPerUnit * channels) {}

    /// Where the keys and the values of a head begin among what is packed.
    size_t keys_of(size_t head) const { return head * key_floats; }
    size_t values_of(size_t head) const { return heads * key_floats + head * value_floats; }
};

template <class Type>
const typename Type::Element* row_of(const HeadsView& view, const FlashProblem& problem, int64_t batch, int64_t head,
                                     int64_t row) {
    return static_cast<const typename Type::Element*>(view.data) + batch * view.batch_stride + row * view.row_stride +
           head * problem.head_size;
}

/// sums[row][vector] = sums[row][vector] keep[row] + the sum over steps of a[row][step] b[step][vector]; without
/// `keep`, the sum alone.
template <class Type, size_t rows, size_t vectors>
HWY_INLINE void multiply_tile(const float* HWY_RESTRICT a, size_t a_row, const float* HWY_RESTRICT b, size_t b_step,
                              size_t b_vector, size_t steps, float* HWY_RESTRICT sums, size_t sums_row,
                              const float* keep) {
    const Floats d;
    Vector s[rows][vectors];
    HWY_UNROLL(8)
    for (size_t r = 0; r < rows; ++r) {
        HWY_UNROLL(8)
        for (size_t v = 0; v < vectors; ++v) s[r][v] = hn::Zero(d);
    }
    for (size_t step = 0; step < steps; ++step) {
        Vector columns[vectors];
        HWY_UNROLL(8)
        for (size_t v = 0; v < vectors; ++v) columns[v] = hn::Load(d, b + step * b_step + v * b_vector);
        HWY_UNROLL(8)
        for (size_t r = 0; r < rows; ++r) {
            const Vector unit = hn::Set(d, a[r * a_row + step]);
            HWY_UNROLL(8)
            for (size_t v = 0; v < vectors; ++v) s[r][v] = Type::multiply_add(unit, columns[v], s[r][v]);
        }
    }
    HWY_UNROLL(8)
    for (size_t r = 0; r < rows; ++r) {
        HWY_UNROLL(8)
        for (size_t v = 0; v < vectors; ++v) {
            float* const to = sums + r * sums_row + v * kLanes;
            hn::Store(keep ? hn::MulAdd(hn::Load(d, to), hn::Set(d, keep[r]), s[r][v]) : s[r][v], d, to);
        }
    }
}

/// The same for kRows rows and any number of vectors.
template <class Type>
HWY_INLINE void multiply(const float* HWY_RESTRICT a, size_t a_row, const float* HWY_RESTRICT b, size_t b_step,
                         size_t b_vector, size_t steps, float* HWY_RESTRICT sums, size_t sums_row, size_t vectors,
                         const float* keep) {
    size_t v = 0;
    for (; v + 3 <= vectors; v += 3)
        multiply_tile<Type, kRows, 3>(a, a_row, b + v * b_vector, b_step, b_vector, steps, sums + v * kLanes, sums_row,
                                      keep);
    if (vectors - v == 2)
        multiply_tile<Type, kRows, 2>(a, a_row, b + v * b_vector, b_step, b_vector, steps, sums + v * kLanes, sums_row,
                                      keep);
    if (vectors - v == 1)
        multiply_tile<Type, kRows, 1>(a, a_row, b + v * b_vector, b_step, b_vector, steps, sums + v * kLanes, sums_row,
                                      keep);
}

/// Of one row: the largest score so far, in units of log2, and what each lane has summed of the weights relative to it.
struct RunningSoftmax {
    float maximum = -INFINITY;
    float sums[kLanes] = {};
};

/// Replaces a row of scores by their weights 2^(score scale log2(e) - maximum). Returns the factor by which what was
/// summed with the earlier maximum shrinks.
template <class Type>
HWY_INLINE float weigh(float* scores, size_t keys, float scale, RunningSoftmax& softmax) {
    const Floats d;
    Vector largest = hn::Load(d, scores);
    for (size_t j = kLanes; j < keys; j += kLanes) largest = hn::Max(largest, hn::Load(d, scores + j));
    const float log2_scale = scale * kLog2E;
    const float found = hn::GetLane(hn::MaxOfLanes(d, largest)) * log2_scale;
    const float maximum = found > softmax.maximum ? found : softmax.maximum;
    const Vector factor = power_of_2<Type>(hn::Set(d, softmax.maximum - maximum));
    const Vector scales = hn::Set(d, log2_scale), offset = hn::Set(d, -maximum);
    Vector even = hn::Mul(hn::LoadU(d, softmax.sums), factor), odd = hn::Zero(d);
    for (size_t j = 0; j < keys; j += 2 * kLanes) {
        const Vector first = power_of_2<Type>(hn::MulAdd(hn::Load(d, scores + j), scales, offset));
        Vector second = hn::Zero(d);
        if (j + kLanes < keys) second = power_of_2<Type>(hn::MulAdd(hn::Load(d, scores + j + kLanes), scales, offset));
        even = hn::Add(even, first);
        odd = hn::Add(odd, second);
        Type::store_weights(first, second, scores + j / Type::kPerUnit);
    }
    hn::StoreU(hn::Add(even, odd), d, softmax.sums);
    softmax.maximum = maximum;
    return hn::GetLane(factor);
}

template <class Type>
size_t packed_floats(const FlashProblem& problem) {
    const Sizes<Type> sizes(problem);
    return sizes.heads * (sizes.key_floats + sizes.value_floats);
}

/// Tasks of a head: blocks of its keys, or of its rows.
inline int64_t key_tasks(const FlashProblem& problem) {
    return static_cast<int64_t>(parts_of(static_cast<size_t>(problem.keys), kBlockKeys));
}
inline int64_t row_tasks(const FlashProblem& problem) {
    return static_cast<int64_t>(parts_of(static_cast<size_t>(problem.rows), kTaskRows));
}

inline int64_t pack_tasks(const FlashProblem& problem) {
    return problem.batch * problem.heads * key_tasks(problem);
}
inline int64_t attend_tasks(const FlashProblem& problem) {
    return problem.batch * problem.heads * row_tasks(problem);
}

/// A block of keys and values of a head; what fills up channels, units and vectors is 0.
template <class Type>
void pack(const FlashProblem& problem, float* packed, int64_t task) {
    using Element = typename Type::Element;
    const Sizes<Type> sizes(problem);
    const int64_t blocks = key_tasks(problem), index = task / blocks;
    const int64_t batch = index / problem.heads, head = index % problem.heads;
    auto* const keys = reinterpret_cast<Element*>(packed + sizes.keys_of(static_cast<size_t>(index)));
    auto* const values = reinterpret_cast<Element*>(packed + sizes.values_of(static_cast<size_t>(index)));
    const size_t size = static_cast<size_t>(problem.head_size);
    const size_t begin = static_cast<size_t>(task % blocks) * kBlockKeys;
    const size_t end = HWY_MIN(begin + kBlockKeys, sizes.padded_keys);
    constexpr size_t n = Type::kPerUnit;
    for (size_t j = begin; j < end; ++j) {
        Element* const to = keys + (j / kLanes * sizes.steps * kLanes + j % kLanes) * n;
        const bool exists = j < static_cast<size_t>(problem.keys);
        const Element* const k = row_of<Type>(problem.key, problem, batch, head, static_cast<int64_t>(exists ? j : 0));
        for (size_t step = 0; step < sizes.steps; ++step)
            for (size_t i = 0; i < n; ++i)
                to[step * kLanes * n + i] = exists && step * n + i < size ? k[step * n + i] : Element{};
    }
    for (size_t j = begin; j < end; ++j) {
        Element* const to = values + (j / n * sizes.channels) * n + j % n;
        const bool exists = j < static_cast<size_t>(problem.keys);
        const Element* const v =
            row_of<Type>(problem.value, problem, batch, head, static_cast<int64_t>(exists ? j : 0));
        for (size_t c = 0; c < sizes.channels; ++c) to[c * n] = exists && c < size ? v[c] : Element{};
    }
}

/// kTaskRows rows of a head on their way through its keys.
struct Rows {
    int64_t batch, head, first, count;
    float *scores, *sums, *queries;  // [kRows][kBlockKeys], [kTaskRows][channels], [kTaskRows][steps]
    RunningSoftmax softmax[kTaskRows];
};

template <class Type>
size_t scratch_floats(const FlashProblem& problem) {
    const Sizes<Type> sizes(problem);
    return kRows * kBlockKeys + kTaskRows * (sizes.channels + sizes.steps);
}

/// The rows of a task, with their queries in units; rows past the last are 0.
template <class Type>
HWY_INLINE Rows begin_rows(const FlashProblem& problem, const Sizes<Type>& sizes, int64_t task, float* scratch) {
    const int64_t tasks = row_tasks(problem);
    Rows rows;
    rows.batch = task / tasks / problem.heads;
    rows.head = task / tasks % problem.heads;
    rows.first = task % tasks * static_cast<int64_t>(kTaskRows);
    rows.count = HWY_MIN(static_cast<int64_t>(kTaskRows), problem.rows - rows.first);
    rows.scores = scratch;
    rows.sums = rows.scores + kRows * kBlockKeys;
    rows.queries = rows.sums + kTaskRows * sizes.channels;
    memset(rows.queries, 0, kTaskRows * sizes.steps * sizeof(float));
    for (int64_t r = 0; r < rows.count; ++r)
        memcpy(rows.queries + static_cast<size_t>(r) * sizes.steps,
               row_of<Type>(problem.query, problem, rows.batch, rows.head, rows.first + r),
               static_cast<size_t>(problem.head_size) * sizeof(typename Type::Element));
    return rows;
}

/// Scales scores and adds the mask to them. The columns are keys from `first_key` on.
HWY_INLINE void add_mask(const FlashProblem& problem, int64_t row, size_t first_key, size_t keys, float* scores) {
    if (row >= problem.rows) return;
    const float* const mask = problem.mask + row * problem.keys + first_key;
    for (size_t j = 0; j < keys; ++j) scores[j] = scores[j] * problem.scale + mask[j];
}

/// Takes kRows rows, from `row` of the task on, through a block of keys and values.
template <class Type>
HWY_INLINE void attend_to_block(const FlashProblem& problem, const Sizes<Type>& sizes, Rows& rows, size_t row,
                                size_t first_key, const float* keys, const float* values) {
    const size_t padded = HWY_MIN(kBlockKeys, sizes.padded_keys - first_key);
    const size_t exist = HWY_MIN(kBlockKeys, static_cast<size_t>(problem.keys) - first_key);
    multiply<Type>(rows.queries + row * sizes.steps, sizes.steps, keys, kLanes, sizes.steps * kLanes, sizes.steps,
                   rows.scores, kBlockKeys, padded / kLanes, nullptr);
    float keep[kRows];
    for (size_t r = 0; r < kRows; ++r) {
        float* const scores = rows.scores + r * kBlockKeys;
        if (problem.mask) add_mask(problem, rows.first + static_cast<int64_t>(row + r), first_key, exist, scores);
        for (size_t j = exist; j < padded; ++j) scores[j] = -INFINITY;
        keep[r] = weigh<Type>(scores, padded, problem.mask ? 1.0F : problem.scale, rows.softmax[row + r]);
    }
    multiply<Type>(rows.scores, kBlockKeys, values, sizes.channels, kLanes, padded / Type::kPerUnit,
                   rows.sums + row * sizes.channels, sizes.channels, sizes.channels / kLanes,
                   first_key > 0 ? keep : nullptr);
}

/// Divides each row by the sum of its weights and writes it to its place.
template <class Type>
HWY_INLINE void store_rows(const FlashProblem& problem, const Sizes<Type>& sizes, const Rows& rows) {
    auto* const result = static_cast<typename Type::Element*>(problem.result);
    for (int64_t r = 0; r < rows.count; ++r) {
        const int64_t place = (rows.batch * problem.rows + rows.first + r) * problem.heads + rows.head;
        const float* const sums = rows.sums + static_cast<size_t>(r) * sizes.channels;
        const float inverse = 1 / hn::GetLane(hn::SumOfLanes(Floats(), hn::LoadU(Floats(), rows.softmax[r].sums)));
        for (int64_t c = 0; c < problem.head_size; ++c)
            result[place * problem.head_size + c] = Type::from_float(sums[c] * inverse);
    }
}

/// Each block of keys and values is read once for all rows of the task.
template <class Type>
void attend(const FlashProblem& problem, const float* packed, float* scratch, int64_t task) {
    const Sizes<Type> sizes(problem);
    auto rows = begin_rows<Type>(problem, sizes, task, scratch);
    const auto index = static_cast<size_t>(rows.batch * problem.heads + rows.head);
    const float* const keys = packed + sizes.keys_of(index);
    const float* const values = packed + sizes.values_of(index);
    for (size_t key = 0; key < sizes.padded_keys; key += kBlockKeys)
        for (size_t row = 0; row < static_cast<size_t>(rows.count); row += kRows)
            attend_to_block<Type>(problem, sizes, rows, row, key, keys + key * sizes.steps,
                                  values + key / Type::kPerUnit * sizes.channels);
    store_rows<Type>(problem, sizes, rows);
}

template <class Type>
constexpr FlashKernel make_kernel() {
    return {packed_floats<Type>, pack_tasks, pack<Type>, attend_tasks, scratch_floats<Type>, attend<Type>};
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace diffapple::nn
HWY_AFTER_NAMESPACE();
