// Functions of one number that are not activations, powers among them, and g times their slopes; log(e^a + e^b); x + v a b and x + v a / b.
#include "each.h"
#include "functions.h"

namespace mytorch {
namespace MYTORCH_ISA {

namespace {

constexpr float TWO_OVER_ROOT_PI = 1.12837916709551257390f;

// ---- of x ----------------------------------------------------------------------------------------------------------------------

struct Sine {
    static VecF at(VecF x) { return circle<false>(x); }
};
struct Cosine {
    static VecF at(VecF x) { return circle<true>(x); }
};
struct ErrorFunction {
    static VecF at(VecF x) { return error_function(x); }
};
struct Log1p {
    template <class T> static Vec<T> at(Vec<T> x) { return log1p<T>(x); }
};

// ---- g times the slope, from x or from y = f(x) --------------------------------------------------------------------------------

struct SineGrad {
    static VecF at(VecF g, VecF x) { return g * circle<true>(x); }
};
struct CosineGrad {
    static VecF at(VecF g, VecF x) { return -g * circle<false>(x); }
};
struct ErrorFunctionGrad {
    static VecF at(VecF g, VecF x) { return g * (decay<float>(-x * x) * TWO_OVER_ROOT_PI); }
};
struct Log1pGrad {
    template <class T> static Vec<T> at(Vec<T> g, Vec<T> x) { return g / (x + T(1)); }
};
struct AbsoluteGrad {
    template <class T> static Vec<T> at(Vec<T> g, Vec<T> x) { return g * sign<T>(x); }
};
struct RootGrad {
    template <class T> static Vec<T> at(Vec<T> g, Vec<T> y) { return g / (y + y); }
};
struct ReciprocalGrad {
    template <class T> static Vec<T> at(Vec<T> g, Vec<T> y) { return -g * y * y; }
};
struct ReciprocalRootGrad {
    template <class T> static Vec<T> at(Vec<T> g, Vec<T> y) { return g * (y * y * y) * T(-0.5); }
};

// ---- powers --------------------------------------------------------------------------------------------------------------------

// body(f) with f(x) = x^exponent for the exponents that are a few multiplications, a division or a root; 0 for others.
template <class T, class Body> int with_power(double exponent, const Body &body) {
    using V = Vec<T>;
    using N = Number<T>;
    return exponent == 1.0    ? body([](V x) { return x; })
           : exponent == 2.0  ? body([](V x) { return x * x; })
           : exponent == 3.0  ? body([](V x) { return x * x * x; })
           : exponent == -1.0 ? body([](V x) { return N(1) / x; })
           : exponent == -2.0 ? body([](V x) { return N(1) / (x * x); })
           : exponent == -3.0 ? body([](V x) { return N(1) / (x * x * x); })
           : exponent == 0.5  ? body([](V x) { return square_root<N>(x); })
           : exponent == -0.5 ? body([](V x) { return N(1) / square_root<N>(x); })
           : exponent == -1.5 ? body([](V x) { return x < std::numeric_limits<N>::lowest() ? V{} : N(1) / x / square_root<N>(x); })
                              : 0;
}

// x, exponent, y
int power(const mytorch_argument *x) {
    return by_type(x[0].array, [&](auto *type) {
        using T = std::remove_pointer_t<decltype(type)>;
        return with_power<T>(x[1].number, [&](const auto &f) { return each<T>(f, x[2].array, x[0].array); });
    });
}

// g, x, exponent, y = g * exponent * x^(exponent - 1)
int power_grad(const mytorch_argument *x) {
    return by_type(x[0].array, [&](auto *type) {
        using T = std::remove_pointer_t<decltype(type)>;
        const auto exponent = static_cast<Number<T>>(x[2].number);
        return with_power<T>(x[2].number - 1.0, [&](const auto &f) {
            return each<T>([&](Vec<T> g, Vec<T> v) { return g * (f(v) * exponent); }, x[3].array, x[0].array, x[1].array);
        });
    });
}

// ---- of several arrays ---------------------------------------------------------------------------------------------------------

struct LogAddExp {  // the larger one and log(1 + e^-distance); the distance of equal infinities would be NaN
    template <class T> static Vec<T> at(Vec<T> a, Vec<T> b) {
        const Vec<T> more = a == b ? all(T(0.69314718055994530942)) : log1p<T>(decay<T>(-absolute<T>(a - b)));
        return larger_or_nan<Vec<T>>(a, b) + more;
    }
};

// g, a, b, y = g / (1 + e^(b - a))
int logaddexp_grad(const mytorch_argument *x) {
    return by_type(x[0].array, [&](auto *type) {
        using T = std::remove_pointer_t<decltype(type)>;
        return each<T>([](Vec<T> g, Vec<T> a, Vec<T> b) { return g * sigmoid<Number<T>>(a - b); }, x[3].array, x[0].array, x[1].array, x[2].array);
    });
}

// x, a, b, v, y = x + v * a * b, or x + v * a / b
template <bool DIVIDE> int added(const mytorch_argument *x) {
    return by_type(x[0].array, [&](auto *type) {
        using T = std::remove_pointer_t<decltype(type)>;
        const auto value = static_cast<Number<T>>(x[3].number);
        return each<T>([&](Vec<T> v, Vec<T> a, Vec<T> b) { return v + value * (DIVIDE ? a / b : a * b); }, x[4].array, x[0].array, x[1].array,
                       x[2].array);
    });
}

}  // namespace

extern const mytorch_kernel function_kernels[] = {
    {"sin", "rw", single<Sine>},
    {"cos", "rw", single<Cosine>},
    {"erf", "rw", single<ErrorFunction>},
    {"log1p", "rw", unary<Log1p>},
    {"sin_grad", "rrw", single_grad<SineGrad>},
    {"cos_grad", "rrw", single_grad<CosineGrad>},
    {"erf_grad", "rrw", single_grad<ErrorFunctionGrad>},
    {"log1p_grad", "rrw", unary_grad<Log1pGrad>},
    {"abs_grad", "rrw", unary_grad<AbsoluteGrad>},
    {"sqrt_grad", "rrw", unary_grad<RootGrad>},
    {"reciprocal_grad", "rrw", unary_grad<ReciprocalGrad>},
    {"rsqrt_grad", "rrw", unary_grad<ReciprocalRootGrad>},
    {"power", "rfw", power},
    {"power_grad", "rrfw", power_grad},
    {"logaddexp", "rrw", unary_grad<LogAddExp>},
    {"logaddexp_grad", "rrrw", logaddexp_grad},
    {"addcmul", "rrrfw", added<false>},
    {"addcdiv", "rrrfw", added<true>},
    {nullptr, nullptr, nullptr},
};

}  // namespace MYTORCH_ISA
}  // namespace mytorch
