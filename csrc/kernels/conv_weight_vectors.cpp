// The body of conv_weight_vectors.h:
//
// dw[o, c, j] = sum over images and outputs q of g[o, q] * x[place(q) + place(c, j)]
//
// A matrix product again: rows are channels and taps, columns are output channels, and the depth runs over outputs. Rows of the left
// factor are read from the strip (conv.h), one number at a time; the right factor is g transposed, in panels. Images are cut into a
// number of chunks that the shapes decide; each adds up its own sum, and the sums are added in order.
#include "conv_weight_vectors.h"

namespace mytorch {
namespace MYTORCH_VECTORS {

namespace {

// C (rows x V vectors) (+)= A B with A[r, p] = at[r][offset[p]] and row p of B at b + p * V vectors. Of JOINED rows each is one number
// after the one before: they share an address, of which there are fewer than registers then.
template <class T, int R, int V, int JOINED>
MYTORCH_INLINE void weights_rows(int64_t depth, const T *const *at, const int64_t *offset, const T *b, T *c, int64_t c_step, Start start) {
    constexpr int W = WIDTH<T>;
    const T *row[R];
    Vec<T> sum[R][V];
    for (int r = 0; r < R; ++r) {
        row[r] = at[r];
        for (int v = 0; v < V; ++v) {
            sum[r][v] = Vec<T>{};
        }
    }
    for (int64_t p = 0; p < depth; ++p) {
        Vec<T> right[V];
        for (int v = 0; v < V; ++v) {
            right[v] = load(b + v * W);
        }
        const int64_t place = offset[p];
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) {
            for (int v = 0; v < V; ++v) {
                sum[r][v] += row[r / JOINED * JOINED][place + r % JOINED] * right[v];
            }
        }
        b += V * W;
    }
    for (int r = 0; r < R; ++r) {
        for (int v = 0; v < V; ++v) {
            T *to = c + r * c_step + v * W;
            store<T>(to, start == Start::keep ? sum[r][v] + load(to) : sum[r][v]);
        }
    }
}

constexpr int TRIPLES = ROWS >= 14 ? 15 : 6;  // rows of a tile of one vector whose taps are joined

template <class T, int V, int JOINED, int R = JOINED == 3 ? TRIPLES : ROWS>
__attribute__((noinline)) void weights_tile(int rows, int64_t depth, const T *const *at, const int64_t *offset, const T *b, T *c,
                                            int64_t c_step, Start start) {
    if (rows == R) {
        weights_rows<T, R, V, JOINED>(depth, at, offset, b, c, c_step, start);
    } else if constexpr (R > JOINED) {
        weights_tile<T, V, JOINED, R - JOINED>(rows, depth, at, offset, b, c, c_step, start);
    }
}

template <class T> struct WeightGradient {
    Axes axes;
    int64_t images, groups, channels, rows;  // channels of the image and output channels of one group
    const T *g, *x;
    T *dw;

    static constexpr int64_t LONG = 256;  // outputs at a time: their panel stays in the first-level cache

    int64_t taps() const { return axes.taps(); }
    int64_t depth() const { return channels * taps(); }
    int64_t wide() const { return round_up(rows, WIDTH<T>); }

    void run() const {
        const int64_t steps = axes.axis[0].step * axes.axis[1].step * axes.axis[2].step;
        const Cut cut(axes, images, depth() * rows, (least<int64_t>(channels, 32) * steps + rows) * static_cast<int64_t>(sizeof(T)));
        const int64_t units = (images + cut.together - 1) / cut.together * cut.parts;
        const int64_t size = groups * depth() * wide();
        const int64_t few = least<int64_t>(size > 1 << 14 ? 8 : 16, greatest<int64_t>(1, (1 << 20) / size));  // sums that the caches hold
        const int64_t chunks = least(units, few);
        const int64_t blocks = least(channels, (7 + chunks * groups) / (chunks * groups));  // of channels, where chunks are few
        Scratch<T> sums(chunks * size);
        const auto task = [&](int64_t index) {
            const int64_t block = index % blocks, group = index / blocks % groups, chunk = index / blocks / groups;
            const int64_t first = channels * block / blocks, last = channels * (block + 1) / blocks;
            T *sum = sums + (chunk * groups + group) * depth() * wide() + first * taps() * wide();
            for (int64_t unit = units * chunk / chunks, end = units * (chunk + 1) / chunks, begin = unit; unit < end; ++unit) {
                const int64_t image = unit / cut.parts * cut.together;
                add(sum, axes.part(unit % cut.parts, cut.parts), group, first, last - first, image, least(cut.together, images - image),
                    unit == begin ? Start::zero : Start::keep);
            }
        };
        const int64_t tasks = chunks * groups * blocks, pieces = (depth() + WIDTH<T> - 1) / WIDTH<T>;
        const auto finish = [&](int64_t index) {
            add_up(sums, chunks, size, index / pieces, index % pieces * WIDTH<T>);
        };
        if (images * groups * axes.outputs() * depth() * rows < 1 << 18) {  // a second thread costs more than it brings
            for (int64_t i = 0; i < tasks; ++i) {
                task(i);
            }
            for (int64_t i = 0; i < groups * pieces; ++i) {
                finish(i);
            }
        } else {
            parallel(tasks, task);
            parallel(groups * pieces, finish);
        }
    }

    // Add one unit's part of the sum for `some` channels from `channel` on: a part of each of `count` images from `image` on.
    void add(T *sum, const Axes &part, int64_t group, int64_t channel, int64_t some, int64_t image, int64_t count, Start begin) const {
        const int64_t outputs = count * part.extent(), image_size = axes.image_size();
        Scratch<T> right(outputs * wide());
        pack_gradient(right, part, group, image, count);
        const bool in_place = part.in_place() && image_size % 256 != 0;
        Layout layout = in_place ? Layout(part, groups * channels * image_size) : Layout(part);
        const int64_t at_once = in_place ? some : greatest<int64_t>(1, least(some, (1 << 16) / (layout.channel * count)));
        if (!in_place) {
            layout.image = at_once * layout.channel;
        }
        Scratch<T> strip(in_place ? 1 : count * layout.image);
        zero<T>(strip, in_place ? 0 : count * layout.image);
        Scratch<int64_t> offset(outputs);
        const int64_t width = part.axis[2].extent();
        for (int64_t q = 0; q < outputs; q += width) {
            const int64_t place = layout.of_row(part, q / width);
            for (int64_t i = 0; i < width; ++i) {
                offset[q + i] = place + i;
            }
        }
        Scratch<int64_t> tap_place(taps());
        for (int64_t t = 0; t < taps(); ++t) {
            tap_place[t] = layout.of_tap(part, t, in_place);
        }
        Scratch<const T *> at(at_once * taps());
        for (int64_t c = 0; c < some; c += at_once) {
            const int64_t now = least(at_once, some - c);
            const T *from = x + ((image * groups + group) * channels + channel + c) * image_size;
            if (!in_place) {
                for (int64_t i = 0; i < count; ++i) {
                    fill_strip(strip + i * layout.image, from + i * groups * channels * image_size, now, part, layout);
                }
                from = strip;
            }
            for (int64_t k = 0; k < now * taps(); ++k) {
                at[k] = from + k / taps() * layout.channel + tap_place[k % taps()];
            }
            multiply(sum + c * taps() * wide(), at, now * taps(), offset, right, outputs, begin);
        }
    }

    void multiply(T *c, const T *const *at, int64_t height, const int64_t *offset, const T *right, int64_t outputs, Start begin) const {
        constexpr int W = WIDTH<T>;
        const Axis &width = axes.axis[2];
        const bool joined = width.taps == 3 && width.step == 1 && width.delta == 1;
        for (int64_t q = 0; q < outputs; q += LONG) {
            const int64_t deep = least(LONG, outputs - q);
            const Start start = q == 0 ? begin : Start::keep;
            for (int64_t column = 0; column < wide(); column += 2 * W) {
                const T *panel = right + q * wide() + column * deep;
                const bool narrow = column + W >= wide();
                const int64_t unit = narrow && joined ? 3 : 1, most = unit == 3 ? TRIPLES : ROWS;
                const int64_t units = height / unit, tiles = (height + most - 1) / most;
                for (int64_t i = 0; i < tiles; ++i) {  // of equal height
                    const int64_t row = units * i / tiles * unit, end = units * (i + 1) / tiles * unit;
                    const int rows_now = static_cast<int>(end - row);
                    T *to = c + row * wide() + column;
                    if (!narrow) {
                        weights_tile<T, 2, 1>(rows_now, deep, at + row, offset + q, panel, to, wide(), start);
                    } else if (unit == 1) {
                        weights_tile<T, 1, 1>(rows_now, deep, at + row, offset + q, panel, to, wide(), start);
                    } else {
                        weights_tile<T, 1, 3>(rows_now, deep, at + row, offset + q, panel, to, wide(), start);
                    }
                }
            }
        }
    }

    // g transposed, LONG outputs at a time: panels of two vectors (the last of one where one is enough).
    void pack_gradient(T *to, const Axes &part, int64_t group, int64_t image, int64_t count) const {
        constexpr int64_t W = WIDTH<T>;
        const int64_t extent = part.extent(), plane = axes.outputs();
        const T *from = g + (image * groups + group) * rows * plane + part.first_output();
        for (int64_t q = 0; q < count * extent; q += LONG) {
            const int64_t deep = least(LONG, count * extent - q);
            for (int64_t column = 0; column < wide(); column += 2 * W) {
                T *panel = to + q * wide() + column * deep;
                for (int64_t done = 0; done < deep;) {
                    const int64_t i = (q + done) / extent, inside = (q + done) % extent, length = least(extent - inside, deep - done);
                    const T *source = from + i * groups * rows * plane + column * plane + inside;
                    if (column + W < wide()) {
                        pack_panel<T, 2 * W>(panel + done * 2 * W, source, plane, 1, least(2 * W, rows - column), length);
                    } else {
                        pack_panel<T, W>(panel + done * W, source, plane, 1, least(W, rows - column), length);
                    }
                    done += length;
                }
            }
        }
    }

    // The sum over chunks of a vector's height of rows, transposed into dw.
    void add_up(const T *sums, int64_t chunks, int64_t size, int64_t group, int64_t first) const {
        constexpr int64_t W = WIDTH<T>;
        const int64_t height = least(W, depth() - first);
        for (int64_t column = 0; column < wide(); column += W) {
            Vec<T> block[W];
            for (int64_t i = 0; i < W; ++i) {
                const T *from = sums + (group * depth() + first + i) * wide() + column;
                block[i] = i < height ? load(from) : Vec<T>{};
                for (int64_t chunk = 1; i < height && chunk < chunks; ++chunk) {
                    block[i] += load(from + chunk * size);
                }
            }
            transpose_block<T>(block);
            for (int64_t i = 0; i < least(W, rows - column); ++i) {
                T *to = dw + (group * rows + column + i) * depth() + first;
                if (height == W) {
                    store<T>(to, block[i]);
                } else {
                    store_some<T>(to, block[i], height);
                }
            }
        }
    }
};

}  // namespace

template <class T>
void grad_weight_by_vectors(const Axes &axes, int64_t images, int64_t groups, int64_t channels, int64_t rows, const T *g, const T *x, T *dw) {
    WeightGradient<T>{axes, images, groups, channels, rows, g, x, dw}.run();
}

#define MYTORCH_GRAD_WEIGHT(T) \
    template void grad_weight_by_vectors<T>(const Axes &, int64_t, int64_t, int64_t, int64_t, const T *, const T *, T *);

MYTORCH_GRAD_WEIGHT(float)
MYTORCH_GRAD_WEIGHT(double)

}  // namespace MYTORCH_VECTORS
}  // namespace mytorch
