// Numbers picked along a dimension by an array of places, and numbers written or added there; whole slices by a list of places.
//
// Arrays are seen as (outer, n, inner), places counted along n. Tasks share out `outer` and columns of `inner`, so that no two of them
// write to one place, and what meets in one place is added in the order of the places.
#include "bfloat16.h"

namespace mytorch {
namespace MYTORCH_ISA {

namespace {

bool all_within(const int64_t *at, int64_t count, int64_t lowest, int64_t end) {
    constexpr int W = WIDTH<int64_t>;
    VecL outside{};
    int64_t i = 0;
    for (; i + W <= count; i += W) {
        const VecL place = load(at + i);
        outside |= (place < lowest) | (place >= end);
    }
    bool inside = !any(outside);
    for (; i < count; ++i) {
        inside &= at[i] >= lowest && at[i] < end;
    }
    return inside;
}

// Whether lowest <= places < end: places, lowest, end
int within(const mytorch_argument *x) {
    if (!holds<int64_t>(x[0].array)) {
        return 0;
    }
    const int64_t *at = elements<int64_t>(x[0].array);
    std::atomic<bool> inside{true};
    parallel_ranges(count_of(x[0].array), GRAIN, [&](int64_t begin, int64_t end) {
        if (!all_within(at + begin, end - begin, x[1].integer, x[2].integer)) {
            inside = false;
        }
    });
    return inside;
}

// The sizes of arrays of which one is long along the dimension in question and the other short.
struct Sizes {
    int64_t outer, n, m, inner;

