// What the convolutions share: an image seen by a kernel of taps, one axis at a time, and the strip of it that a task works on.
//
// y[m, q] = sum over c, j of weight[m, c, j] * x[c, q * step + low + j * delta]   (x is zero outside, one such index per axis)
//
// With step = stride, low = -padding, delta = dilation this is a convolution. Its gradient in x is one as well: the x that are r
// modulo the stride see every (stride / gcd(stride, dilation))-th tap, backwards, with step 1 (see `phase_of` in conv.cpp).
//
// A strip is a copy of some channels and rows of the image with its padding, in which the places that neighbouring outputs see
// through one tap are neighbours, whatever the step. So x above lies at place(q) + place(c, j): every tap is a number added to the
// address of an output, the left and the right factor of a matrix product are read in place, and no column matrix is ever made.
#ifndef MYTORCH_KERNELS_CONV_H
#define MYTORCH_KERNELS_CONV_H

#include "bfloat16.h"
#include "gemm.h"

namespace mytorch {
namespace MYTORCH_VECTORS {

struct Axis {
    int64_t size;                       // of the image
    int64_t out;                        // number of outputs
    int64_t step, low, delta, taps;     // as above; delta is at least 1
    int64_t kernel, first_tap, next_tap;  // the kernel's size, and which of its numbers tap 0 and the following ones are
    int64_t to_size, to_first, to_step;   // the result's size, and where output 0 and the following ones go
    int64_t begin, end;                 // the outputs of the strip
    bool spread;                        // the strip has a copy for every tap, as long as the outputs are

    int64_t extent() const { return end - begin; }
    // Taps whose distances leave the same remainder by the step share a phase: every step-th place of the image.
    int64_t period() const {
        int64_t a = step, b = delta;
        while (a > 1 && b != 0) {
            const int64_t rest = a % b;
            a = b;
            b = rest;
        }
        return step / a;
    }
    int64_t phases() const { return spread ? taps : least(taps, period()); }
    int64_t phase_length() const { return extent() + (spread ? 0 : delta * (taps - 1) / step); }
    int64_t places() const { return phases() * phase_length(); }
    int64_t phase_of_tap(int64_t j) const { return spread ? j : j % period(); }
    int64_t place_in_phase(int64_t j) const { return spread ? 0 : j * delta / step; }
    // Where in the image the phase begins, and which of its places lie inside the image.
    int64_t phase_begin(int64_t phase) const { return begin * step + low + (spread ? phase * delta : phase * delta % step); }
    int64_t first_inside(int64_t from) const { return from >= 0 ? 0 : least((-from + step - 1) / step, phase_length()); }
    int64_t end_inside(int64_t from) const {
        return from >= size ? first_inside(from) : greatest(first_inside(from), least((size - from + step - 1) / step, phase_length()));
    }
    bool in_place() const { return step == 1 && low >= 0 && out - 1 + low + delta * (taps - 1) < size; }
};

// Depth, height and width; a missing axis has size 1.
struct Axes {
    Axis axis[3];

