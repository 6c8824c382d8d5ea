// Pooling over windows of two dimensions (one dimension is a single row): the largest value of each window and its place, or the
// mean, and their gradients.
//
// From one window to the next, elements at one offset are `stride` numbers apart. So each row of an image is first sorted by phase:
// columns that leave the same rest when divided by the stride lie side by side, padding included, and the elements of neighbouring
// windows at one offset are one load. A gradient goes the way back: it is gathered phase by phase, and the phases are merged.
#include "vec.h"

namespace mytorch {
namespace MYTORCH_ISA {

namespace {

struct Axis {
    int64_t size, out, kernel, stride, padding, dilation;

    // The offsets [first, end) of a window's elements that lie inside the image.
    int64_t first(int64_t window) const {
        const int64_t begin = window * stride - padding;
        return begin >= 0 ? 0 : least(kernel, (dilation - 1 - begin) / dilation);
    }
    int64_t end(int64_t window) const {
        const int64_t room = size - (window * stride - padding);
        return room <= 0 ? 0 : least(kernel, (room + dilation - 1) / dilation);
    }
    int64_t reach() const { return (out - 1) * stride + (kernel - 1) * dilation + 1 - padding; }
    int64_t most_shift() const { return (kernel - 1) * dilation / stride; }
};

struct Geometry {
    int64_t planes;
    Axis rows, columns;

