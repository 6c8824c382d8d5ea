// Order along rows: sorting, and the k largest or smallest.
//
// Numbers are compared as integers of their width: the bits of a float in the order of what they stand for. NaN counts as the largest,
// and zeros of either sign are equal. Equal numbers keep their order.
#include "vec.h"

namespace mytorch {
namespace MYTORCH_ISA {

namespace {

constexpr int64_t SORTED_GRAIN = GRAIN / 2;

template <class T> using Number = typename Vectors<T>::Scalar;

// Integers in the order of the numbers of a vector, or in the opposite order.
template <class T> MYTORCH_INLINE Mask<T> places(Vec<T> v, bool descending) {
    using S = Number<T>;
    Mask<T> bits = bits_as<Mask<T>>(v);
    if constexpr (std::is_floating_point<T>::value) {
        bits = bits ^ ((bits >> S(sizeof(T) * 8 - 1)) & std::numeric_limits<S>::max());  // negative ones are stored in opposite order
        bits = v == T(0) ? Mask<T>{} : bits;
        bits = v != v ? Mask<T>{} + std::numeric_limits<S>::max() : bits;
    }
    return descending ? ~bits : bits;
}

template <class T> MYTORCH_INLINE Vec<T> part_of_row(const T *x, int64_t at, int64_t n) {
    return at + WIDTH<T> <= n ? load(x + at) : load_some(x + at, n - at);
}

// ---- sorting: by the digits of the integers, the last digit first (Knuth, The Art of Computer Programming, 5.2.5) ----------------

template <class T> struct Item {
    std::make_unsigned_t<Number<T>> key;
    uint32_t index;
};

template <class T> void insertion_sort(Item<T> *items, int64_t n) {
    for (int64_t i = 1; i < n; ++i) {
        const Item<T> item = items[i];
        int64_t at = i;
        for (; at > 0 && items[at - 1].key > item.key; --at) {
            items[at] = items[at - 1];
        }
        items[at] = item;
    }
}

// Sorts with the help of as much memory again; returns where the result is. A digit that all keys share is passed over.
template <class T, int BITS> Item<T> *radix_sort(Item<T> *items, Item<T> *others, int64_t n) {
    constexpr int DIGITS = (static_cast<int>(sizeof(T)) * 8 + BITS - 1) / BITS;
    constexpr uint32_t BUCKETS = 1u << BITS;
    const auto digit = [](const Item<T> &item, int d) { return static_cast<uint32_t>(item.key >> (d * BITS)) & (BUCKETS - 1); };
    Scratch<uint32_t> counts(int64_t{DIGITS} * BUCKETS);
    std::memset(counts, 0, sizeof(uint32_t) * DIGITS * BUCKETS);
    for (int64_t i = 0; i < n; ++i) {
        for (int d = 0; d < DIGITS; ++d) {
            ++counts[d * BUCKETS + digit(items[i], d)];
        }
    }
    for (int d = 0; d < DIGITS; ++d) {
        uint32_t *const place = counts + d * BUCKETS;
        if (place[digit(items[0], d)] == n) {
            continue;
        }
        uint32_t before = 0;
        for (uint32_t b = 0; b < BUCKETS; ++b) {
            const uint32_t count = place[b];
            place[b] = before;
            before += count;
        }
        for (int64_t i = 0; i < n; ++i) {
            others[place[digit(items[i], d)]++] = items[i];
        }
        Item<T> *const sorted = others;
        others = items;
        items = sorted;
    }
    return items;
}

template <class T> void sort_row(const T *x, T *values, int64_t *indices, int64_t n, bool descending, Item<T> *items) {
    constexpr int W = WIDTH<T>;
    constexpr Number<T> sign = std::numeric_limits<Number<T>>::min();
    for (int64_t i = 0; i < n; i += W) {
        const Mask<T> keys = places<T>(part_of_row(x, i, n), descending) ^ sign;  // as unsigned integers
        for (int64_t k = 0; k < least<int64_t>(W, n - i); ++k) {
            items[i + k] = {static_cast<std::make_unsigned_t<Number<T>>>(keys[k]), static_cast<uint32_t>(i + k)};
        }
    }
    if (n <= 48) {
        insertion_sort<T>(items, n);
    } else {
        items = n < 4096 ? radix_sort<T, 8>(items, items + n, n) : radix_sort<T, 11>(items, items + n, n);
    }
    for (int64_t i = 0; i < n; ++i) {
        indices[i] = items[i].index;
        values[i] = x[items[i].index];
    }
}

struct Rows {
    int64_t count, length;