    int64_t image_size() const { return axis[0].size * axis[1].size * axis[2].size; }
    int64_t outputs() const { return axis[0].out * axis[1].out * axis[2].out; }
    int64_t result_size() const { return axis[0].to_size * axis[1].to_size * axis[2].to_size; }
    int64_t taps() const { return axis[0].taps * axis[1].taps * axis[2].taps; }
    int64_t kernel_size() const { return axis[0].kernel * axis[1].kernel * axis[2].kernel; }
    int64_t extent() const { return axis[0].extent() * axis[1].extent() * axis[2].extent(); }
    bool in_place() const { return axis[0].in_place() && axis[1].in_place() && axis[2].in_place(); }
    // Is there one output, which sees the whole image? Then a convolution is a product of matrices.
    bool one_place() const {
        return outputs() == 1 && image_size() == kernel_size() && axis[0].low == 0 && axis[1].low == 0 && axis[2].low == 0;
    }
    bool fills_result() const {
        return axis[0].to_step == 1 && axis[1].to_step == 1 && axis[2].to_step == 1 && outputs() == result_size();
    }
    // Long images are cut along their first axis that has a length: the outputs of a piece lie together in the result.
    int long_axis() const { return axis[0].out > 1 ? 0 : axis[1].out > 1 ? 1 : 2; }
    Axes part(int64_t number, int64_t parts) const {
        Axes piece = *this;
        for (Axis &a : piece.axis) {
            a.begin = 0;
            a.end = a.out;
            a.spread = false;
        }
        Axis &a = piece.axis[long_axis()];
        a.begin = a.out * number / parts;
        a.end = a.out * (number + 1) / parts;
        return piece;
    }
    int64_t first_output() const {
        return (axis[0].begin * axis[1].out + axis[1].begin) * axis[2].out + axis[2].begin;
    }
    // Which number of the kernel a tap is.
    int64_t kernel_index(int64_t tap) const {
        const int64_t w = tap % axis[2].taps, h = tap / axis[2].taps % axis[1].taps, d = tap / axis[2].taps / axis[1].taps;
        const auto number = [&](int i, int64_t j) { return axis[i].first_tap + j * axis[i].next_tap; };
        return (number(0, d) * axis[1].kernel + number(1, h)) * axis[2].kernel + number(2, w);
    }
};

template <class T> void zero(T *to, int64_t n) { std::memset(to, 0, static_cast<size_t>(n) * sizeof(T)); }

// Copy n elements in pieces of S; the last piece overlaps the one before, so nothing beyond is touched.
template <class T, int S = WIDTH<T>> MYTORCH_INLINE void copy(T *to, const T *from, int64_t n) {
    if (n == S) {
        std::memcpy(to, from, S * sizeof(T));
    } else if (n > S) {
        for (int64_t i = 0; i + S < n; i += S) {
            std::memcpy(to + i, from + i, S * sizeof(T));
        }
        std::memcpy(to + n - S, from + n - S, S * sizeof(T));
    } else if constexpr (S > 1) {
        copy<T, S / 2>(to, from, n);
    }
}

// to[i] = from[2 * i], S at a time. The upper half of a vector is taken from a load that ends with the last place wanted.
template <class T, int S = WIDTH<T>> MYTORCH_INLINE void copy_even(T *to, const T *from, int64_t n) {
    if constexpr (S >= 4) {
        if (n >= S) {
            typedef T Vector __attribute__((vector_size(S * sizeof(T))));
            typedef typename Vectors<T>::Scalar Order __attribute__((vector_size(S * sizeof(T))));
            Order even;
            for (int i = 0; i < S; ++i) {
                even[i] = 2 * i < S ? 2 * i : 2 * i + 1;
            }
            for (int64_t i = 0;;) {
                Vector low, high;
                std::memcpy(&low, from + 2 * i, sizeof(low));
                std::memcpy(&high, from + 2 * i + S - 1, sizeof(high));
                low = __builtin_shuffle(low, high, even);
                std::memcpy(to + i, &low, sizeof(low));
                if (i == n - S) {
                    return;
                }
                i = least(i + S, n - S);
            }
        }
        copy_even<T, S / 2>(to, from, n);
    } else {
        for (int64_t i = 0; i < n; ++i) {
            to[i] = from[2 * i];
        }
    }
}

template <class T> MYTORCH_INLINE void copy_every(T *to, const T *from, int64_t n, int64_t step) {
    if (step == 2) {
        copy_even(to, from, n);
        return;
    }
    for (int64_t i = 0; i < n; ++i) {
        to[i] = from[i * step];
    }
}

// to[2 * i] = from[i], S at a time; what lies between stays, and nothing behind the last place is touched.
template <class T, int S = WIDTH<T>> MYTORCH_INLINE void spread_even(T *to, const T *from, int64_t n) {
    if constexpr (S >= 4) {
        typedef T Vector __attribute__((vector_size(S * sizeof(T))));
        typedef typename Vectors<T>::Scalar Order __attribute__((vector_size(S * sizeof(T))));
        Order low, high;
        for (int i = 0; i < S; ++i) {
            low[i] = i % 2 == 0 ? S + i / 2 : i;
            high[i] = i % 2 == 0 ? S + (S + i) / 2 : i;
        }
        for (; n > S; n -= S, to += 2 * S, from += S) {
            Vector first, second, values;
            std::memcpy(&first, to, sizeof(first));
            std::memcpy(&second, to + S, sizeof(second));
            std::memcpy(&values, from, sizeof(values));
            first = __builtin_shuffle(first, values, low);
            second = __builtin_shuffle(second, values, high);
            std::memcpy(to, &first, sizeof(first));
            std::memcpy(to + S, &second, sizeof(second));
        }
        spread_even<T, S / 2>(to, from, n);
    } else {
        for (int64_t i = 0; i < n; ++i) {
            to[2 * i] = from[i];
        }
    }
}

// to[i * step] = from[i]
template <class T> MYTORCH_INLINE void spread(T *to, const T *from, int64_t n, int64_t step) {
    if (step == 2) {
        spread_even(to, from, n);
        return;
    }
    for (int64_t i = 0; i < n; ++i) {
        to[i * step] = from[i];
    }
}

// The same, rounded.
MYTORCH_INLINE void spread(bfloat16 *to, const float *from, int64_t n, int64_t step) {
    constexpr int64_t SOME = 64;
    bfloat16 some[SOME];
    for (int64_t i = 0; i < n; i += SOME) {
        const int64_t count = least(SOME, n - i);
        map(count, some, [](VecF v) { return v; }, from + i);
        spread(reinterpret_cast<uint16_t *>(to + i * step), reinterpret_cast<const uint16_t *>(some), count, step);
    }
}

// Where things lie in a strip: distances from one row, sheet of rows, phase of the width, channel and image to the next.
struct Layout {
    int64_t row, sheet, phase, channel, image;

