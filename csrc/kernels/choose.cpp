// Choosing by index and by mask: rows of a table, the sum of what goes back to them, and `where`.
#include "flags.h"

namespace mytorch {
namespace MYTORCH_ISA {

namespace {

// ---- rows of a table -----------------------------------------------------------------------------------------------------------

template <class I> bool all_below(const mytorch_array &index, int64_t rows) {
    const I *at = elements<I>(index);
    bool inside = true;
    for (int64_t i = 0; i < count_of(index); ++i) {
        inside &= static_cast<uint64_t>(at[i]) < static_cast<uint64_t>(rows);
    }
    return inside;
}

// y[i] = table[index[i]], whatever the rows hold
template <class I> int take_rows_by(const mytorch_array &table, const mytorch_array &index, const mytorch_array &y) {
    require(table.ndim == 2 && is_contiguous(table) && is_contiguous(y) && table.itemsize == y.itemsize && table.type == y.type,
            "rows: table and y are row-major and of one type");
    const int64_t count = count_of(index);
    const int64_t width = table.shape[1];
    require(count_of(y) == count * width, "rows: one row per index");
    if (!all_below<I>(index, table.shape[0])) {
        return 0;
    }
    const I *at = elements<I>(index);
    const char *from = static_cast<const char *>(table.data);
    char *to = static_cast<char *>(y.data);
    const int64_t bytes = width * table.itemsize;
    parallel_ranges(count, GRAIN / greatest<int64_t>(width, 1) + 1, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            std::memcpy(to + i * bytes, from + at[i] * bytes, static_cast<size_t>(bytes));
        }
    });
    return 1;
}

int take_rows(const mytorch_argument *x) {
    const mytorch_array &table = x[0].array, &index = x[1].array, &y = x[2].array;
    return holds<int64_t>(index) ? take_rows_by<int64_t>(table, index, y) : holds<int32_t>(index) ? take_rows_by<int32_t>(table, index, y) : 0;
}

// table[index[i]] += g[i], in the order of i; nothing to row `skipped`. Tasks share out the columns, so that no two write to one place.
template <class T, class I> int add_rows_typed(const mytorch_array &g, const mytorch_array &index, int64_t skipped, const mytorch_array &table) {
    require(table.ndim == 2, "rows: the table is a matrix");
    const int64_t count = count_of(index);
    const int64_t width = table.shape[1];
    require(count_of(g) == count * width, "rows: one row per index");
    const T *from = elements<T>(g);
    T *to = elements<T>(table);
    if (!all_below<I>(index, table.shape[0])) {
        return 0;
    }
    const I *at = elements<I>(index);
    parallel_ranges(count_of(table), 8 * GRAIN, [&](int64_t begin, int64_t end) {
        std::memset(to + begin, 0, static_cast<size_t>(end - begin) * sizeof(T));
    });
    const int64_t slice = count * width < GRAIN ? greatest<int64_t>(width, 1) : 4 * WIDTH<T>;
    parallel_ranges(width, slice, [&](int64_t begin, int64_t end) {
        for (int64_t i = 0; i < count; ++i) {
            if (at[i] != skipped) {
                T *row = to + at[i] * width + begin;
                map(end - begin, row, [](Vec<T> sum, Vec<T> v) { return sum + v; }, static_cast<const T *>(row), from + i * width + begin);
            }
        }
    });
    return 1;
}

template <class T> int add_rows_of(const mytorch_argument *x) {
    const mytorch_array &g = x[0].array, &index = x[1].array, &table = x[3].array;
    return holds<int64_t>(index) ? add_rows_typed<T, int64_t>(g, index, x[2].integer, table)
           : holds<int32_t>(index) ? add_rows_typed<T, int32_t>(g, index, x[2].integer, table) : 0;
}

int add_to_rows(const mytorch_argument *x) {
    return holds<float>(x[0].array) ? add_rows_of<float>(x) : holds<double>(x[0].array) ? add_rows_of<double>(x) : 0;
}

// ---- y = a where the mask is true, else b --------------------------------------------------------------------------------------

// The mask, a and b, in as few dimensions as say the same; steps are in elements, 0 where an array is repeated.
struct Choice {
    static constexpr int MOST = 8;
    int ndim = 0;
    int64_t shape[MOST];
    int64_t steps[MOST][3];

    // False if there are too many dimensions.
    bool plan(const mytorch_array *const (&given)[3], const mytorch_array &y) {
        for (int i = 0; i < y.ndim; ++i) {
            int64_t own[3];
            for (int k = 0; k < 3; ++k) {
                const int from = i - (y.ndim - given[k]->ndim);
                require(from < 0 || given[k]->shape[from] == y.shape[i] || given[k]->shape[from] == 1, "where: arrays broadcast to y");
                own[k] = from < 0 || given[k]->shape[from] == 1 ? 0 : step(*given[k], from);
            }
            if (y.shape[i] != 1 && !add(y.shape[i], own)) {
                return false;
            }
        }
        const int64_t none[3] = {0, 0, 0};
        return ndim > 0 || add(1, none);
    }

