// The bodies of conv_vectors.h.
#include "conv_vectors.h"

namespace mytorch {
namespace MYTORCH_VECTORS {

namespace {

// A tile of R rows and V vectors of outputs: C (+)= A B, or bias + A B. Row p of B begins at left + offset[p] and right + offset[p].
template <class T, int R, int V>
MYTORCH_INLINE void outputs_rows(int64_t depth, const T *a, const T *left, const T *right, const int64_t *offset, T *c, int64_t c_step, Start start,
                                 const T *bias) {
    constexpr int W = WIDTH<T>;
    Vec<T> sum[R][V];
    for (int r = 0; r < R; ++r) {
        fetch<true>(c + r * c_step, 0);
        fetch<true>(c + r * c_step + V * W - 1, 0);
        for (int v = 0; v < V; ++v) {
            sum[r][v] = bias != nullptr ? all(bias[r]) : Vec<T>{};
        }
    }
    for (int64_t p = 0; p < depth; ++p) {
        const Vec<T> first = load(left + offset[p]);
        const Vec<T> second = V == 2 ? load(right + offset[p]) : first;
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) {
            sum[r][0] += a[r] * first;
            if constexpr (V == 2) {
                sum[r][1] += a[r] * second;
            }
        }
        a += ROWS;
    }
    if (start == Start::keep) {
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) {
            for (int v = 0; v < V; ++v) {
                sum[r][v] += load(c + r * c_step + v * W);
            }
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
        for (int v = 0; v < V; ++v) {
            store<T>(c + r * c_step + v * W, sum[r][v]);
        }
    }
}

template <class T, int V, int R = ROWS>
__attribute__((noinline)) void whole_outputs_tile(int rows, int64_t depth, const T *a, const T *left, const T *right, const int64_t *offset, T *c,
                                                  int64_t c_step, Start start, const T *bias) {
    if (rows == R) {
        outputs_rows<T, R, V>(depth, a, left, right, offset, c, c_step, start, bias);
    } else if constexpr (R > 1) {
        whole_outputs_tile<T, V, R - 1>(rows, depth, a, left, right, offset, c, c_step, start, bias);
    }
}

// A tile's rows x columns corner; whole vectors are read from B.
template <class T>
void outputs_tile(int rows, int64_t depth, const T *a, const T *left, const T *right, const int64_t *offset, T *c, int64_t c_step, int columns,
                  Start start, const T *bias) {
    constexpr int W = WIDTH<T>;
    const auto multiply = columns > W ? whole_outputs_tile<T, 2> : whole_outputs_tile<T, 1>;
    if (columns % W == 0) {
        multiply(rows, depth, a, left, right, offset, c, c_step, start, bias);
        return;
    }
    T sums[ROWS * 2 * W];
    multiply(rows, depth, a, left, right, offset, sums, 2 * W, Start::zero, bias);
    for (int r = 0; r < rows; ++r) {
        for (int i = 0; i < columns; ++i) {
            const T value = sums[r * 2 * W + i];
            c[r * c_step + i] = start == Start::keep ? value + c[r * c_step + i] : value;
        }
    }
}

// Outputs that are neighbours in the strip.
struct Run {
    int64_t column, place, length;
};

// to[p * COLUMNS + i] = from[offset[p] + i] for i < length.
template <class T, int S = WIDTH<T>> void pack_run(T *to, const T *from, const int64_t *offset, int64_t depth, int64_t length) {
    for (; length >= S; length -= S, to += S, from += S) {
        for (int64_t p = 0; p < depth; ++p) {
            std::memcpy(to + p * COLUMNS<T>, from + offset[p], S * sizeof(T));
        }
    }
    if constexpr (S > 1) {
        if (length > 0) {
            pack_run<T, S / 2>(to, from, offset, depth, length);
        }
    }
}

// The runs that `columns` outputs from number `column` on are made of.
int runs_of(Run *runs, const Axes &part, const Layout &layout, int64_t column, int64_t columns) {
    const int64_t width = part.axis[2].extent();
    int64_t row = column / width, inside = column % width;
    int count = 0;
    for (int64_t done = 0; done < columns; ++row, inside = 0) {
        const int64_t length = least(width - inside, columns - done), place = layout.of_row(part, row) + inside;
        if (count > 0 && runs[count - 1].place + runs[count - 1].length == place) {
            runs[count - 1].length += length;
        } else {
            runs[count++] = {done, place, length};
        }
        done += length;
    }
    return count;
}

}  // namespace

template <class T> void VectorCorrelation<T>::pack_weight(T *to) const {
    Scratch<int64_t> number(taps());
    bool plain = channel_step == axes.kernel_size() && taps() == channel_step;
    for (int64_t t = 0; t < taps(); ++t) {
        number[t] = axes.kernel_index(t);
        plain = plain && number[t] == t;
    }
    const auto pack = [&](int64_t index) {
        const int64_t group = index / panels(), panel = index % panels();
        const int64_t row = first_row(panel), height = first_row(panel + 1) - row;
        const T *from = weight + group * group_step + row * row_step;
        for (int64_t c = 0; c < channels; c += channels_at_once()) {
            const int64_t some = least(channels_at_once(), channels - c);
            T *target = to + (group * panels() * depth() + (panels() * c + panel * some) * taps()) * ROWS;
            if (plain) {
                pack_panel<T, ROWS>(target, from + c * channel_step, row_step, 1, height, some * taps());
                continue;
            }
            for (int64_t k = 0; k < some; ++k) {
                for (int64_t t = 0; t < taps(); ++t, target += ROWS) {
                    const T *column = from + (c + k) * channel_step + number[t];
                    for (int64_t r = 0; r < height; ++r) {
                        target[r] = column[r * row_step];
                    }
                }
            }
        }
    };
    if (groups * rows * depth() < 1 << 14) {
        for (int64_t i = 0; i < groups * panels(); ++i) {
            pack(i);
        }
    } else {
        parallel(groups * panels(), pack);
    }
}

template <class T> void VectorCorrelation<T>::product(const T *a, Axes part, int64_t group, int64_t first, int64_t count) const {
    const int64_t image_size = axes.image_size(), result = axes.result_size(), outputs = count * part.extent();
    const int64_t some = channels_at_once();
    if (outputs == 0) {
        return;
    }
    // Where rows of outputs are no whole vectors, a copy of the image for every tap of the width joins them to one row.
    Axis &width = part.axis[2];
    width.spread = part.extent() > width.extent() && width.extent() % WIDTH<T> != 0 && width.taps > 1 &&
                   (taps() > width.taps || taps() <= 4);
    // Not where all channels share a few places of the cache.
    const bool in_place = !width.spread && part.in_place() && image_size % 256 != 0;
    Layout layout = in_place ? Layout(part, groups * channels * image_size) : Layout(part);
    if (!in_place) {
        layout.image = some * layout.channel;
    }
    Scratch<T> strip(in_place ? 1 : count * layout.image);
    Scratch<T> panel(some * taps() * COLUMNS<T>);
    Scratch<int64_t> offset(2 * some * taps());  // of every row of B in the strip, and in a panel
    int64_t *const in_panel = offset + some * taps();
    for (int64_t t = 0; t < taps(); ++t) {
        const int64_t place = layout.of_tap(part, t, in_place);
        for (int64_t c = 0; c < some; ++c) {
            offset[c * taps() + t] = place + c * layout.channel;
        }
    }
    for (int64_t p = 0; p < some * taps(); ++p) {
        in_panel[p] = p * COLUMNS<T>;
    }
    zero<T>(panel, outputs % COLUMNS<T> == 0 ? 0 : some * taps() * COLUMNS<T>);
    zero<T>(strip, in_place ? 0 : count * layout.image);
    const bool direct = axes.fills_result() && count == 1;
    Scratch<T> block(direct ? 1 : rows * outputs);
    T *const to = y + (first * groups + group) * rows * result;
    T *const c = direct ? to + part.first_output() : static_cast<T *>(block);
    const int64_t c_step = direct ? result : outputs;
    for (int64_t channel = 0; channel < channels; channel += some) {
        const int64_t now = least(some, channels - channel);
        const T *from = x + ((first * groups + group) * channels + channel) * image_size;
        if (!in_place) {
            for (int64_t i = 0; i < count; ++i) {
                fill_strip(strip + i * layout.image, from + i * groups * channels * image_size, now, part, layout);
            }
            from = strip;
        }
        const Start start = channel == 0 ? Start::zero : Start::keep;
        const T *added = channel == 0 && bias != nullptr ? bias + group * rows : nullptr;
        for (int64_t column = 0; column < outputs; column += COLUMNS<T>) {
            const int columns = static_cast<int>(least<int64_t>(COLUMNS<T>, outputs - column));
            Run runs[COLUMNS<T>];
            const int count_of_runs = runs_of(runs, part, layout, column, columns);
            // Whole vectors are read where they lie, but from an image whose channels are far apart not again and again.
            const T *left = panel, *right = panel + WIDTH<T>;
            const int64_t *b = in_panel;
            if (columns % WIDTH<T> == 0 && !(in_place && panels() >= 4) &&
                (count_of_runs == 1 || (count_of_runs == 2 && runs[0].length == WIDTH<T>))) {
                left = from + runs[0].place;
                right = count_of_runs == 2 ? from + runs[1].place : left + WIDTH<T>;
                b = offset;
            } else {
                for (int64_t p = 0; p < now * taps(); p += 16) {  // a few rows of the panel at a time, which stay in the cache
                    for (int i = 0; i < count_of_runs; ++i) {
                        pack_run(panel + p * COLUMNS<T> + runs[i].column, from + runs[i].place, offset + p,
                                 least<int64_t>(16, now * taps() - p), runs[i].length);
                    }
                }
            }
            const T *tile_a = a + panels() * ROWS * channel * taps();
            for (int64_t i = 0; i < panels(); ++i, tile_a += ROWS * now * taps()) {
                const int64_t row = first_row(i);
                outputs_tile<T>(static_cast<int>(first_row(i + 1) - row), now * taps(), tile_a, left, right, b,
                                c + row * c_step + column, c_step, columns, start, added == nullptr ? nullptr : added + row);
            }
        }
    }
    if (!direct) {
        const int64_t row = part.axis[2].extent();
        put(to, block, {outputs, part.axis[1].extent() * row, row}, part, count);
    }
}

template struct VectorCorrelation<float>;
template struct VectorCorrelation<double>;

}  // namespace MYTORCH_VECTORS
}  // namespace mytorch