    explicit Layout(const Axes &a)
        : row(a.axis[2].phase_length()), sheet(a.axis[1].places() * row), phase(a.axis[0].places() * sheet),
          channel(a.axis[2].phases() * phase), image(0) {
        channel += channel % 256 == 0 ? 16 : 0;  // addresses a power of two apart share a few places in the cache
    }
    // The image itself as a strip: nothing is padded, and steps are 1.
    Layout(const Axes &a, int64_t image_step)
        : row(a.axis[2].size), sheet(a.axis[1].size * row), phase(0), channel(a.image_size()), image(image_step) {}

    int64_t of_tap(const Axes &a, int64_t tap, bool in_place) const {
        const int64_t index[3] = {tap / a.axis[2].taps / a.axis[1].taps, tap / a.axis[2].taps % a.axis[1].taps, tap % a.axis[2].taps};
        const auto at = [&](int i) {
            const Axis &axis = a.axis[i];
            return in_place ? axis.begin + axis.low + index[i] * axis.delta : axis.place_in_phase(index[i]);
        };
        int64_t place = at(0) * sheet + at(1) * row + at(2);
        if (!in_place) {
            for (int i = 0; i < 2; ++i) {
                place += a.axis[i].phase_of_tap(index[i]) * a.axis[i].phase_length() * (i == 0 ? sheet : row);
            }
            place += a.axis[2].phase_of_tap(index[2]) * phase;
        }
        return place;
    }
    // The beginning of a row of outputs: rows are counted through the sheets and images of the strip.
    int64_t of_row(const Axes &a, int64_t number) const {
        const int64_t h = a.axis[1].extent(), d = a.axis[0].extent();
        return number / h / d * image + number / h % d * sheet + number % h * row;
    }
};

// The strip of some channels of one image. Only what lies inside the image is written: the padding must be zero already.
template <class T> void fill_strip(T *to, const T *image, int64_t channels, const Axes &a, const Layout &layout) {
    // The image's places inside one phase of an axis: `count` places of the strip from `first` on, the image's from `from` on.
    struct Inside {
        int64_t first, count, from;
        Inside(const Axis &axis, int64_t phase) {
            const int64_t begin = axis.phase_begin(phase);
            first = axis.first_inside(begin);
            count = axis.end_inside(begin) - first;
            from = begin + first * axis.step;
        }
    };
    const Axis &depth = a.axis[0], &height = a.axis[1], &width = a.axis[2];
    const int64_t image_size = a.image_size(), line = width.size, plane = height.size * line;
    const int64_t sheets = depth.phase_length(), rows = height.phase_length(), step = width.step;
    for (int64_t z = 0; z < depth.phases(); ++z) {
        const Inside sheet(depth, z);
        for (int64_t u = 0; u < height.phases(); ++u) {
            const Inside row(height, u);
            for (int64_t w = 0; w < width.phases(); ++w) {
                const Inside place(width, w);
                T *const first = to + (z * sheets + sheet.first) * layout.sheet + (u * rows + row.first) * layout.row + w * layout.phase +
                                 place.first;
                const T *const from = image + sheet.from * plane + row.from * line + place.from;
                for (int64_t c = 0; c < channels; ++c) {
                    for (int64_t i = 0; i < sheet.count; ++i) {
                        T *target = first + c * layout.channel + i * layout.sheet;
                        const T *source = from + c * image_size + i * depth.step * plane;
                        for (int64_t k = 0; k < row.count; ++k, target += layout.row, source += height.step * line) {
                            if (step == 1) {
                                copy(target, source, place.count);
                            } else {
                                copy_every(target, source, place.count, step);
                            }
                        }
                    }
                }
            }
        }
    }
}

// Sizes from the arrays of Python, (N, channels, *size), and three integers per axis: stride, padding, dilation.
struct Shape {
    int64_t images, channels, size[3];

