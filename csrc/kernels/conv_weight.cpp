// The gradients of a convolution's bias, a sum, and weight, by the unit that is quicker.
#include "conv_depthwise.h"
#include "conv_weight_places.h"
#include "conv_weight_tiles.h"
#include "conv_weight_vectors.h"
#include "products.h"

namespace mytorch {
namespace MYTORCH_ISA {

namespace {

template <class T>
int conv_grad_weight_typed(const mytorch_array &g, const mytorch_array &x, const mytorch_array &dw, const mytorch_argument *numbers, int64_t groups) {
    const Axes axes = axes_of(x, dw, g, numbers, groups);
    const T *incoming = elements<T>(g), *image = elements<T>(x);
    T *to = elements<T>(dw);
    if (count_of(g) == 0 || count_of(x) == 0 || count_of(dw) == 0) {
        return 0;
    }
    if (groups == 1 && axes.one_place()) {
        const int64_t rows = g.shape[1], columns = dw.shape[1] * axes.kernel_size();
        multiply_quickest<T>(rows, columns, x.shape[0], {incoming, 1, rows}, {image, columns, 1}, to);
        return 1;
    }
    if (dw.shape[1] == 1 && groups > 1) {
        depthwise_grad_weight(axes, x.shape[0], dw.shape[0], dw.shape[0] / groups, incoming, image, to);
        return 1;
    }
#if defined(__AMX_BF16__)
    if constexpr (sizeof(T) == sizeof(float)) {
        const PlacesWeightGradient gradient{axes, x.shape[0], groups, dw.shape[1], g.shape[1] / groups, incoming, image, to};
        if (gradient.worth() && gradient.run()) {
            return 1;
        }
    }
#endif
    grad_weight_by_vectors<T>(axes, x.shape[0], groups, dw.shape[1], g.shape[1] / groups, incoming, image, to);
    return 1;
}

// The sum of g (N, O, *) over all but the channels: in vectors over an image's outputs, in double precision over images.
template <class T> int conv_grad_bias_typed(const mytorch_array &g, const mytorch_array &db) {
    require(g.ndim >= 2 && db.ndim == 1 && db.shape[0] == g.shape[1], "conv_grad_bias: one number per channel");
    const T *from = elements<T>(g);
    T *to = elements<T>(db);
    const int64_t images = g.shape[0], channels = g.shape[1];
    if (count_of(g) == 0) {
        return 0;
    }
    const int64_t outputs = count_of(g) / images / channels;
    parallel_ranges(channels, (1 << 14) / (images * outputs) + 1, [&](int64_t begin, int64_t end) {
        constexpr int W = WIDTH<T>;
        for (int64_t channel = begin; channel < end; ++channel) {
            double total = 0;
            for (int64_t i = 0; i < images; ++i) {
                const T *plane = from + (i * channels + channel) * outputs;
                Vec<T> sum[4] = {};
                int64_t at = 0;
                for (; at + 4 * W <= outputs; at += 4 * W) {
                    unroll<4>([&](auto v) { sum[v] += load(plane + at + v * W); });
                }
                T rest = 0;
                for (; at + W <= outputs; at += W) {
                    sum[0] += load(plane + at);
                }
                for (; at < outputs; ++at) {
                    rest += plane[at];
                }
                total += static_cast<double>(sum_of((sum[0] + sum[1]) + (sum[2] + sum[3])) + rest);
            }
            to[channel] = static_cast<T>(total);
        }
    });
    return 1;
}

int conv_grad_bias(const mytorch_argument *x) {
    const mytorch_array &db = x[1].array;
    return holds<float>(db) ? conv_grad_bias_typed<float>(x[0].array, db) : holds<double>(db) ? conv_grad_bias_typed<double>(x[0].array, db) : 0;
}

// bfloat16 on AMX, where that is quicker.
int conv_grad_weight_halves(const mytorch_array &g, const mytorch_array &x, const mytorch_array &dw, const mytorch_argument *numbers,
                            int64_t groups) {
#if defined(__AMX_BF16__)
    const Axes axes = axes_of(x, dw, g, numbers, groups);
    const bfloat16 *incoming = elements<bfloat16>(g), *image = elements<bfloat16>(x);
    bfloat16 *to = elements<bfloat16>(dw);
    if (count_of(g) == 0 || count_of(x) == 0 || count_of(dw) == 0 || (dw.shape[1] == 1 && groups > 1)) {
        return 0;
    }
    const TileWeightGradient gradient{axes, x.shape[0], groups, dw.shape[1], g.shape[1] / groups, incoming, image, to};
    return gradient.worth() && gradient.run();
#else
    (void)g, (void)x, (void)dw, (void)numbers, (void)groups;
    return 0;
#endif
}

int conv_grad_weight(const mytorch_argument *x) {
    const mytorch_array &dw = x[2].array;
    if (holds<bfloat16>(dw)) {
        return conv_grad_weight_halves(x[0].array, x[1].array, dw, x + 3, x[12].integer);
    }
    return holds<float>(dw) ? conv_grad_weight_typed<float>(x[0].array, x[1].array, dw, x + 3, x[12].integer)
           : holds<double>(dw) ? conv_grad_weight_typed<double>(x[0].array, x[1].array, dw, x + 3, x[12].integer) : 0;
}

}  // namespace

// After the arrays: stride, padding and dilation of three axes each, and the groups.
extern const mytorch_kernel conv_weight_kernels[] = {
    {"conv_grad_weight", "rrwiiiiiiiiii", conv_grad_weight},
    {"conv_grad_bias", "rw", conv_grad_bias},
    {nullptr, nullptr, nullptr},
};

}  // namespace MYTORCH_ISA
}  // namespace mytorch
