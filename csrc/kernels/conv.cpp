// Convolutions and their gradients in the input, as matrix products that read the image in place: see conv.h.
//
// Rows are output channels, columns are outputs, and the depth runs over channels and taps.
#include "conv_depthwise.h"

namespace mytorch {
namespace MYTORCH_ISA {

namespace {

// A tile of `rows` x V vectors of outputs: C (+)= A B, or bias + A B. Row p of B begins at left + offset[p] and right + offset[p].
template <class T, int R, int V>
MYTORCH_INLINE void outputs_rows(int64_t depth, const T *a, const T *left, const T *right, const int64_t *offset, T *c, int64_t c_step,
                                 int columns, Start start, const T *bias) {
    constexpr int W = WIDTH<T>;
    Vec<T> sum[R][V];
    for (int r = 0; r < R; ++r) {
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
    if (columns == V * W) {
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) {
            T *row = c + r * c_step;
            for (int v = 0; v < V; ++v) {
                store<T>(row + v * W, start == Start::keep ? sum[r][v] + load(row + v * W) : sum[r][v]);
            }
        }
        return;
    }
    for (int r = 0; r < R; ++r) {
        T *row = c + r * c_step;
        T line[V * W];
        for (int v = 0; v < V; ++v) {
            store<T>(line + v * W, sum[r][v]);
        }
        for (int i = 0; i < columns; ++i) {
            row[i] = start == Start::keep ? line[i] + row[i] : line[i];
        }
    }
}

template <class T, int R = ROWS>
__attribute__((noinline)) void outputs_tile(int rows, int64_t depth, const T *a, const T *left, const T *right, const int64_t *offset, T *c,
                                            int64_t c_step, int columns, Start start, const T *bias) {
    if (rows == R) {
        if (columns > WIDTH<T>) {
            outputs_rows<T, R, 2>(depth, a, left, right, offset, c, c_step, columns, start, bias);
        } else {
            outputs_rows<T, R, 1>(depth, a, left, left, offset, c, c_step, columns, start, bias);
        }
    } else if constexpr (R > 1) {
        outputs_tile<T, R - 1>(rows, depth, a, left, right, offset, c, c_step, columns, start, bias);
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

template <class T> struct Correlation {
    Axes axes;
    int64_t images, groups, channels, rows;  // channels of the image and rows (output channels) of one group
    const T *x, *bias;
    T *y;
    // The weight: element (row, c, tap) of group g is weight[g * group_step + row * row_step + c * channel_step + number of the tap].
    const T *weight;
    int64_t group_step, row_step, channel_step;

    int64_t taps() const { return axes.taps(); }
    int64_t depth() const { return channels * taps(); }
    int64_t panel_size() const { return panels() * ROWS * depth(); }
    int64_t panels() const { return (rows + ROWS - 1) / ROWS; }
    int64_t panel_rows() const { return (rows + panels() - 1) / panels(); }  // panels of equal height: 16 rows are 8 and 8, not 14 and 2
    // The depth is worked off in pieces of some channels, whose panels stay in the first-level cache.
    int64_t pieces() const { return least(channels, (depth() + 319) / 320); }
    int64_t channels_at_once() const { return (channels + pieces() - 1) / pieces(); }

    // The work of several correlations over the same images (the phases of a gradient), one image after the other.
    static void run(const Correlation *phases, int64_t number) {
        const Correlation &one = phases[0];
        const int64_t steps = one.axes.axis[0].step * one.axes.axis[1].step * one.axes.axis[2].step;
        const Cut cut(one.axes, one.images, one.rows * one.depth(),
                      (one.channels_at_once() * steps + one.rows) * static_cast<int64_t>(sizeof(T)));
        Scratch<int64_t> begin(number + 1);
        int64_t work = begin[0] = 0;
        for (int64_t i = 0; i < number; ++i) {
            begin[i + 1] = begin[i] + one.groups * phases[i].panel_size();
            work += one.images * one.groups * phases[i].axes.outputs() * one.rows * phases[i].depth();
        }
        Scratch<T> packed(begin[number]);
        for (int64_t i = 0; i < number; ++i) {
            phases[i].pack_weight(packed + begin[i]);
        }
        const auto task = [&](int64_t index) {
            const int64_t part = index % cut.parts, group = index / cut.parts % one.groups;
            const int64_t first = index / cut.parts / one.groups * cut.together;
            for (int64_t i = 0; i < number; ++i) {
                phases[i].product(packed + begin[i] + group * phases[i].panel_size(), phases[i].axes.part(part, cut.parts), group, first,
                                  least(cut.together, one.images - first));
            }
        };
        const int64_t tasks = (one.images + cut.together - 1) / cut.together * one.groups * cut.parts;
        if (work < 1 << 18) {  // a second thread costs more than it brings
            for (int64_t i = 0; i < tasks; ++i) {
                task(i);
            }
        } else {
            parallel(tasks, task);
        }
    }

    // For each group and piece: panels of rows, as gemm.h has them.
    void pack_weight(T *to) const {
        Scratch<int64_t> number(taps());
        bool plain = channel_step == axes.kernel_size() && taps() == channel_step;
        for (int64_t t = 0; t < taps(); ++t) {
            number[t] = axes.kernel_index(t);
            plain = plain && number[t] == t;
        }
        const auto pack = [&](int64_t index) {
            const int64_t group = index / panels(), panel = index % panels();
            const int64_t row = panel * panel_rows(), height = least(panel_rows(), rows - row);
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

    // The outputs of one part of `count` images.
    void product(const T *a, Axes part, int64_t group, int64_t first, int64_t count) const {
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
                for (int64_t row = 0; row < rows; row += panel_rows(), tile_a += ROWS * now * taps()) {
                    outputs_tile<T>(static_cast<int>(least(panel_rows(), rows - row)), now * taps(), tile_a, left, right, b,
                                    c + row * c_step + column, c_step, columns, start, added == nullptr ? nullptr : added + row);
                }
            }
        }
        if (!direct) {
            put(to, block, part, count);
        }
    }

    // The runs that `columns` outputs from number `column` on are made of.
    static int runs_of(Run *runs, const Axes &part, const Layout &layout, int64_t column, int64_t columns) {
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

    // Outputs from a block of their own to their places in the result.
    void put(T *to, const T *block, const Axes &part, int64_t count) const {
        const Axis &depth = part.axis[0], &height = part.axis[1], &width = part.axis[2];
        for (int64_t row = 0; row < rows; ++row) {
            for (int64_t i = 0; i < count; ++i) {
                for (int64_t d = depth.begin; d < depth.end; ++d) {
                    for (int64_t h = height.begin; h < height.end; ++h) {
                        const int64_t z = depth.to_first + d * depth.to_step, u = height.to_first + h * height.to_step;
                        T *line = to + (((i * groups * rows + row) * depth.to_size + z) * height.to_size + u) * width.to_size + width.to_first +
                                  width.begin * width.to_step;
                        if (width.to_step == 1) {
                            copy(line, block, width.extent());
                        } else if (width.to_step == 2) {
                            spread_even(line, block, width.extent());
                        } else {
                            for (int64_t w = 0; w < width.extent(); ++w) {
                                line[w * width.to_step] = block[w];
                            }
                        }
                        block += width.extent();
                    }
                }
            }
        }
    }
};

template <class T>
int conv_typed(const mytorch_array &x, const mytorch_array &weight, const mytorch_array &bias, const mytorch_array &y,
               const mytorch_argument *numbers, int64_t groups) {
    const Axes axes = axes_of(x, weight, y, numbers, groups);
    const T *from = elements<T>(x), *factor = elements<T>(weight), *added = elements<T>(bias);
    T *to = elements<T>(y);
    require(added == nullptr || count_of(bias) == y.shape[1], "conv: the bias has one number per output channel");
    if (count_of(x) == 0 || count_of(y) == 0) {
        return 0;
    }
    const int64_t channels = weight.shape[1], rows = y.shape[1] / groups, size = axes.kernel_size();
    if (channels == 1 && groups > 1) {
        depthwise(&axes, 1, x.shape[0], y.shape[1], rows, from, factor, added, to);
        return 1;
    }
    const Correlation<T> whole{axes, x.shape[0], groups, channels, rows, from, added, to, factor, rows * channels * size, channels * size,
                               size};
    Correlation<T>::run(&whole, 1);
    return 1;
}

// The inputs i = phase + stride * q of an axis see g[q + (phase + padding - dilation * k) / stride] for every k that divides evenly:
// k, k + stride / gcd(stride, dilation), and so on; taken from the last to the first, so that places ascend. No taps: false.
bool phase_of(const Axis &forward, int64_t phase, Axis *axis) {
    const int64_t stride = forward.step, dilation = forward.delta, start = phase - forward.low;
    const int64_t period = forward.period();
    int64_t first = 0;
    while (first < least(period, forward.taps) && (start - dilation * first) % stride != 0) {
        ++first;
    }
    if (first == least(period, forward.taps) || phase >= forward.size) {
        return false;
    }
    const int64_t taps = (forward.taps - 1 - first) / period + 1, last = first + (taps - 1) * period;
    const int64_t inputs = (forward.size - phase + stride - 1) / stride;
    *axis = {forward.out, inputs, 1, (start - dilation * last) / stride, dilation * period / stride, taps, forward.kernel, last, -period,
             forward.size, phase, stride, 0, inputs, false};
    return true;
}

template <class T>
int conv_grad_input_typed(const mytorch_array &g, const mytorch_array &weight, const mytorch_array &bias, const mytorch_array &dx,
                          const mytorch_argument *numbers, int64_t groups) {
    const Axes forward = axes_of(dx, weight, g, numbers, groups);
    const T *from = elements<T>(g), *factor = elements<T>(weight), *added = elements<T>(bias);
    T *to = elements<T>(dx);
    require(added == nullptr || count_of(bias) == dx.shape[1], "conv_grad_input: the bias has one number per channel");
    if (count_of(g) == 0 || count_of(dx) == 0) {
        return 0;
    }
    const int64_t outputs = weight.shape[0] / groups, channels = weight.shape[1], size = forward.kernel_size();
    const int64_t strides = forward.axis[0].step * forward.axis[1].step * forward.axis[2].step;
    if (strides > 4096) {  // most phases see nothing
        return 0;
    }
    Scratch<Correlation<T>> phases(least(strides, size));  // every tap belongs to one phase
    int64_t seeing = 0;
    for (int64_t phase = 0; phase < strides; ++phase) {
        Axes axes;
        int64_t rest = phase;
        bool sees = true;
        for (int i = 2; i >= 0; --i) {
            sees = phase_of(forward.axis[i], rest % forward.axis[i].step, &axes.axis[i]) && sees;
            rest /= forward.axis[i].step;
        }
        if (sees) {
            phases[seeing++] = {axes, g.shape[0], groups, outputs, channels, from, added, to, factor, outputs * channels * size, size,
                                channels * size};
        }
    }
    if (seeing < strides) {  // what no output sees
        const int64_t image = forward.image_size();
        parallel(count_of(dx) / image, [&](int64_t i) {
            const T value = added == nullptr ? T(0) : added[i % dx.shape[1]];
            for (int64_t k = 0; k < image; ++k) {
                to[i * image + k] = value;
            }
        });
    }
    if (channels == 1 && outputs == 1 && groups > 1) {
        Scratch<Axes> axes(seeing);
        for (int64_t i = 0; i < seeing; ++i) {
            axes[i] = phases[i].axes;
        }
        depthwise<T>(axes, seeing, g.shape[0], groups, 1, from, factor, added, to);
    } else if (seeing > 0) {
        Correlation<T>::run(phases, seeing);
    }
    return 1;
}

int conv(const mytorch_argument *x) {
    const mytorch_array &y = x[3].array;
    return holds<float>(y) ? conv_typed<float>(x[0].array, x[1].array, x[2].array, y, x + 4, x[13].integer)
           : holds<double>(y) ? conv_typed<double>(x[0].array, x[1].array, x[2].array, y, x + 4, x[13].integer) : 0;
}

int conv_grad_input(const mytorch_argument *x) {
    const mytorch_array &dx = x[3].array;
    return holds<float>(dx) ? conv_grad_input_typed<float>(x[0].array, x[1].array, x[2].array, dx, x + 4, x[13].integer)
           : holds<double>(dx) ? conv_grad_input_typed<double>(x[0].array, x[1].array, x[2].array, dx, x + 4, x[13].integer) : 0;
}

}  // namespace

// After the arrays: stride, padding and dilation of three axes each, and the groups.
extern const mytorch_kernel conv_kernels[] = {
    {"conv", "rrRwiiiiiiiiii", conv},
    {"conv_grad_input", "rrRwiiiiiiiiii", conv_grad_input},
    {nullptr, nullptr, nullptr},
};

}  // namespace MYTORCH_ISA
}  // namespace mytorch