    explicit Shape(const mytorch_array &x) : images(x.shape[0]), channels(x.shape[1]), size{1, 1, 1} {
        for (int i = 2; i < x.ndim; ++i) {
            size[i + 3 - x.ndim] = x.shape[i];
        }
    }
};

// The geometry of y = convolution(x, weight), after checking that x, weight and y fit together.
inline Axes axes_of(const mytorch_array &x, const mytorch_array &weight, const mytorch_array &y, const mytorch_argument *numbers,
                    int64_t groups) {
    require(x.ndim >= 3 && x.ndim <= 5 && weight.ndim == x.ndim && y.ndim == x.ndim, "convolution: 1 to 3 axes");
    const Shape in(x), kernel(weight), out(y);
    require(groups >= 1 && in.images == out.images && kernel.images == out.channels && kernel.channels * groups == in.channels &&
                out.channels % groups == 0, "convolution: channels do not fit");
    Axes axes;
    for (int i = 0; i < 3; ++i) {
        const int64_t stride = numbers[i].integer, padding = numbers[3 + i].integer, dilation = numbers[6 + i].integer;
        require(stride >= 1 && padding >= 0 && dilation >= 1 && kernel.size[i] >= 1, "convolution: stride, padding or dilation");
        require(in.size[i] + 2 * padding >= dilation * (kernel.size[i] - 1) + 1 + stride * (out.size[i] - 1), "convolution: sizes do not fit");
        axes.axis[i] = {in.size[i], out.size[i], stride, -padding, dilation, kernel.size[i], kernel.size[i], 0, 1, out.size[i], 0, 1, 0,
                        out.size[i], false};
    }
    return axes;
}

// How images are cut into pieces of work: `parts` pieces per image, or `together` small images in one piece. By shapes alone.
struct Cut {
    int64_t parts, together;

    Cut(const Axes &a, int64_t images, int64_t work_per_output, int64_t bytes_per_output) {
        const int64_t outputs = a.outputs(), length = a.axis[a.long_axis()].out;
        constexpr int64_t ENOUGH = 8, FEW = 64, LIGHT = 1 << 18, CACHE = 1 << 19;  // pieces; outputs, multiplications, bytes of one
        const int64_t fewest = work_per_output > LIGHT ? ENOUGH / 2 : ENOUGH;  // a large weight is read for several images at once
        parts = least((ENOUGH + images - 1) / images, least(outputs / FEW, outputs * work_per_output / LIGHT));
        parts = greatest(parts, outputs * bytes_per_output / CACHE);
        parts = greatest<int64_t>(1, least(parts, length));
        together = outputs >= 256 || parts > 1 ? 1 : greatest<int64_t>(1, least(images / fewest, 256 / outputs));
    }
};

// A sum of products of an image's places and a weight's numbers (of one phase of a gradient), for all images, groups and rows.
template <class T> struct Correlation {
    Axes axes;
    int64_t images, groups, channels, rows;  // channels of the image and rows (output channels) of one group
    const T *x;
    const Number<T> *bias;
    T *y;
    // The weight: element (row, c, tap) of group g is weight[g * group_step + row * row_step + c * channel_step + number of the tap].
    const T *weight;
    int64_t group_step, row_step, channel_step;

    int64_t taps() const { return axes.taps(); }
    int64_t depth() const { return channels * taps(); }

    // How outputs lie in a block of their own: distances from one output channel, sheet (of an image) and row to the next.
    struct BlockSteps {
        int64_t channel, sheet, row;
    };

    // From there to their places in the result.
    void put(T *to, T *block, const BlockSteps &steps, const Axes &part, int64_t count) const {
        const int64_t sheets = part.axis[0].extent(), height = part.axis[1].extent();
        for (int64_t row = 0; row < rows; ++row) {
            for (int64_t line = 0; line < count * sheets * height; ++line) {
                put_line(to + line / height / sheets * groups * rows * axes.result_size(), block, steps, part, line / height, line % height, row,
                         nullptr);
            }
        }
    }

    // One line of outputs, number h of a sheet and of output channel `row`, to its place in the result of an image, with a number per
    // output channel added unless `added` is NULL.
    void put_line(T *to, Number<T> *block, const BlockSteps &steps, const Axes &part, int64_t sheet, int64_t h, int64_t row,
                  const Number<T> *added) const {
        const Axis &depth = part.axis[0], &height = part.axis[1], &width = part.axis[2];
        const int64_t extent = width.extent(), z = depth.to_first + (depth.begin + (depth.extent() > 1 ? sheet % depth.extent() : 0)) * depth.to_step;
        const int64_t u = height.to_first + (height.begin + h) * height.to_step;
        Number<T> *from = block + row * steps.channel + sheet * steps.sheet + h * steps.row;
        T *line = to + ((row * depth.to_size + z) * height.to_size + u) * width.to_size + width.to_first + width.begin * width.to_step;
        const auto sum = [more = added == nullptr ? 0 : added[row]](Vec<T> v) { return v + more; };
        if (width.to_step > 1) {
            if (added != nullptr) {
                map(extent, from, sum, from);
            }
            spread(line, static_cast<const Number<T> *>(from), extent, width.to_step);
        } else if (added != nullptr) {
            map(extent, line, sum, from);
        } else if constexpr (sizeof(T) == sizeof(Number<T>)) {
            copy(line, from, extent);
        } else {
            map(extent, line, [](Vec<T> v) { return v; }, from);
        }
    }
};

}  // namespace MYTORCH_VECTORS
}  // namespace mytorch

#endif
