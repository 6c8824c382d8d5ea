// Activations and their gradients: functions of one number that are given up to three others (their settings a, b and c).
#include "each.h"
#include "functions.h"

namespace mytorch {
namespace MYTORCH_ISA {

namespace {

template <class T> struct Settings {
    T a, b, c;
};

// log(1 + e^x)
template <class T> MYTORCH_INLINE Vec<T> log_of_one_and_power(Vec<T> x) {
    return (x < T(0) ? Vec<T>{} : x) + log1p<T>(decay<T>(-absolute<T>(x)));
}

// e^x - 1 for x <= 0, with all digits where x is small: 2 t / (1 - t), t = tanh(x / 2).
template <class T> MYTORCH_INLINE Vec<T> power_less_one(Vec<T> x) {
    const Vec<T> t = tanh<T>(x * T(0.5));
    return t * T(2) / (T(1) - t);
}

struct LeakyRelu {  // a: the slope below 0
    template <class T> static Vec<T> at(Vec<T> x, const Settings<T> &s) { return x > T(0) ? x : x * s.a; }
    template <class T> static Vec<T> gradient(Vec<T> g, Vec<T> x, const Settings<T> &s) { return x > T(0) ? g : g * s.a; }
};
struct Threshold {  // a: the limit, b: the value up to it
    template <class T> static Vec<T> at(Vec<T> x, const Settings<T> &s) { return x <= s.a ? all(s.b) : x; }
    template <class T> static Vec<T> gradient(Vec<T> g, Vec<T> x, const Settings<T> &s) { return x > s.a ? g : Vec<T>{}; }
};
struct HardTanh {  // from a to b; NaN passes
    template <class T> static Vec<T> at(Vec<T> x, const Settings<T> &s) {
        const Vec<T> y = x < s.a ? all(s.a) : x;
        return y > s.b ? all(s.b) : y;
    }
    template <class T> static Vec<T> gradient(Vec<T> g, Vec<T> x, const Settings<T> &s) { return (x > s.a) & (x < s.b) ? g : Vec<T>{}; }
};
struct HardSigmoid {
    template <class T> static Vec<T> at(Vec<T> x, const Settings<T> &) { return HardTanh::at<T>(x + T(3), {0, 6, 0}) / T(6); }
    template <class T> static Vec<T> gradient(Vec<T> g, Vec<T> x, const Settings<T> &) { return HardTanh::gradient<T>(g / T(6), x, {-3, 3, 0}); }
};
struct HardSwish {
    template <class T> static Vec<T> at(Vec<T> x, const Settings<T> &) { return x * HardTanh::at<T>(x + T(3), {0, 6, 0}) / T(6); }
    template <class T> static Vec<T> gradient(Vec<T> g, Vec<T> x, const Settings<T> &) {
        const Vec<T> inside = x < T(3) ? g * (x / T(3) + T(0.5)) : g;
        return x > T(-3) ? inside : Vec<T>{};
    }
};
struct HardShrink {  // a: up to what size nothing is left
    template <class T> static Vec<T> at(Vec<T> x, const Settings<T> &s) { return (x >= -s.a) & (x <= s.a) ? Vec<T>{} : x; }
    template <class T> static Vec<T> gradient(Vec<T> g, Vec<T> x, const Settings<T> &s) { return (x < -s.a) | (x > s.a) ? g : Vec<T>{}; }
};
struct SoftShrink {  // the same
    template <class T> static Vec<T> at(Vec<T> x, const Settings<T> &s) { return x > s.a ? x - s.a : (x < -s.a ? x + s.a : x * T(0)); }
    template <class T> static Vec<T> gradient(Vec<T> g, Vec<T> x, const Settings<T> &s) { return HardShrink::gradient<T>(g, x, s); }
};
struct Elu {  // a: alpha, b: the scale of all, c: the scale of what is below 0
    template <class T> static Vec<T> at(Vec<T> x, const Settings<T> &s) {
        return x > T(0) ? x * s.b : power_less_one<T>((x > T(0) ? Vec<T>{} : x) * s.c) * (s.a * s.b);
    }
    template <class T> static Vec<T> gradient(Vec<T> g, Vec<T> x, const Settings<T> &s) {
        return x > T(0) ? g * s.b : g * exp<T>((x > T(0) ? Vec<T>{} : x) * s.c) * (s.a * s.b * s.c);
    }
};
struct Softplus {  // a: beta, b: from where on it is x itself
    template <class T> static Vec<T> at(Vec<T> x, const Settings<T> &s) {
        return x * s.a > s.b ? x : log_of_one_and_power<T>(x * s.a) / s.a;
    }
    template <class T> static Vec<T> gradient(Vec<T> g, Vec<T> x, const Settings<T> &s) { return x * s.a > s.b ? g : g * sigmoid<T>(x * s.a); }
};
struct LogSigmoid {
    template <class T> static Vec<T> at(Vec<T> x, const Settings<T> &) { return -log_of_one_and_power<T>(-x); }
    template <class T> static Vec<T> gradient(Vec<T> g, Vec<T> x, const Settings<T> &) { return g * sigmoid<T>(-x); }
};

// x tanh(log(1 + e)), e = e^x, where the tanh is n / (n + 2) with n = e (e + 2).
struct Mish {
    template <class T> static Vec<T> power(Vec<T> x) { return exp<T>(x > T(20) ? all(T(20)) : x); }
    template <class T> static Vec<T> at(Vec<T> x, const Settings<T> &) {
        const Vec<T> e = power<T>(x), n = e * (e + T(2));
        return x * (n / (n + T(2)));
    }
    template <class T> static Vec<T> gradient(Vec<T> g, Vec<T> x, const Settings<T> &) {
        const Vec<T> e = power<T>(x), n = e * (e + T(2)), over = T(1) / (n + T(2));
        const Vec<T> bend = x > T(20) ? Vec<T>{} : T(4) * (n + T(1)) * over * over;  // 1 - tanh^2
        return g * (n * over + x * bend * (e / (e + T(1))));
    }
};

template <class T> Settings<T> settings_of(const mytorch_argument *x) {
    return {static_cast<T>(x[0].number), static_cast<T>(x[1].number), static_cast<T>(x[2].number)};
}

template <class F> int forward(const mytorch_argument *x) {
    return by_type(x[4].array, [&](auto *type) {
        using T = std::remove_pointer_t<decltype(type)>;
        const auto s = settings_of<Number<T>>(x + 1);
        return each<T>([&](Vec<T> v) { return F::template at<Number<T>>(v, s); }, x[4].array, x[0].array);
    });
}

template <class F> int gradient(const mytorch_argument *x) {
    return by_type(x[5].array, [&](auto *type) {
        using T = std::remove_pointer_t<decltype(type)>;
        const auto s = settings_of<Number<T>>(x + 2);
        return each<T>([&](Vec<T> g, Vec<T> v) { return F::template gradient<Number<T>>(g, v, s); }, x[5].array, x[0].array, x[1].array);
    });
}

}  // namespace

// x, a, b, c, y; and g, x, a, b, c, dx
extern const mytorch_kernel activation_kernels[] = {
    {"leaky_relu", "rfffw", forward<LeakyRelu>},
    {"leaky_relu_grad", "rrfffw", gradient<LeakyRelu>},
    {"threshold", "rfffw", forward<Threshold>},
    {"threshold_grad", "rrfffw", gradient<Threshold>},
    {"hardtanh", "rfffw", forward<HardTanh>},
    {"hardtanh_grad", "rrfffw", gradient<HardTanh>},
    {"hardsigmoid", "rfffw", forward<HardSigmoid>},
    {"hardsigmoid_grad", "rrfffw", gradient<HardSigmoid>},
    {"hardswish", "rfffw", forward<HardSwish>},
    {"hardswish_grad", "rrfffw", gradient<HardSwish>},
    {"hardshrink", "rfffw", forward<HardShrink>},
    {"hardshrink_grad", "rrfffw", gradient<HardShrink>},
    {"softshrink", "rfffw", forward<SoftShrink>},
    {"softshrink_grad", "rrfffw", gradient<SoftShrink>},
    {"elu", "rfffw", forward<Elu>},
    {"elu_grad", "rrfffw", gradient<Elu>},
    {"softplus", "rfffw", forward<Softplus>},
    {"softplus_grad", "rrfffw", gradient<Softplus>},
    {"log_sigmoid", "rfffw", forward<LogSigmoid>},
    {"log_sigmoid_grad", "rrfffw", gradient<LogSigmoid>},
    {"mish", "rfffw", forward<Mish>},
    {"mish_grad", "rrfffw", gradient<Mish>},
    {nullptr, nullptr, nullptr},
};

}  // namespace MYTORCH_ISA
}  // namespace mytorch
