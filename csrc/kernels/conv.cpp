// Convolutions and their gradients in the input, as matrix products that read the image in place: see conv.h.
//
// Rows are output channels, columns are outputs, and the depth runs over channels and taps.
#include "conv_depthwise.h"
#include "conv_tiles.h"
#include "products.h"

namespace mytorch {
namespace MYTORCH_ISA {

namespace {

// The work of several correlations over the same images (the phases of a gradient), one image after the other.
template <class On, class T> void correlate_on(const Correlation<T> *phases, int64_t number, int64_t work) {
    const Correlation<T> &one = phases[0];
    const int64_t steps = one.axes.axis[0].step * one.axes.axis[1].step * one.axes.axis[2].step;
    Scratch<On> units(number);
    Scratch<int64_t> begin(number + 1);
    begin[0] = 0;
    for (int64_t i = 0; i < number; ++i) {
        units[i] = On{phases[i]};
        begin[i + 1] = begin[i] + one.groups * units[i].packed_size();
    }
    constexpr int64_t bytes = sizeof(Number<T>);
    const Cut cut(one.axes, one.images, one.rows * one.depth(), (units[0].channels_at_once() * steps + one.rows) * bytes);
    Scratch<Number<T>> packed(begin[number]);
    for (int64_t i = 0; i < number; ++i) {
        units[i].pack_weight(packed + begin[i]);
    }
    const auto task = [&](int64_t index) {
        const int64_t part = index % cut.parts, group = index / cut.parts % one.groups;
        const int64_t first = index / cut.parts / one.groups * cut.together;
        for (int64_t i = 0; i < number; ++i) {
            units[i].product(packed + begin[i] + group * units[i].packed_size(), phases[i].axes.part(part, cut.parts), group, first,
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

// The same on the unit that is quicker. False, with nothing done, for bfloat16 where that is the vectors' float32.
template <class T> bool correlate(const Correlation<T> *phases, int64_t number) {
    int64_t work = 0;
    for (int64_t i = 0; i < number; ++i) {
        work += phases[i].images * phases[i].groups * phases[i].axes.outputs() * phases[i].rows * phases[i].depth();
    }
#if defined(__AMX_BF16__)
    if constexpr (sizeof(T) <= sizeof(float)) {
        bool worth = true;
        for (int64_t i = 0; i < number; ++i) {
            worth = worth && TileCorrelation<T>{phases[i]}.worth();
        }
        if (worth) {
            correlate_on<TileCorrelation<T>>(phases, number, work);
            return true;
        }
    }
#endif
    if constexpr (sizeof(T) >= sizeof(float)) {
        correlate_on<VectorCorrelation<T>>(phases, number, work);
    }
    return sizeof(T) >= sizeof(float);
}

template <class T>
int conv_typed(const mytorch_array &x, const mytorch_array &weight, const mytorch_array &bias, const mytorch_array &y,
               const mytorch_argument *numbers, int64_t groups) {
    const Axes axes = axes_of(x, weight, y, numbers, groups);
    const T *from = elements<T>(x), *factor = elements<T>(weight);
    const Number<T> *added = elements<Number<T>>(bias);
    T *to = elements<T>(y);
    require(added == nullptr || count_of(bias) == y.shape[1], "conv: the bias has one number per output channel");
    if (count_of(x) == 0 || count_of(y) == 0) {
        return 0;
    }
    const int64_t channels = weight.shape[1], rows = y.shape[1] / groups, size = axes.kernel_size();
    if constexpr (sizeof(T) >= sizeof(float)) {
        if (groups == 1 && axes.one_place()) {
            multiply_quickest<T>(x.shape[0], rows, channels * size, {from, channels * size, 1}, {factor, 1, channels * size}, to, added);
            return 1;
        }
    }
    if (channels == 1 && groups > 1) {
        if constexpr (sizeof(T) >= sizeof(float)) {
            depthwise(&axes, 1, x.shape[0], y.shape[1], rows, from, factor, added, to);
        }
        return sizeof(T) >= sizeof(float);
    }
    const Correlation<T> whole{axes, x.shape[0], groups, channels, rows, from, added, to, factor, rows * channels * size, channels * size,
                               size};
    return correlate(&whole, 1);
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
    const T *from = elements<T>(g), *factor = elements<T>(weight);
    const Number<T> *added = elements<Number<T>>(bias);
    T *to = elements<T>(dx);
    require(added == nullptr || count_of(bias) == dx.shape[1], "conv_grad_input: the bias has one number per channel");
    if (count_of(g) == 0 || count_of(dx) == 0) {
        return 0;
    }
    const int64_t outputs = weight.shape[0] / groups, channels = weight.shape[1], size = forward.kernel_size();
    if constexpr (sizeof(T) >= sizeof(float)) {
        if (groups == 1 && forward.one_place()) {
            Scratch<T> each(added == nullptr ? 0 : channels * size);  // the bias of each place
            for (int64_t i = 0; added != nullptr && i < channels * size; ++i) {
                each[i] = added[i / size];
            }
            multiply_quickest<T>(g.shape[0], channels * size, outputs, {from, outputs, 1}, {factor, channels * size, 1}, to,
                                 added == nullptr ? nullptr : static_cast<T *>(each));
            return 1;
        }
    }
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
            const T value = added == nullptr ? T(0) : T(added[i % dx.shape[1]]);
            for (int64_t k = 0; k < image; ++k) {
                to[i * image + k] = value;
            }
        });
    }
    if (channels == 1 && outputs == 1 && groups > 1) {
        if constexpr (sizeof(T) >= sizeof(float)) {
            Scratch<Axes> axes(seeing);
            for (int64_t i = 0; i < seeing; ++i) {
                axes[i] = phases[i].axes;
            }
            depthwise<T>(axes, seeing, g.shape[0], groups, 1, from, factor, added, to);
        }
        return sizeof(T) >= sizeof(float);
    }
    return seeing == 0 || correlate<T>(phases, seeing);
}

int conv(const mytorch_argument *x) {
    return by_type(x[3].array, [&](auto *type) {
        return conv_typed<std::remove_pointer_t<decltype(type)>>(x[0].array, x[1].array, x[2].array, x[3].array, x + 4, x[13].integer);
    });
}

int conv_grad_input(const mytorch_argument *x) {
    return by_type(x[3].array, [&](auto *type) {
        return conv_grad_input_typed<std::remove_pointer_t<decltype(type)>>(x[0].array, x[1].array, x[2].array, x[3].array, x + 4, x[13].integer);
    });
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