    Sizes(const mytorch_array &x, const mytorch_array &y, int64_t outer_, int64_t inner_) : outer(outer_), n(0), m(0), inner(inner_) {
        const int64_t all_x = count_of(x), all_y = count_of(y), others = outer * inner;
        require(outer > 0 && inner > 0 && outer <= (int64_t{1} << 40) && inner <= (int64_t{1} << 40) / outer, "sizes are positive");
        require(all_x % others == 0 && all_y % others == 0, "x and y have outer * inner rows along the dimension");
        n = all_x / others;
        m = all_y / others;
    }
};

// ---- reading -------------------------------------------------------------------------------------------------------------------

// y[o, j, i] = x[o, at[o, j, i], i]
template <class T> int gather_typed(const mytorch_array &x, const mytorch_array &places, const mytorch_array &y, const Sizes &size) {
    require(same_shape(places, y) && is_contiguous(y), "y has the shape of the places");
    const int64_t *at = elements<int64_t>(places);
    const T *from = static_cast<const T *>(x.data);
    T *to = static_cast<T *>(y.data);
    const int64_t n = size.n, m = size.m, inner = size.inner;
    std::atomic<bool> inside{true};
    parallel_ranges(size.outer * m, greatest<int64_t>(1, GRAIN / inner), [&](int64_t begin, int64_t end) {
        if (!all_within(at + begin * inner, (end - begin) * inner, 0, n)) {
            inside = false;
            return;
        }
        while (begin < end) {
            const int64_t outer = begin / m, stop = least(end, (outer + 1) * m);
            const T *block = from + outer * n * inner;
            if (inner == 1) {
                for (; begin < stop; ++begin) {
                    to[begin] = block[at[begin]];
                }
            }
            for (; begin < stop; ++begin) {
                const int64_t *row = at + begin * inner;
                for (int64_t i = 0; i < inner; ++i) {
                    to[begin * inner + i] = block[row[i] * inner + i];
                }
            }
        }
    });
    return inside;
}

// x, places, y, outer, inner
int gather(const mytorch_argument *x) {
    const mytorch_array &from = x[0].array, &places = x[1].array, &y = x[2].array;
    if (!holds<int64_t>(places) || !is_contiguous(from)) {
        return 0;
    }
    require(from.itemsize == y.itemsize, "x and y are of one type");
    const Sizes size(from, y, x[3].integer, x[4].integer);
    return y.itemsize == 4   ? gather_typed<float>(from, places, y, size)
           : y.itemsize == 8 ? gather_typed<double>(from, places, y, size)
           : y.itemsize == 2 ? gather_typed<uint16_t>(from, places, y, size) : 0;
}

// Slices [begin, end) of y, counted over all o. BYTES is the size of a slice, which makes its copy one instruction; 0 stands for any.
template <int64_t BYTES = 0>
void copy_slices(const char *x, const int64_t *at, char *y, const Sizes &size, int64_t any_bytes, int64_t begin, int64_t end) {
    const int64_t n = size.n, m = size.m, bytes = BYTES != 0 ? BYTES : any_bytes;
    while (begin < end) {
        const int64_t outer = begin / m, stop = least(end, (outer + 1) * m);
        const char *block = x + outer * n * bytes;
        for (const int64_t *place = at + (begin - outer * m); begin < stop; ++begin, ++place) {
            const int64_t row = *place < 0 ? *place + n : *place;
            std::memcpy(y + begin * bytes, block + row * bytes, static_cast<size_t>(bytes));
        }
    }
}

// y[o, j] = x[o, at[j]], slices of any type; places may count from the end: x, places, y, outer, inner
int take_slices(const mytorch_argument *x) {
    const mytorch_array &from = x[0].array, &places = x[1].array, &y = x[2].array;
    if (!holds<int64_t>(places) || !is_contiguous(from)) {
        return 0;
    }
    require(from.itemsize == y.itemsize && is_contiguous(y), "x and y are of one type");
    const Sizes size(from, y, x[3].integer, x[4].integer);
    const int64_t *at = elements<int64_t>(places);
    require(count_of(places) == size.m, "one slice per place");
    if (!all_within(at, size.m, -size.n, size.n)) {
        return 0;
    }
    const char *source = static_cast<const char *>(from.data);
    char *to = static_cast<char *>(y.data);
    const int64_t bytes = size.inner * y.itemsize;
    parallel_ranges(size.outer * size.m, GRAIN / size.inner + 1, [&](int64_t begin, int64_t end) {
        const auto copy = bytes == 4 ? copy_slices<4> : bytes == 8 ? copy_slices<8> : bytes == 16 ? copy_slices<16> : copy_slices<>;
        copy(source, at, to, size, bytes, begin, end);
    });
    return 1;
}

// ---- writing -------------------------------------------------------------------------------------------------------------------

bool is_one_number(const mytorch_array &x) {
    for (int i = 0; i < x.ndim; ++i) {
        if (x.shape[i] != 1 && x.strides[i] != 0) {
            return false;
        }
    }
    return true;
}

// y = x, then body(o, first column, columns) for parts of it. x may be one number, repeated.
template <class T, class Body> void over_copy(const mytorch_array &x, const mytorch_array &y, const Sizes &size, const Body &body) {
    const T *from = static_cast<const T *>(x.data);
    T *to = static_cast<T *>(y.data);
    const bool one = is_one_number(x);
    const int64_t n = size.n, inner = size.inner, along = n + size.m;
    const int64_t columns = least(inner, greatest<int64_t>(32, GRAIN / along)), strips = (inner + columns - 1) / columns;
    const int64_t together = strips > 1 ? 1 : greatest<int64_t>(1, GRAIN / (along * inner));
    parallel_ranges(size.outer * strips, together, [&](int64_t begin, int64_t end) {
        for (int64_t task = begin; task < end; ++task) {
            const int64_t outer = task / strips, first = task % strips * columns, width = least(columns, inner - first);
            const int64_t rows = width == inner ? 1 : n, length = width == inner ? n * inner : width;  // a block is one long row
            for (int64_t row = 0; row < rows; ++row) {
                const int64_t start = (outer * n + row) * inner + first;
                if (one) {
                    for (int64_t i = 0; i < length; ++i) {
                        to[start + i] = *from;
                    }
                } else {
                    std::memcpy(to + start, from + start, static_cast<size_t>(length) * sizeof(T));
                }
            }
            body(outer, first, width);
        }
    });
}

struct Put {
    template <class T> static void at(T &place, T value) { place = value; }
};
struct Plus {
    template <class T> static void at(T &place, T value) { place += value; }
};

// y = x; y[o, at[o, j, i], i] = source[o, j, i], or that added to it. The source may be one number.
template <class T, class F>
int scatter_typed(const mytorch_array &x, const mytorch_array &places, const mytorch_array &source, const mytorch_array &y, const Sizes &size) {
    const bool one = source.ndim == 0;
    require(is_contiguous(y) && (one || (same_shape(places, source) && is_contiguous(source))), "one number per place");
    const int64_t *at = elements<int64_t>(places);
    const T *from = static_cast<const T *>(source.data);
    T *to = static_cast<T *>(y.data);
    const int64_t n = size.n, m = size.m, inner = size.inner;
    std::atomic<bool> inside{true};
    over_copy<T>(x, y, size, [&](int64_t outer, int64_t first, int64_t width) {
        T *block = to + outer * n * inner + first;
        const int64_t rows = width == inner ? 1 : m, length = width == inner ? m * inner : width;
        for (int64_t row = 0; row < rows; ++row) {
            if (!all_within(at + (outer * m + row) * inner + first, length, 0, n)) {
                inside = false;
                return;
            }
        }
        if (inner == 1) {
            const int64_t *row = at + outer * m;
            for (int64_t j = 0; j < m; ++j) {
                F::at(block[row[j]], one ? *from : from[outer * m + j]);
            }
            return;
        }
        for (int64_t j = 0; j < m; ++j) {
            const int64_t start = (outer * m + j) * inner + first;
            for (int64_t i = 0; i < width; ++i) {
                F::at(block[at[start + i] * inner + i], one ? *from : from[start + i]);
            }
        }
    });
    return inside;
}

// x, places, source, y, outer, inner, whether to add
int scatter(const mytorch_argument *arguments) {
    const mytorch_array &x = arguments[0].array, &places = arguments[1].array, &source = arguments[2].array, &y = arguments[3].array;
    if (!holds<int64_t>(places) || !(is_contiguous(x) || is_one_number(x))) {
        return 0;
    }
    require(x.type == y.type && source.type == y.type && x.itemsize == y.itemsize && source.itemsize == y.itemsize && same_shape(x, y),
            "x, source and y are of one type");
    const Sizes size(y, places, arguments[4].integer, arguments[5].integer);
    if (arguments[6].integer != 0) {
        return holds<float>(y)    ? scatter_typed<float, Plus>(x, places, source, y, size)
               : holds<double>(y) ? scatter_typed<double, Plus>(x, places, source, y, size) : 0;
    }
    return y.itemsize == 4   ? scatter_typed<float, Put>(x, places, source, y, size)
           : y.itemsize == 8 ? scatter_typed<double, Put>(x, places, source, y, size)
           : y.itemsize == 2 ? scatter_typed<uint16_t, Put>(x, places, source, y, size) : 0;
}

// y = x; y[o, at[j]] += source[o, j]; places may count from the end
template <class T>
int add_slices_typed(const mytorch_array &x, const mytorch_array &places, const mytorch_array &source, const mytorch_array &y, const Sizes &size) {
    const int64_t *at = elements<int64_t>(places);
    const T *from = elements<T>(source);
    T *to = elements<T>(y);
    const int64_t n = size.n, m = size.m, inner = size.inner;
    require(count_of(places) == m, "one slice per place");
    if (!all_within(at, m, -n, n)) {
        return 0;
    }
    over_copy<T>(x, y, size, [&](int64_t outer, int64_t first, int64_t width) {
        for (int64_t j = 0; j < m; ++j) {
            T *row = to + (outer * n + (at[j] < 0 ? at[j] + n : at[j])) * inner + first;
            const T *more = from + (outer * m + j) * inner + first;
            if (width < WIDTH<T>) {
                for (int64_t i = 0; i < width; ++i) {
                    row[i] += more[i];
                }
            } else {
                map(width, row, [](Vec<T> sum, Vec<T> v) { return sum + v; }, static_cast<const T *>(row), more);
            }
        }
    });
    return 1;
}

// x, places, source, y, outer, inner
int add_slices(const mytorch_argument *arguments) {
    const mytorch_array &x = arguments[0].array, &places = arguments[1].array, &source = arguments[2].array, &y = arguments[3].array;
    if (!holds<int64_t>(places) || !(is_contiguous(x) || is_one_number(x))) {
        return 0;
    }
    require(x.type == y.type && x.itemsize == y.itemsize && same_shape(x, y), "x and y are of one type");
    const Sizes size(y, source, arguments[4].integer, arguments[5].integer);
    return holds<float>(y)    ? add_slices_typed<float>(x, places, source, y, size)
           : holds<double>(y) ? add_slices_typed<double>(x, places, source, y, size) : 0;
}

}  // namespace

extern const mytorch_kernel scatter_kernels[] = {
    {"within", "rii", within},
    {"gather", "rrwii", gather},
    {"take_slices", "rrwii", take_slices},
    {"scatter", "rrrwiii", scatter},
    {"add_slices", "rrrwii", add_slices},
    {nullptr, nullptr, nullptr},
};

}  // namespace MYTORCH_ISA
}  // namespace mytorch