    explicit Rows(const mytorch_array &x) {
        require(x.ndim > 0, "expected rows");
        length = x.shape[x.ndim - 1];
        count = length > 0 ? count_of(x) / length : 0;
    }
    int64_t grain() const { return greatest<int64_t>(1, SORTED_GRAIN / greatest<int64_t>(1, length)); }
};

// x, values, indices, descending: along the last dimension
template <class T> int sort_typed(const mytorch_argument *arguments) {
    const mytorch_array &given = arguments[0].array, &found = arguments[1].array, &place = arguments[2].array;
    require(same_shape(given, found) && same_shape(given, place), "x, values and indices have one shape");
    const Rows rows(given);
    if (rows.length >= int64_t{1} << 31) {
        return 0;
    }
    const T *x = elements<T>(given);
    T *values = elements<T>(found);
    int64_t *indices = elements<int64_t>(place);
    const bool descending = arguments[3].integer != 0;
    parallel_ranges(rows.count, rows.grain(), [&](int64_t begin, int64_t end) {
        Scratch<Item<T>> items(2 * rows.length);
        for (int64_t row = begin; row < end; ++row) {
            const int64_t at = row * rows.length;
            sort_row<T>(x + at, values + at, indices + at, rows.length, descending, items);
        }
    });
    return 1;
}

// ---- the k largest or smallest: those found so far, in order, and whatever is better than the last of them ------------------------

template <class T> void best_of_row(const T *x, int64_t n, int64_t k, bool largest, Number<T> *keys, T *values, int64_t *indices) {
    constexpr int W = WIDTH<T>;
    int64_t held = 0;
    for (int64_t i = 0; i < n; i += W) {
        const Mask<T> found = places<T>(part_of_row(x, i, n), !largest);
        if (held == k && !any(found > keys[k - 1])) {
            continue;
        }
        for (int64_t lane = 0; lane < least<int64_t>(W, n - i); ++lane) {
            const Number<T> key = found[lane];
            if (held == k && key <= keys[k - 1]) {
                continue;
            }
            int64_t at = held < k ? held++ : k - 1;
            for (; at > 0 && keys[at - 1] < key; --at) {
                keys[at] = keys[at - 1];
                indices[at] = indices[at - 1];
            }
            keys[at] = key;
            indices[at] = i + lane;
        }
    }
    for (int64_t i = 0; i < k; ++i) {
        values[i] = x[indices[i]];
    }
}

// x (*, n), values, indices (*, k), largest
template <class T> int topk_typed(const mytorch_argument *arguments) {
    const mytorch_array &given = arguments[0].array, &found = arguments[1].array, &place = arguments[2].array;
    require(same_shape(found, place), "values and indices have one shape");
    const Rows rows(given), best(found);
    const int64_t k = best.length;
    require(k > 0 && k <= rows.length && best.count == rows.count, "expected k of each row");
    const T *x = elements<T>(given);
    T *values = elements<T>(found);
    int64_t *indices = elements<int64_t>(place);
    const bool largest = arguments[3].integer != 0;
    parallel_ranges(rows.count, rows.grain(), [&](int64_t begin, int64_t end) {
        Scratch<Number<T>> keys(k);
        for (int64_t row = begin; row < end; ++row) {
            best_of_row<T>(x + row * rows.length, rows.length, k, largest, keys, values + row * k, indices + row * k);
        }
    });
    return 1;
}

int sort(const mytorch_argument *x) {
    return holds<float>(x[0].array) ? sort_typed<float>(x) : holds<double>(x[0].array) ? sort_typed<double>(x)
           : holds<int32_t>(x[0].array) ? sort_typed<int32_t>(x) : holds<int64_t>(x[0].array) ? sort_typed<int64_t>(x) : 0;
}
int topk(const mytorch_argument *x) {
    return holds<float>(x[0].array) ? topk_typed<float>(x) : holds<double>(x[0].array) ? topk_typed<double>(x)
           : holds<int32_t>(x[0].array) ? topk_typed<int32_t>(x) : holds<int64_t>(x[0].array) ? topk_typed<int64_t>(x) : 0;
}

}  // namespace

extern const mytorch_kernel order_kernels[] = {
    {"sort", "rwwi", sort},
    {"topk", "rwwi", topk},
    {nullptr, nullptr, nullptr},
};

}  // namespace MYTORCH_ISA
}  // namespace mytorch