    int64_t image() const { return rows.size * columns.size; }
    int64_t windows() const { return rows.out * columns.out; }
    int64_t offsets() const { return rows.kernel * columns.kernel; }
};

// From images (N, C, H, W) or (N, C, W), windows of the same number of dimensions, and eight integers.
Geometry geometry_of(const mytorch_array &image, const mytorch_array &window, const mytorch_argument *sizes) {
    require((image.ndim == 3 || image.ndim == 4) && window.ndim == image.ndim, "images have 3 or 4 dimensions, windows as many");
    require(image.shape[0] == window.shape[0] && image.shape[1] == window.shape[1], "images and windows have the same samples and channels");
    Geometry s;
    s.planes = image.shape[0] * image.shape[1];
    const int last = image.ndim - 1;
    Axis *axes[2] = {&s.rows, &s.columns};
    for (int i = 0; i < 2; ++i) {
        const bool missing = i == 0 && last == 2;
        *axes[i] = {missing ? 1 : image.shape[last - 1 + i], missing ? 1 : window.shape[last - 1 + i],
                    sizes[i].integer, sizes[2 + i].integer, sizes[4 + i].integer, sizes[6 + i].integer};
        const Axis &a = *axes[i];
        require(a.kernel > 0 && a.stride > 0 && a.dilation > 0 && a.padding >= 0, "kernel, stride and dilation are positive");
        require(a.size > 0 && a.out > 0, "images and windows are not empty");
        require(greatest(greatest(a.kernel, a.stride), greatest(a.padding, a.dilation)) < (1 << 20), "windows of sensible sizes");
    }
    return s;
}

// ---- phases --------------------------------------------------------------------------------------------------------------------

// n numbers; whole vectors may be written as long as they end before `limit`.
template <class T> MYTORCH_INLINE void put(T *to, Vec<T> v, int64_t count, const T *limit) {
    if (count >= WIDTH<T> || to + WIDTH<T> <= limit) {
        store(to, v);
    } else {
        store_some(to, v, count);
    }
}

template <class T> MYTORCH_INLINE void copy_row(T *to, const T *from, int64_t n) {
    map(n, to, [](Vec<T> v) { return v; }, from);
}

// to[phase * pitch + i] = from[i * stride + phase]; pitch is a multiple of the vector.
template <class T> MYTORCH_INLINE void split(T *to, const T *from, int64_t stride, int64_t pitch) {
    constexpr int W = WIDTH<T>;
    if (stride == 1) {
        copy_row(to, from, pitch);
    } else if (stride == 2) {
        Mask<T> even;
        for (int i = 0; i < W; ++i) {
            even[i] = 2 * i;
        }
        for (int64_t i = 0; i < pitch; i += W) {
            fetch(from + 2 * i);
            fetch(from + 2 * i + W);
            const Vec<T> low = load(from + 2 * i);
            const Vec<T> high = load(from + 2 * i + W);
            store(to + i, __builtin_shuffle(low, high, even));
            store(to + pitch + i, __builtin_shuffle(low, high, even + 1));
        }
    } else {
        for (int64_t phase = 0; phase < stride; ++phase) {
            for (int64_t i = 0; i < pitch; ++i) {
                to[phase * pitch + i] = from[i * stride + phase];
            }
        }
    }
}

// to[i * stride + phase] = from[phase * pitch + i]
template <class T> MYTORCH_INLINE void merge(T *to, const T *from, int64_t stride, int64_t pitch) {
    constexpr int W = WIDTH<T>;
    if (stride == 1) {
        copy_row(to, from, pitch);
    } else if (stride == 2) {
        Mask<T> low;
        for (int i = 0; i < W; ++i) {
            low[i] = i / 2 + (i % 2) * W;
        }
        for (int64_t i = 0; i < pitch; i += W) {
            fetch<true>(to + 2 * i);
            fetch<true>(to + 2 * i + W);
            const Vec<T> first = load(from + i);
            const Vec<T> second = load(from + pitch + i);
            store(to + 2 * i, __builtin_shuffle(first, second, low));
            store(to + 2 * i + W, __builtin_shuffle(first, second, low + W / 2));
        }
    } else {
        for (int64_t phase = 0; phase < stride; ++phase) {
            for (int64_t i = 0; i < pitch; ++i) {
                to[i * stride + phase] = from[phase * pitch + i];
            }
        }
    }
}

// ---- windows to values ---------------------------------------------------------------------------------------------------------

// body(phases, at, plane, row of windows, first offset, end of offsets) for each row of windows: the element at offset k of window i
// is phases[at[k] + i].
template <class T, class Body> void each_row(const Geometry &s, const T *x, T fill, const Body &body) {
    constexpr int W = WIDTH<T>;
    const Axis &rows = s.rows, &columns = s.columns;
    const int64_t pitch = round_up(columns.most_shift() + round_up(columns.out, W), W);
    const int64_t width = pitch * columns.stride;  // of a row with its padding
    const bool plain = columns.padding == 0 && columns.reach() <= columns.size;
    const T *limit = x + s.planes * s.image();
    parallel_ranges(s.planes, greatest<int64_t>(1, GRAIN / s.image()), [&](int64_t begin, int64_t end) {
        Scratch<int64_t> at(s.offsets());
        for (int64_t k = 0; k < s.offsets(); ++k) {
            const int64_t j = k % columns.kernel * columns.dilation;
            at[k] = k / columns.kernel * rows.dilation * width + j % columns.stride * pitch + j / columns.stride;
        }
        Scratch<T> padded(width), phases(rows.size * width);
        for (int64_t i = 0; i < width; ++i) {
            padded[i] = fill;
        }
        for (int64_t plane = begin; plane < end; ++plane) {
            for (int64_t row = 0; row < rows.size; ++row) {
                const T *from = x + plane * s.image() + row * columns.size;
                if (!plain || limit - from < width) {
                    copy_row<T>(padded + columns.padding, from, least(columns.size, width - columns.padding));
                    from = padded;
                }
                split<T>(phases + row * width, from, columns.stride, pitch);
            }
            for (int64_t row = 0; row < rows.out; ++row) {
                body(static_cast<const T *>(phases), (row * rows.stride - rows.padding) * width, static_cast<const int64_t *>(at), plane, row,
                     rows.first(row) * columns.kernel, rows.end(row) * columns.kernel);
            }
        }
    });
}

template <class T> int max_pool_typed(const mytorch_argument *arguments) {
    constexpr int W = WIDTH<T>;
    using Number = typename Vectors<T>::Scalar;
    typedef uint8_t Bytes __attribute__((vector_size(WIDTH<T>)));
    const mytorch_array &image = arguments[0].array, &window = arguments[1].array, &place = arguments[2].array;
    const Geometry s = geometry_of(image, window, arguments + 3);
    const Axis &columns = s.columns;
    const T *x = elements<T>(image);
    T *y = elements<T>(window);
    uint8_t *places = elements<uint8_t>(place);
    require(places == nullptr || (same_shape(window, place) && s.offsets() <= 256), "places have the shape of y, and fit into bytes");
    constexpr T lowest = -std::numeric_limits<T>::infinity();
    // Where nothing is larger than -inf the first real element is the maximum; -1 where a window has none.
    Scratch<Number> first_column(round_up(columns.out, W));
    for (int64_t i = 0; i < round_up(columns.out, W); ++i) {
        first_column[i] = static_cast<Number>(columns.first(i) < columns.end(i) ? columns.first(i) : -1);
    }
    each_row<T>(s, x, lowest, [&](const T *phases, int64_t origin, const int64_t *at, int64_t plane, int64_t row, int64_t first, int64_t end) {
        const int64_t target = plane * s.windows() + row * columns.out;
        const T *limit = y + (plane + 1) * s.windows();
        for (int64_t i = 0; i < columns.out; i += W) {
            Vec<T> best = Vec<T>{} + lowest;
            const Mask<T> column = load<Number>(first_column + i);
            Mask<T> chosen{};
            if (first < end) {
                chosen = column < 0 ? chosen : column + static_cast<Number>(first);
            }
            for (int64_t k = first; k < end; ++k) {
                const Vec<T> v = load(phases + (origin + at[k] + i));
                const Mask<T> larger = (v > best) | (v != v);  // the last NaN of a window is its maximum
                best = larger ? v : best;
                chosen = larger ? Mask<T>{} + static_cast<Number>(k) : chosen;
            }
            const int64_t count = least<int64_t>(W, columns.out - i);
            put(y + target + i, best, count, limit);
            if (places != nullptr) {
                const Bytes narrow = __builtin_convertvector(chosen, Bytes);
                if (count == W || y + target + i + W <= limit) {
                    std::memcpy(places + target + i, &narrow, W);
                } else {
                    std::memcpy(places + target + i, &narrow, static_cast<size_t>(count));
                }
            }
        }
    });
    return 1;
}

// What a window's sum is divided by: a product of a number for its row and one for its column.
struct Divisor {
    bool with_padding;
    int64_t instead;  // of both, where it is not 0

