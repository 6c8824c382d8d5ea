// Convolutions in which every output channel sees one input channel: no matrix product, but taps times shifted rows (conv.h: through
// one tap, neighbouring outputs see neighbouring places of the strip, whatever the stride).
#include "conv_depthwise.h"

namespace mytorch {
namespace MYTORCH_VECTORS {

namespace {

// Work on planes in pieces that are worth a thread.
template <class Body> void each_plane(int64_t planes, int64_t work_per_plane, const Body &body) {
    const int64_t grain = greatest<int64_t>(1, (1 << 16) / greatest<int64_t>(work_per_plane, 1));
    parallel_ranges(planes, grain, body);
}

// A strip for one plane, the places of its taps and their numbers in the kernel; where rows of outputs read and are written.
template <class T> struct Plane {
    Axes axes;
    Layout layout;
    Scratch<T> strip;
    Scratch<int64_t> place, number, read, written;

    explicit Plane(const Axes &whole)
        : axes(whole.part(0, 1)), layout(axes), strip(layout.channel + 2 * WIDTH<T>), place(axes.taps()), number(axes.taps()),
          read(rows()), written(rows()) {
        zero<T>(strip, layout.channel + 2 * WIDTH<T>);
        for (int64_t t = 0; t < axes.taps(); ++t) {
            place[t] = layout.of_tap(axes, t, false);
            number[t] = axes.kernel_index(t);
        }
        const Axis &depth = axes.axis[0], &height = axes.axis[1], &width = axes.axis[2];
        for (int64_t row = 0; row < rows(); ++row) {
            const int64_t z = depth.to_first + row / height.out * depth.to_step, u = height.to_first + row % height.out * height.to_step;
            read[row] = layout.of_row(axes, row);
            written[row] = (z * height.to_size + u) * width.to_size + width.to_first;
        }
    }
    const T *row(int64_t index) const { return strip + read[index]; }
    int64_t rows() const { return axes.axis[0].out * axes.axis[1].out; }
};

// A vector of outputs in each of R rows.
template <class T, int R> MYTORCH_INLINE void outputs_of_rows(const Plane<T> &plane, const T *weight, T bias, int64_t row, int64_t at, Vec<T> *sum) {
    const T *from[R];
    for (int r = 0; r < R; ++r) {
        from[r] = plane.row(row + r) + at;
        sum[r] = all(bias);
    }
    for (int64_t t = 0, taps = plane.axes.taps(); t < taps; ++t) {
        const T factor = weight[plane.number[t]];
        for (int r = 0; r < R; ++r) {
            sum[r] += factor * load(from[r] + plane.place[t]);
        }
    }
}

template <class T, int R> void rows_of_outputs(const Plane<T> &plane, const T *weight, T bias, int64_t row, T *to) {
    constexpr int W = WIDTH<T>;
    const Axis &width = plane.axes.axis[2];
    for (int64_t at = 0; at < width.out; at += W) {
        Vec<T> sum[R];
        outputs_of_rows<T, R>(plane, weight, bias, row, at, sum);
        const int64_t count = least<int64_t>(W, width.out - at);
        for (int r = 0; r < R; ++r) {
            put_line(to + plane.written[row + r] + at * width.to_step, sum[r], count, width.to_step);
        }
    }
}

// Sums over rows of the products of g and the N taps from number `first` on, added to `sum`.
template <class T, int N> void add_products(const Plane<T> &plane, const T *g, int64_t first, Vec<T> *sum) {
    constexpr int W = WIDTH<T>;
    const int64_t width = plane.axes.axis[2].out;
    Mask<T> lane;
    for (int i = 0; i < W; ++i) {
        lane[i] = i;
    }
    Vec<T> total[N];
    unroll<N>([&](auto n) { total[n] = sum[n]; });
    for (int64_t row = 0, rows = plane.rows(); row < rows; ++row, g += width) {
        const T *from = plane.row(row);
        int64_t at = 0;
        for (; at + W <= width; at += W) {
            const Vec<T> incoming = load(g + at);
            unroll<N>([&](auto n) { total[n] += incoming * load(from + at + plane.place[first + n]); });
        }
        if (at < width) {  // what lies behind the row may be infinite: zero times it is not zero
            T rest[W] = {};
            copy<T, W / 2>(rest, g + at, width - at);
            const Vec<T> incoming = load<T>(rest);
            const Mask<T> inside = lane < static_cast<typename Vectors<T>::Scalar>(width - at);
            unroll<N>([&](auto n) { total[n] += incoming * (inside ? load(from + at + plane.place[first + n]) : Vec<T>{}); });
        }
    }
    unroll<N>([&](auto n) { sum[n] = total[n]; });
}

constexpr int MOST = ROWS >= 14 ? 13 : 9;  // taps at a time: as many sums as there are registers

template <class T, int N = MOST> void add_products_of(int64_t taps, const Plane<T> &plane, const T *g, int64_t first, Vec<T> *sum) {
    if (taps == N) {
        add_products<T, N>(plane, g, first, sum);
    } else if constexpr (N > 1) {
        add_products_of<T, N - 1>(taps, plane, g, first, sum);
    }
}

}  // namespace

template <class T>
void depthwise(const Axes *phases, int64_t number, int64_t images, int64_t channels, int64_t multiplier, const T *x, const T *weight,
               const T *bias, T *y) {
    const int64_t image = phases[0].image_size(), result = phases[0].result_size(), kernel = phases[0].kernel_size();
    each_plane(images * channels, number * phases[0].outputs() * phases[0].taps(), [&](int64_t begin, int64_t end) {
        for (int64_t phase = 0; phase < number; ++phase) {
            const Plane<T> plane(phases[phase]);
            const int64_t rows = plane.rows();
            for (int64_t i = begin; i < end; ++i) {
                const T *factors = weight + i % channels * kernel;
                const T added = bias == nullptr ? T(0) : bias[i % channels];
                fill_strip<T>(plane.strip, x + i / multiplier * image, 1, plane.axes, plane.layout);
                int64_t row = 0;
                for (; row + 4 <= rows; row += 4) {
                    rows_of_outputs<T, 4>(plane, factors, added, row, y + i * result);
                }
                for (; row < rows; ++row) {
                    rows_of_outputs<T, 1>(plane, factors, added, row, y + i * result);
                }
            }
        }
    });
}

template <class T>
void depthwise_grad_weight(const Axes &axes, int64_t images, int64_t channels, int64_t multiplier, const T *g, const T *x, T *dw) {
    const int64_t image = axes.image_size(), outputs = axes.outputs(), taps = axes.taps();
    each_plane(channels, images * outputs * taps, [&](int64_t begin, int64_t end) {
        const Plane<T> plane(axes);
        Scratch<Vec<T>> sum(taps);
        for (int64_t channel = begin; channel < end; ++channel) {
            zero<T>(reinterpret_cast<T *>(static_cast<Vec<T> *>(sum)), taps * WIDTH<T>);
            for (int64_t i = 0; i < images; ++i) {
                const int64_t number = i * channels + channel;
                fill_strip<T>(plane.strip, x + number / multiplier * image, 1, plane.axes, plane.layout);
                for (int64_t t = 0; t < taps; t += MOST) {
                    add_products_of<T>(least<int64_t>(MOST, taps - t), plane, g + number * outputs, t, sum + t);
                }
            }
            for (int64_t t = 0; t < taps; ++t) {
                dw[channel * taps + t] = sum_of(sum[t]);
            }
        }
    });
}

template void depthwise<float>(const Axes *, int64_t, int64_t, int64_t, int64_t, const float *, const float *, const float *, float *);
template void depthwise<double>(const Axes *, int64_t, int64_t, int64_t, int64_t, const double *, const double *, const double *, double *);
template void depthwise_grad_weight<float>(const Axes &, int64_t, int64_t, int64_t, const float *, const float *, float *);
template void depthwise_grad_weight<double>(const Axes &, int64_t, int64_t, int64_t, const double *, const double *, double *);

}  // namespace MYTORCH_VECTORS
}  // namespace mytorch
