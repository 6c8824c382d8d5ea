// Steps of optimizers: each reads and writes every array once. The formulas are those of mytorch/optim, in the order of their
// lines; numbers that are the same for all weights are computed in float64 and rounded once.
#include "vec.h"

namespace mytorch {
namespace MYTORCH_ISA {

namespace {

template <class T> int64_t count_if_alike(const mytorch_argument *x, int arrays) {
    bool alike = true;
    for (int k = 0; k < arrays; ++k) {
        alike &= holds<T>(x[k].array) && is_contiguous(x[k].array) && same_shape(x[k].array, x[0].array);
    }
    return alike ? count_of(x[0].array) : -1;
}

// Run body(v) on vectors v[0 ... ARRAYS - 1] of the arrays, and store what it leaves in them; but v[1], the gradient, is only read.
// Declines arrays that are not all of type T, of one shape and contiguous.
template <class T, int ARRAYS, class Body> int walk(const mytorch_argument *x, const Body &body) {
    constexpr int W = WIDTH<T>;
    const int64_t count = count_if_alike<T>(x, ARRAYS);
    if (count < 0) {
        return 0;
    }
    T *at[ARRAYS];
    for (int k = 0; k < ARRAYS; ++k) {
        at[k] = static_cast<T *>(x[k].array.data);
    }
    parallel_ranges(count, GRAIN, [&](int64_t begin, int64_t end) {
        Vec<T> v[ARRAYS];
        int64_t i = begin;
        for (; i + W <= end; i += W) {
            for (int k = 0; k < ARRAYS; ++k) {
                k == 1 ? fetch(at[k] + i) : fetch<true>(at[k] + i);
                v[k] = load(at[k] + i);
            }
            body(v);
            for (int k = 0; k < ARRAYS; ++k) {
                if (k != 1) {
                    store(at[k] + i, v[k]);
                }
            }
        }
        if (i < end) {
            for (int k = 0; k < ARRAYS; ++k) {
                v[k] = load_some(at[k] + i, end - i);
            }
            body(v);
            for (int k = 0; k < ARRAYS; ++k) {
                if (k != 1) {
                    store_some(at[k] + i, v[k], end - i);
                }
            }
        }
    });
    return 1;
}

// What the update calls g_t: -g when ascending, plus weight_decay * p. Where there is no decay, an infinite p leaves it alone.
template <class T> struct Gradient {
    T decay;
    bool maximize;

    Gradient(double weight_decay, int64_t ascending) : decay(static_cast<T>(weight_decay)), maximize(ascending != 0) {}
    MYTORCH_INLINE Vec<T> operator()(Vec<T> p, Vec<T> g) const {
        g = maximize ? -g : g;
        return decay != T(0) ? g + p * decay : g;
    }
};

template <class T> MYTORCH_INLINE void update_mean(Vec<T> &m, Vec<T> g, T rest) { m += (g - m) * rest; }
template <class T> MYTORCH_INLINE void update_mean_square(Vec<T> &v, Vec<T> g, T beta, T rest) { v = v * beta + g * rest * g; }

template <class T> int sgd(const mytorch_argument *x) {
    const T lr = static_cast<T>(x[3].number);
    const T momentum = static_cast<T>(x[4].number);
    const T undamped = static_cast<T>(1 - x[5].number);
    const bool nesterov = x[7].integer != 0, first = x[9].integer != 0;
    const Gradient<T> gradient(x[6].number, x[8].integer);
    if (x[2].array.data == nullptr) {
        return walk<T, 2>(x, [=](Vec<T> *v) { v[0] -= gradient(v[0], v[1]) * lr; });
    }
    return walk<T, 3>(x, [=](Vec<T> *v) {
        Vec<T> &p = v[0], &b = v[2];
        const Vec<T> g = gradient(p, v[1]);
        b = first ? g : b * momentum + g * undamped;  // the buffer of a first step may hold anything
        p -= (nesterov ? g + b * momentum : b) * lr;
    });
}

// arrays param, grad, exp_avg, exp_avg_sq and, for AMSGrad, max_exp_avg_sq
template <class T, bool AMSGRAD> int adam_as(const mytorch_argument *x) {
    const double step = x[5].number, lr = x[6].number, beta1 = x[7].number, beta2 = x[8].number, weight_decay = x[10].number;
    const bool decoupled = x[11].integer != 0;
    const double correction2 = std::sqrt(1 - std::pow(beta2, step));
    const T alpha = static_cast<T>(lr * correction2 / (1 - std::pow(beta1, step)));
    const T eps = static_cast<T>(x[9].number * correction2);
    const T keep = static_cast<T>(decoupled ? 1 - lr * weight_decay : 1);
    const T rest1 = static_cast<T>(1 - beta1), decay2 = static_cast<T>(beta2), rest2 = static_cast<T>(1 - beta2);
    const Gradient<T> gradient(decoupled ? 0 : weight_decay, x[12].integer);
    return walk<T, 4 + AMSGRAD>(x, [=](Vec<T> *v) {
        Vec<T> p = v[0] * keep;
        const Vec<T> g = gradient(p, v[1]);
        update_mean<T>(v[2], g, rest1);
        update_mean_square<T>(v[3], g, decay2, rest2);
        if constexpr (AMSGRAD) {
            v[4] = larger_or_nan(v[4], v[3]);
        }
        v[0] = p - v[2] / (square_root<T>(v[3 + AMSGRAD]) + eps) * alpha;
    });
}

template <class T> int adam(const mytorch_argument *x) { return x[4].array.data == nullptr ? adam_as<T, false>(x) : adam_as<T, true>(x); }

template <class T> int adamax(const mytorch_argument *x) {
    const double beta1 = x[6].number;
    const T alpha = static_cast<T>(x[5].number / (1 - std::pow(beta1, x[4].number)));
    const T rest1 = static_cast<T>(1 - beta1), decay2 = static_cast<T>(x[7].number), eps = static_cast<T>(x[8].number);
    const Gradient<T> gradient(x[9].number, x[10].integer);
    return walk<T, 4>(x, [=](Vec<T> *v) {
        const Vec<T> g = gradient(v[0], v[1]);
        update_mean<T>(v[2], g, rest1);
        v[3] = larger_or_nan(v[3] * decay2, absolute<T>(g) + eps);
        v[0] -= v[2] / v[3] * alpha;
    });
}

template <class T> int nadam(const mytorch_argument *x) {
    const double beta1 = x[8].number, beta2 = x[9].number;
    const T of_grad = static_cast<T>(x[5].number), of_mean = static_cast<T>(x[6].number), keep = static_cast<T>(x[7].number);
    const T correction2 = static_cast<T>(std::sqrt(1 - std::pow(beta2, x[4].number)));
    const T rest1 = static_cast<T>(1 - beta1), decay2 = static_cast<T>(beta2), rest2 = static_cast<T>(1 - beta2);
    const T eps = static_cast<T>(x[10].number);
    const Gradient<T> gradient(x[11].number, x[12].integer);
    return walk<T, 4>(x, [=](Vec<T> *v) {
        const Vec<T> p = v[0] * keep;
        const Vec<T> g = gradient(p, v[1]);
        update_mean<T>(v[2], g, rest1);
        update_mean_square<T>(v[3], g, decay2, rest2);
        v[0] = p - (g * of_grad + v[2] * of_mean) / (square_root<T>(v[3]) / correction2 + eps);
    });
}

template <class T> int radam(const mytorch_argument *x) {
    const double beta1 = x[8].number, beta2 = x[9].number;
    const T alpha = static_cast<T>(x[4].number), eps = static_cast<T>(x[5].number), keep = static_cast<T>(x[7].number);
    const bool trusted = x[6].integer != 0;
    const T rest1 = static_cast<T>(1 - beta1), decay2 = static_cast<T>(beta2), rest2 = static_cast<T>(1 - beta2);
    const Gradient<T> gradient(x[10].number, x[11].integer);
    return walk<T, 4>(x, [=](Vec<T> *v) {
        const Vec<T> p = v[0] * keep;
        const Vec<T> g = gradient(p, v[1]);
        update_mean<T>(v[2], g, rest1);
        update_mean_square<T>(v[3], g, decay2, rest2);
        const Vec<T> step = v[2] * alpha;
        v[0] = p - (trusted ? step / (square_root<T>(v[3]) + eps) : step);
    });
}

template <class T> int adagrad(const mytorch_argument *x) {
    const T lr = static_cast<T>(x[3].number), eps = static_cast<T>(x[4].number);
    const Gradient<T> gradient(x[5].number, x[6].integer);
    return walk<T, 3>(x, [=](Vec<T> *v) {
        const Vec<T> g = gradient(v[0], v[1]);
        v[2] += g * g;
        v[0] -= g / (square_root<T>(v[2]) + eps) * lr;
    });
}

template <class T> int adadelta(const mytorch_argument *x) {
    const double rho = x[5].number;
    const T lr = static_cast<T>(x[4].number), decay = static_cast<T>(rho), rest = static_cast<T>(1 - rho), eps = static_cast<T>(x[6].number);
    const Gradient<T> gradient(x[7].number, x[8].integer);
    return walk<T, 4>(x, [=](Vec<T> *v) {
        const Vec<T> g = gradient(v[0], v[1]);
        update_mean_square<T>(v[2], g, decay, rest);
        const Vec<T> d = g / square_root<T>(v[2] + eps) * square_root<T>(v[3] + eps);
        update_mean_square<T>(v[3], d, decay, rest);
        v[0] -= d * lr;
    });
}

template <class T> int asgd(const mytorch_argument *x) {
    const double eta = x[3].number;
    const T step = static_cast<T>(eta), mu = static_cast<T>(x[4].number), keep = static_cast<T>(1 - x[5].number * eta);
    const Gradient<T> gradient(x[6].number, x[7].integer);
    return walk<T, 3>(x, [=](Vec<T> *v) {
        v[0] = v[0] * keep - gradient(v[0], v[1]) * step;
        v[2] += (v[0] - v[2]) * mu;
    });
}

// arrays param, grad, square_avg, then grad_avg if CENTERED, then momentum_buffer if MOMENTUM
template <class T, bool CENTERED, bool MOMENTUM> int rmsprop_as(const mytorch_argument *x) {
    const double alpha = x[6].number;
    const T lr = static_cast<T>(x[5].number), decay = static_cast<T>(alpha), rest = static_cast<T>(1 - alpha);
    const T eps = static_cast<T>(x[7].number), momentum = static_cast<T>(x[9].number);
    const Gradient<T> gradient(x[8].number, x[10].integer);
    mytorch_argument arrays[5] = {x[0], x[1], x[2], x[CENTERED ? 3 : 4], x[4]};
    return walk<T, 3 + CENTERED + MOMENTUM>(arrays, [=](Vec<T> *v) {
        const Vec<T> g = gradient(v[0], v[1]);
        update_mean_square<T>(v[2], g, decay, rest);
        Vec<T> variance = v[2];
        if constexpr (CENTERED) {
            update_mean<T>(v[3], g, rest);
            variance = v[2] - v[3] * v[3];
        }
        Vec<T> d = g / (square_root<T>(variance) + eps);
        if constexpr (MOMENTUM) {
            d += v[3 + CENTERED] * momentum;
            v[3 + CENTERED] = d;
        }
        v[0] -= d * lr;
    });
}

template <class T> int rmsprop(const mytorch_argument *x) {
    const bool centered = x[3].array.data != nullptr, momentum = x[4].array.data != nullptr;
    return centered ? momentum ? rmsprop_as<T, true, true>(x) : rmsprop_as<T, true, false>(x)
                    : momentum ? rmsprop_as<T, false, true>(x) : rmsprop_as<T, false, false>(x);
}

template <class T> int rprop(const mytorch_argument *x) {
    const T eta_minus = static_cast<T>(x[4].number), eta_plus = static_cast<T>(x[5].number);
    const T smallest = static_cast<T>(x[6].number), largest = static_cast<T>(x[7].number);
    const Gradient<T> gradient(0, x[8].integer);
    return walk<T, 4>(x, [=](Vec<T> *v) {
        const Vec<T> g = gradient(v[0], v[1]);
        const Vec<T> turn = g * v[2];
        Vec<T> d = v[3];
        d = turn > T(0) ? d * eta_plus : turn < T(0) ? d * eta_minus : d;
        d = d < smallest ? all(smallest) : d;
        v[3] = d > largest ? all(largest) : d;
        v[2] = turn < T(0) ? Vec<T>{} : g;  // where it turns there is no step, and the next one counts as a first
        v[0] -= v[2] > T(0) ? v[3] : v[2] < T(0) ? -v[3] : v[2] * v[3];
    });
}

template <int (*ON_FLOAT)(const mytorch_argument *), int (*ON_DOUBLE)(const mytorch_argument *)> int either(const mytorch_argument *x) {
    return holds<float>(x[0].array) ? ON_FLOAT(x) : holds<double>(x[0].array) ? ON_DOUBLE(x) : 0;
}

}  // namespace

// The arguments are those of the functions in mytorch/optim, in their order.
extern const mytorch_kernel optim_kernels[] = {
    {"sgd_step", "wrWffffiii", either<sgd<float>, sgd<double>>},
    {"adam_step", "wrwwWffffffii", either<adam<float>, adam<double>>},
    {"adamax_step", "wrwwffffffi", either<adamax<float>, adamax<double>>},
    {"nadam_step", "wrwwffffffffi", either<nadam<float>, nadam<double>>},
    {"radam_step", "wrwwffiffffi", either<radam<float>, radam<double>>},
    {"adagrad_step", "wrwfffi", either<adagrad<float>, adagrad<double>>},
    {"adadelta_step", "wrwwffffi", either<adadelta<float>, adadelta<double>>},
    {"asgd_step", "wrwffffi", either<asgd<float>, asgd<double>>},
    {"rmsprop_step", "wrwWWfffffi", either<rmsprop<float>, rmsprop<double>>},
    {"rprop_step", "wrwwffffi", either<rprop<float>, rprop<double>>},
    {nullptr, nullptr, nullptr},
};

}  // namespace MYTORCH_ISA
}  // namespace mytorch