    bool add(int64_t size, const int64_t (&own)[3]) {
        if (ndim > 0) {
            int64_t(&outer)[3] = steps[ndim - 1];
            if (outer[0] == own[0] * size && outer[1] == own[1] * size && outer[2] == own[2] * size) {
                shape[ndim - 1] *= size;
                std::memcpy(outer, own, sizeof(own));
                return true;
            }
        }
        if (ndim == MOST) {
            return false;
        }
        shape[ndim] = size;
        std::memcpy(steps[ndim++], own, sizeof(own));
        return true;
    }
};

template <class T> MYTORCH_INLINE Vec<T> numbers(const T *from, int64_t step, int64_t count) {
    if (step == 0) {
        return from[0] - Vec<T>{};  // keeps -0.0
    }
    return count == WIDTH<T> ? load(from) : load_some(from, count);
}

template <class T> void choose_row(int64_t n, const uint8_t *mask, const T *a, const T *b, const int64_t (&steps)[3], T *y) {
    constexpr int W = WIDTH<T>;
    if (steps[0] == 1 && steps[1] <= 1 && steps[1] >= 0 && steps[2] <= 1 && steps[2] >= 0) {
        for (int64_t i = 0; i < n; i += W) {
            const int64_t count = least<int64_t>(W, n - i);
            const Vec<T> v = (count == W ? flags<T>(mask + i) : flags<T>(mask + i, count)) ? numbers(a + i * steps[1], steps[1], count) : numbers(b + i * steps[2], steps[2], count);
            if (count == W) {
                store(y + i, v);
            } else {
                store_some(y + i, v, count);
            }
        }
        return;
    }
    for (int64_t i = 0; i < n; ++i) {
        y[i] = mask[i * steps[0]] != 0 ? a[i * steps[1]] : b[i * steps[2]];
    }
}

template <class T> int where_typed(const mytorch_array &mask, const mytorch_array &a, const mytorch_array &b, const mytorch_array &y) {
    if (!holds<T>(b) || !holds<T>(y) || mask.type != MYTORCH_BOOL) {
        return 0;
    }
    Choice choice;
    if (!choice.plan({&mask, &a, &b}, y)) {
        return 0;
    }
    T *to = elements<T>(y);
    const int64_t count = count_of(y);
    if (count == 0) {
        return 1;
    }
    const int inner = choice.ndim - 1;
    const int64_t length = choice.shape[inner];
    const int64_t piece = least(length, GRAIN);  // a task is a number of rows, or a piece of one long row
    const int64_t pieces = (length + piece - 1) / piece;
    const int64_t rows = count / length;
    const int64_t together = pieces > 1 ? 1 : greatest<int64_t>(1, GRAIN / length);
    parallel((rows + together - 1) / together * pieces, [&](int64_t task) {
        const int64_t begin = task % pieces * piece;
        const int64_t first = task / pieces * together;
        for (int64_t row = first; row < least(rows, first + together); ++row) {
            int64_t rest = row;
            int64_t at[3];
            for (int k = 0; k < 3; ++k) {
                at[k] = begin * choice.steps[inner][k];
            }
            for (int i = inner - 1; i >= 0; --i) {
                const int64_t place = rest % choice.shape[i];
                rest /= choice.shape[i];
                for (int k = 0; k < 3; ++k) {
                    at[k] += place * choice.steps[i][k];
                }
            }
            choose_row<T>(least(piece, length - begin), static_cast<const uint8_t *>(mask.data) + at[0], static_cast<const T *>(a.data) + at[1],
                          static_cast<const T *>(b.data) + at[2], choice.steps[inner], to + row * length + begin);
        }
    });
    return 1;
}

int where(const mytorch_argument *x) {
    const mytorch_array &mask = x[0].array, &a = x[1].array, &b = x[2].array, &y = x[3].array;
    return holds<float>(a) ? where_typed<float>(mask, a, b, y) : holds<double>(a) ? where_typed<double>(mask, a, b, y) : 0;
}

}  // namespace

extern const mytorch_kernel choose_kernels[] = {
    {"take_rows", "rrw", take_rows},
    {"add_to_rows", "rriw", add_to_rows},
    {"where", "rrrw", where},
    {nullptr, nullptr, nullptr},
};

}  // namespace MYTORCH_ISA
}  // namespace mytorch