    int64_t of(const Axis &axis, int64_t window) const {
        const int64_t begin = window * axis.stride - axis.padding;
        const int64_t end = least(begin + axis.kernel, axis.size + axis.padding);
        return with_padding ? end - begin : least(end, axis.size) - greatest<int64_t>(begin, 0);
    }
    template <class T> void fill(const Axis &columns, T *to) const {
        for (int64_t i = 0; i < round_up(columns.out, WIDTH<T>); ++i) {
            to[i] = instead != 0 ? T(1) : static_cast<T>(of(columns, least(i, columns.out - 1)));
        }
    }
    template <class T> T row(const Axis &rows, int64_t window) const { return static_cast<T>(instead != 0 ? instead : of(rows, window)); }
};

template <class T> int avg_pool_typed(const mytorch_argument *arguments) {
    constexpr int W = WIDTH<T>;
    const Geometry s = geometry_of(arguments[0].array, arguments[1].array, arguments + 2);
    const Divisor divisor{arguments[10].integer != 0, arguments[11].integer};
    const Axis &columns = s.columns;
    const T *x = elements<T>(arguments[0].array);
    T *y = elements<T>(arguments[1].array);
    Scratch<T> counts(round_up(columns.out, W));
    divisor.fill<T>(columns, counts);
    each_row<T>(s, x, T(0), [&](const T *phases, int64_t origin, const int64_t *at, int64_t plane, int64_t row, int64_t first, int64_t end) {
        const T count = divisor.row<T>(s.rows, row);
        T *to = y + plane * s.windows() + row * columns.out;
        for (int64_t i = 0; i < columns.out; i += W) {
            Vec<T> sum{};
            for (int64_t k = first; k < end; ++k) {
                sum += load(phases + (origin + at[k] + i));
            }
            put(to + i, sum / (count * load<T>(counts + i)), columns.out - i, static_cast<const T *>(y + (plane + 1) * s.windows()));
        }
    });
    return 1;
}

// ---- gradients of windows to gradients of images -------------------------------------------------------------------------------

// The gradients of one plane's windows, with zeros around each row, and the places that they go to.
template <class T> struct Windows {
    int64_t pitch;
    Scratch<T> g;
    Scratch<typename Vectors<T>::Scalar> places;

    Windows(const Geometry &s, int64_t margin, int64_t width)
        : pitch(margin + width), g(s.rows.out * pitch), places(s.rows.out * pitch) {
        for (int64_t i = 0; i < s.rows.out * pitch; ++i) {
            g[i] = T(0);
            places[i] = 0;
        }
    }
};

// dx of each plane; read(plane, windows, margin) fills in the windows' gradients. With CHOSEN a window's gradient goes to its place
// alone, else to all its elements.
template <class T, bool CHOSEN, class Read> void gather(const Geometry &s, T *dx, const Read &read) {
    constexpr int W = WIDTH<T>;
    using Number = typename Vectors<T>::Scalar;
    const Axis &rows = s.rows, &columns = s.columns;
    const int64_t margin = columns.most_shift();
    const int64_t pitch = round_up((columns.size + columns.padding + columns.stride - 1) / columns.stride, W);
    const int64_t width = greatest(pitch, round_up(columns.out, W));
    parallel_ranges(s.planes, greatest<int64_t>(1, GRAIN / s.image()), [&](int64_t begin, int64_t end) {
        Windows<T> windows(s, margin, width);
        Scratch<T> phases(pitch * columns.stride), merged(pitch * columns.stride);
        Scratch<int64_t> phase_of(columns.kernel), shift_of(columns.kernel), near_row(rows.kernel), near_offset(rows.kernel);
        for (int64_t j = 0; j < columns.kernel; ++j) {
            phase_of[j] = j * columns.dilation % columns.stride;
            shift_of[j] = margin - j * columns.dilation / columns.stride;
        }
        for (int64_t plane = begin; plane < end; ++plane) {
            read(plane, windows, margin);
            for (int64_t row = 0; row < rows.size; ++row) {
                int64_t near = 0;  // rows of windows that have an element in this row
                for (int64_t i = 0; i < rows.kernel; ++i) {
                    const int64_t from = row + rows.padding - i * rows.dilation;
                    if (from >= 0 && from % rows.stride == 0 && from / rows.stride < rows.out) {
                        near_row[near] = from / rows.stride * windows.pitch;
                        near_offset[near++] = i * columns.kernel;
                    }
                }
                for (int64_t phase = 0; phase < columns.stride; ++phase) {
                    for (int64_t at = 0; at < pitch; at += W) {
                        Vec<T> sum{};
                        for (int64_t i = 0; i < near; ++i) {
                            for (int64_t j = 0; j < columns.kernel; ++j) {
                                if (phase_of[j] == phase) {
                                    const int64_t from = near_row[i] + shift_of[j] + at;
                                    const Vec<T> g = load<T>(windows.g + from);
                                    const Number offset = static_cast<Number>(near_offset[i] + j);
                                    sum += !CHOSEN || load<Number>(windows.places + from) == offset ? g : Vec<T>{};
                                }
                            }
                        }
                        store<T>(phases + phase * pitch + at, sum);
                    }
                }
                T *to = dx + plane * s.image() + row * columns.size;
                if (columns.padding == 0 && to + pitch * columns.stride <= dx + (plane + 1) * s.image()) {
                    merge<T>(to, phases, columns.stride, pitch);  // beyond the row's end, where the next row will be written
                } else {
                    merge<T>(merged, phases, columns.stride, pitch);
                    copy_row<T>(to, merged + columns.padding, columns.size);
                }
            }
        }
    });
}

// Windows of two columns side by side, rows of windows below each other: an element belongs to one window, and is its maximum or not.
template <class T> void max_pool_grad_apart(const Geometry &s, const T *g, const uint8_t *places, T *dx) {
    constexpr int W = WIDTH<T>;
    using Number = typename Vectors<T>::Scalar;
    typedef uint8_t Bytes __attribute__((vector_size(WIDTH<T>)));
    const Axis &rows = s.rows, &columns = s.columns;
    const int64_t reached = 2 * columns.out, all = s.planes * s.windows();
    Mask<T> pairs;
    for (int i = 0; i < W; ++i) {
        pairs[i] = i / 2 + (i % 2) * W;
    }
    parallel_ranges(s.planes, greatest<int64_t>(1, GRAIN / s.image()), [&](int64_t begin, int64_t end) {
        for (int64_t plane = begin; plane < end; ++plane) {
            T *const image = dx + plane * s.image();
            const T *const limit = image + s.image();
            for (int64_t row = 0; row < rows.out * rows.kernel; ++row) {
                const int64_t from = plane * s.windows() + row / rows.kernel * columns.out;
                const Number offset = static_cast<Number>(row % rows.kernel * 2);
                T *const to = image + row * columns.size;
                for (int64_t at = 0; at < columns.out; at += W) {
                    const int64_t count = least<int64_t>(W, columns.out - at);
                    Bytes narrow{};
                    std::memcpy(&narrow, places + from + at, from + at + W <= all ? W : static_cast<size_t>(count));
                    const Mask<T> place = __builtin_convertvector(narrow, Mask<T>);
                    const Vec<T> v = count == W ? load(g + from + at) : load_some(g + from + at, count);
                    const Vec<T> even = place == offset ? v : Vec<T>{}, odd = place == offset + Number(1) ? v : Vec<T>{};
                    fetch<true>(to + 2 * at);
                    fetch<true>(to + 2 * at + W);
                    put(to + 2 * at, __builtin_shuffle(even, odd, pairs), least<int64_t>(W, 2 * count), limit);
                    if (2 * count > W) {
                        put(to + 2 * at + W, __builtin_shuffle(even, odd, pairs + W / 2), 2 * count - W, limit);
                    }
                }
            }
            for (int64_t row = 0; row < rows.size; ++row) {  // what no window reaches: the ends of rows, and rows at the end
                for (int64_t i = row < rows.out * rows.kernel ? reached : 0; i < columns.size; ++i) {
                    image[row * columns.size + i] = T(0);
                }
            }
        }
    });
}

template <class T> int max_pool_grad_typed(const mytorch_argument *arguments) {
    constexpr int W = WIDTH<T>;
    using Number = typename Vectors<T>::Scalar;
    typedef uint8_t Bytes __attribute__((vector_size(WIDTH<T>)));
    const mytorch_array &slope = arguments[0].array, &place = arguments[1].array, &image = arguments[2].array;
    const Geometry s = geometry_of(image, slope, arguments + 3);
    require(same_shape(slope, place) && s.offsets() <= 256, "places have the shape of g, and fit into bytes");
    const int64_t out = s.columns.out;
    const T *g = elements<T>(slope);
    const uint8_t *places = elements<uint8_t>(place);
    const auto apart = [](const Axis &axis) {
        return axis.kernel == axis.stride && axis.padding == 0 && axis.dilation == 1 && axis.out * axis.kernel <= axis.size;
    };
    if (s.columns.kernel == 2 && apart(s.columns) && apart(s.rows)) {
        max_pool_grad_apart<T>(s, g, places, elements<T>(image));
        return 1;
    }
    gather<T, true>(s, elements<T>(image), [&](int64_t plane, Windows<T> &windows, int64_t margin) {
        for (int64_t row = 0; row < s.rows.out; ++row) {
            const int64_t from = plane * s.windows() + row * out;
            const int64_t to = row * windows.pitch + margin;
            copy_row<T>(windows.g + to, g + from, out);
            for (int64_t i = 0; i < out; i += W) {
                Bytes narrow{};
                if (i + W <= out || from + i + W <= s.planes * s.windows()) {
                    std::memcpy(&narrow, places + from + i, W);
                } else {
                    std::memcpy(&narrow, places + from + i, static_cast<size_t>(out - i));
                }
                store<Number>(windows.places + to + i, __builtin_convertvector(narrow, Mask<T>));
            }
        }
    });
    return 1;
}

template <class T> int avg_pool_grad_typed(const mytorch_argument *arguments) {
    constexpr int W = WIDTH<T>;
    const Geometry s = geometry_of(arguments[1].array, arguments[0].array, arguments + 2);
    const Divisor divisor{arguments[10].integer != 0, arguments[11].integer};
    const int64_t out = s.columns.out;
    const T *g = elements<T>(arguments[0].array);
    Scratch<T> counts(round_up(out, W));
    divisor.fill<T>(s.columns, counts);
    gather<T, false>(s, elements<T>(arguments[1].array), [&](int64_t plane, Windows<T> &windows, int64_t margin) {
        for (int64_t row = 0; row < s.rows.out; ++row) {
            const T count = divisor.row<T>(s.rows, row);
            map(out, windows.g + row * windows.pitch + margin, [&](Vec<T> v, Vec<T> n) { return v / (n * count); },
                g + plane * s.windows() + row * out, static_cast<const T *>(counts));
        }
    });
    return 1;
}

int max_pool(const mytorch_argument *x) {
    return holds<float>(x[0].array) ? max_pool_typed<float>(x) : holds<double>(x[0].array) ? max_pool_typed<double>(x) : 0;
}
int max_pool_grad(const mytorch_argument *x) {
    return holds<float>(x[0].array) ? max_pool_grad_typed<float>(x) : holds<double>(x[0].array) ? max_pool_grad_typed<double>(x) : 0;
}
int avg_pool(const mytorch_argument *x) {
    return holds<float>(x[0].array) ? avg_pool_typed<float>(x) : holds<double>(x[0].array) ? avg_pool_typed<double>(x) : 0;
}
int avg_pool_grad(const mytorch_argument *x) {
    return holds<float>(x[0].array) ? avg_pool_grad_typed<float>(x) : holds<double>(x[0].array) ? avg_pool_grad_typed<double>(x) : 0;
}

}  // namespace

// Integers: kernel, stride, padding and dilation, each of the rows and of the columns; for means whether padding counts, and the
// divisor or 0.
extern const mytorch_kernel pool_kernels[] = {
    {"max_pool", "rwWiiiiiiii", max_pool},
    {"max_pool_grad", "rrwiiiiiiii", max_pool_grad},
    {"avg_pool", "rwiiiiiiiiii", avg_pool},
    {"avg_pool_grad", "rwiiiiiiiiii", avg_pool_grad},
    {nullptr, nullptr, nullptr},
};

}  // namespace MYTORCH_ISA
}  // namespace mytorch
