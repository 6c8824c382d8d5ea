// Functions of one number that are not activations, powers among them, and g times their slopes; log(e^a + e^b), angles and remainders;
// x + v a b and x + v a / b.
#include "each.h"
#include "functions.h"

namespace mytorch {
namespace MYTORCH_ISA {

namespace {

constexpr float TWO_OVER_ROOT_PI = 1.12837916709551257390f;

// ---- of x ----------------------------------------------------------------------------------------------------------------------

struct Sine {
    static VecF at(VecF x) { return circle<Turn::sine>(x); }
};
struct Cosine {
    static VecF at(VecF x) { return circle<Turn::cosine>(x); }
};
struct ErrorFunction {
    static VecF at(VecF x) { return error_function(x); }
};
struct Tangent {
    static VecF at(VecF x) { return circle<Turn::tangent>(x); }
};
struct ArcTangent {
    static VecF at(VecF x) { return arc_tangent(x); }
};
struct Log1p {
    template <class T> static Vec<T> at(Vec<T> x) { return log1p<T>(x); }
};
struct Log2 {
    template <class T> static Vec<T> at(Vec<T> x) { return log2<T>(x); }
};
struct Log10 {
    template <class T> static Vec<T> at(Vec<T> x) { return log10<T>(x); }
};
struct Expm1 {
    template <class T> static Vec<T> at(Vec<T> x) { return expm1<T>(x); }
};
struct Exp2 {
    template <class T> static Vec<T> at(Vec<T> x) { return power_of_two<T>(x); }
};
struct HyperbolicSine {
    template <class T> static Vec<T> at(Vec<T> x) { return hyperbola<T, true>(x); }
};
struct HyperbolicCosine {
    template <class T> static Vec<T> at(Vec<T> x) { return hyperbola<T, false>(x); }
};
struct Sign {
    template <class T> static Vec<T> at(Vec<T> x) { return sign<T>(x); }
};

// ---- g times the slope, from x or from y = f(x) --------------------------------------------------------------------------------

struct SineGrad {
    static VecF at(VecF g, VecF x) { return g * circle<Turn::cosine>(x); }
};
struct CosineGrad {
    static VecF at(VecF g, VecF x) { return -g * circle<Turn::sine>(x); }
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

struct Angle {
    static VecF at(VecF a, VecF b) { return angle(a, b); }
};
struct Modulus {
    static VecF at(VecF a, VecF b) { return modulus(a, b); }
};
struct Remainder {
    static VecF at(VecF a, VecF b) { return remainder(a, b); }
};
struct FloorQuotient {
    static VecF at(VecF a, VecF b) { return floor_quotient(a, b); }
};

// a, b, y: b has a's shape, or one element
template <class F> int division(const mytorch_argument *x) {
    const mytorch_array &a = x[0].array, &b = x[1].array, &y = x[2].array;
    if (!holds<float>(a) || !holds<float>(b) || same_shape(a, b)) {
        return holds<float>(a) && holds<float>(b) ? single_grad<F>(x) : 0;
    }
    require(count_of(b) == 1, "b has a's shape, or one element");
    const VecF number = all(*elements<float>(b));
    return each<float>([=](VecF v) { return F::at(v, number); }, y, a);
}

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
    {"tan", "rw", single<Tangent>},
    {"atan", "rw", single<ArcTangent>},
    {"log1p", "rw", unary<Log1p>},
    {"log2", "rw", unary<Log2>},
    {"log10", "rw", unary<Log10>},
    {"expm1", "rw", unary<Expm1>},
    {"exp2", "rw", unary<Exp2>},
    {"sinh", "rw", unary<HyperbolicSine>},
    {"cosh", "rw", unary<HyperbolicCosine>},
    {"sign", "rw", unary<Sign>},
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
    {"atan2", "rrw", single_grad<Angle>},
    {"fmod", "rrw", division<Modulus>},
    {"remainder", "rrw", division<Remainder>},
    {"floor_divide", "rrw", division<FloorQuotient>},
    {"logaddexp_grad", "rrrw", logaddexp_grad},
    {"addcmul", "rrrfw", added<false>},
    {"addcdiv", "rrrfw", added<true>},
    {nullptr, nullptr, nullptr},
};

}  // namespace MYTORCH_ISA
}  // namespace mytorch
