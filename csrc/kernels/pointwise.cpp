// Pointwise functions: of one contiguous array, of two that broadcast, and of an array and a number.
#include "each.h"

namespace mytorch {
namespace MYTORCH_ISA {

namespace {

// ---- functions of one number ---------------------------------------------------------------------------------------------------

struct Relu {  // the test is x < 0, not x > 0: it is false for NaN, which so passes through; -0.0 stays -0.0, as in torch
    template <class T> static Vec<T> at(Vec<T> x) { return x < T(0) ? Vec<T>{} : x; }
};
struct Exp {
    template <class T> static Vec<T> at(Vec<T> x) { return exp<T>(x); }
};
struct Log {
    template <class T> static Vec<T> at(Vec<T> x) { return log<T>(x); }
};
struct Tanh {
    template <class T> static Vec<T> at(Vec<T> x) { return tanh<T>(x); }
};
struct Sigmoid {
    template <class T> static Vec<T> at(Vec<T> x) { return sigmoid<T>(x); }
};
struct Silu {
    template <class T> static Vec<T> at(Vec<T> x) { return x * sigmoid<T>(x); }
};
struct Square {
    template <class T> static Vec<T> at(Vec<T> x) { return x * x; }
};
struct Negative {
    template <class T> static Vec<T> at(Vec<T> x) { return -x; }
};
struct Absolute {
    template <class T> static Vec<T> at(Vec<T> x) { return absolute<T>(x); }
};
struct Sqrt {
    template <class T> static Vec<T> at(Vec<T> x) {
        for (int i = 0; i < WIDTH<T>; ++i) {
            x[i] = std::sqrt(x[i]);  // becomes one instruction
        }
        return x;
    }
};

constexpr double ROOT_HALF = 0.70710678118654752440;
constexpr double ROOT_2_OVER_PI = 0.79788456080286535588;
constexpr double TANH_CUBIC = 0.044715;

inline VecF gauss(VecF x) { return decay<float>(x * x * -0.5f); }

// The normal distribution function, erfc(-x / sqrt 2) / 2, from erfc(z) exp(z^2) = t P(t) with t = 1 / (1 + 0.375 z) for z >= 0, so
// that small probabilities keep their digits. P was fitted for the least relative error up to z = 9.4: 1.2e-8, so only float32 has it.
inline VecF normal_cdf(VecF x, VecF gauss) {
    VecF z = absolute<float>(x);
    z = z > 32.0f ? VecF{} + 32.0f : z;  // the rest is 0, and infinity has no inverse
    const VecF t = inverse<float>(z * float(0.375 * ROOT_HALF) + 1.0f);
    VecF p = VecF{} + 0.0308483763594f;
    p = p * t - 0.144038021671f;
    p = p * t + 0.216947563294f;
    p = p * t - 0.115538964243f;
    p = p * t + 0.137422562912f;
    p = p * t + 0.060519277629f;
    p = p * t + 0.102715259662f;
    p = p * t + 0.105316743762f;
    p = p * t + 0.105807207953f;
    const VecF tail = p * t * gauss;
    return x < 0.0f ? tail : 1.0f - tail;
}

struct Gelu {
    static VecF at(VecF x) { return x * normal_cdf(x, gauss(x)); }
};
struct GeluGrad {
    static VecF at(VecF g, VecF x) {
        const VecF e = gauss(x);
        return g * (e * x * 0.39894228040143267794f + normal_cdf(x, e));
    }
};
template <class T> MYTORCH_INLINE Vec<T> inner_tanh(Vec<T> x) { return tanh<T>(T(ROOT_2_OVER_PI) * (x + T(TANH_CUBIC) * (x * x * x))); }
struct GeluTanh {
    template <class T> static Vec<T> at(Vec<T> x) { return x * (T(0.5) * (T(1) + inner_tanh<T>(x))); }
};
struct GeluTanhGrad {
    template <class T> static Vec<T> at(Vec<T> g, Vec<T> x) {
        const Vec<T> t = inner_tanh<T>(x);
        return g * (T(0.5) * (T(1) + t) + T(0.5) * x * (T(1) - t * t) * (T(ROOT_2_OVER_PI) * (T(1) + T(3 * TANH_CUBIC) * x * x)));
    }
};

// ---- functions of two numbers --------------------------------------------------------------------------------------------------

struct Add {
    template <class T> static Vec<T> at(Vec<T> a, Vec<T> b) { return a + b; }
};
struct Subtract {
    template <class T> static Vec<T> at(Vec<T> a, Vec<T> b) { return a - b; }
};
struct Multiply {
    template <class T> static Vec<T> at(Vec<T> a, Vec<T> b) { return a * b; }
};
struct Divide {
    template <class T> static Vec<T> at(Vec<T> a, Vec<T> b) { return a / b; }
};
struct Maximum {
    template <class T> static Vec<T> at(Vec<T> a, Vec<T> b) { return (a > b) | (a != a) ? a : b; }
};
struct Minimum {
    template <class T> static Vec<T> at(Vec<T> a, Vec<T> b) { return (a < b) | (a != a) ? a : b; }
};
struct ReluGrad {  // also where y is NaN
    template <class T> static Vec<T> at(Vec<T> g, Vec<T> y) { return y <= T(0) ? Vec<T>{} : g; }
};
struct TanhGrad {
    template <class T> static Vec<T> at(Vec<T> g, Vec<T> y) { return g * (T(1) - y * y); }
};
struct SigmoidGrad {
    template <class T> static Vec<T> at(Vec<T> g, Vec<T> y) { return g * y * (T(1) - y); }
};
struct SiluGrad {
    template <class T> static Vec<T> at(Vec<T> g, Vec<T> x) {
        const Vec<T> s = sigmoid<T>(x);
        return g * s * (T(1) + x * (T(1) - s));
    }
};

// ---- walking arrays ------------------------------------------------------------------------------------------------------------

// Two arrays that broadcast, as few dimensions as say the same. steps are in elements, 0 where an array is repeated.
struct Walk {
    static constexpr int MOST = 8;
    int ndim;
    int64_t shape[MOST];
    int64_t step_a[MOST];
    int64_t step_b[MOST];
};

// False if there are too many dimensions.
bool plan(const mytorch_array &a, const mytorch_array &b, const mytorch_array &y, Walk &walk) {
    walk.ndim = 0;
    for (int i = 0; i < y.ndim; ++i) {
        const int from_a = i - (y.ndim - a.ndim);
        const int from_b = i - (y.ndim - b.ndim);
        const int64_t size = y.shape[i];
        require((from_a < 0 || a.shape[from_a] == size || a.shape[from_a] == 1) && (from_b < 0 || b.shape[from_b] == size || b.shape[from_b] == 1),
                "a and b broadcast to y");
        if (size == 1) {
            continue;
        }
        const int64_t step_a = from_a < 0 || a.shape[from_a] == 1 ? 0 : step(a, from_a);
        const int64_t step_b = from_b < 0 || b.shape[from_b] == 1 ? 0 : step(b, from_b);
        const int last = walk.ndim - 1;
        if (last >= 0 && walk.step_a[last] == step_a * size && walk.step_b[last] == step_b * size) {
            walk.shape[last] *= size;
            walk.step_a[last] = step_a;
            walk.step_b[last] = step_b;
            continue;
        }
        if (walk.ndim == Walk::MOST) {
            return false;
        }
        walk.shape[walk.ndim] = size;
        walk.step_a[walk.ndim] = step_a;
        walk.step_b[walk.ndim++] = step_b;
    }
    if (walk.ndim == 0) {
        walk.shape[walk.ndim++] = 1;
        walk.step_a[0] = walk.step_b[0] = 0;
    }
    return true;
}

// Numbers apart, side by side.
template <class T> MYTORCH_CALLED const T *lay_out(T *to, const T *from, int64_t step, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
        to[i] = from[i * step];
    }
    return to;
}

// A row: numbers along memory or apart, or one number repeated.
template <class F, class A, class B, class Y> void map_row(int64_t n, const A *a, int64_t step_a, const B *b, int64_t step_b, Y *y) {
    constexpr int64_t MOST = 512;
    const auto f = [](auto v, auto w) { return F::template at<Number<Y>>(v, w); };
    A laid_a[MOST];
    B laid_b[MOST];
    const bool a_lies = step_a == 1 || (step_a == 0 && step_b != 0), b_lies = step_b == 1 || step_b == 0;
    const int64_t piece = a_lies && b_lies ? n : least(n, MOST);
    for (int64_t i = 0; i < n; i += piece, y += piece) {
        const int64_t count = least(piece, n - i);
        const A *const from_a = a_lies ? a + i * step_a : lay_out(laid_a, a + i * step_a, step_a, count);
        const B *const from_b = b_lies ? b + i * step_b : lay_out(laid_b, b + i * step_b, step_b, count);
        if (step_b == 0) {
            const auto number = all<Number<B>>(*from_b);
            map(count, y, [=](auto v) { return f(v, number); }, from_a);
        } else if (step_a == 0) {
            const auto number = all<Number<A>>(*from_a);
            map(count, y, [=](auto w) { return f(number, w); }, from_b);
        } else {
            map(count, y, f, from_a, from_b);
        }
    }
}

template <class F, class A, class B, class Y> int map_two(const mytorch_array &a, const mytorch_array &b, const mytorch_array &y) {
    Walk walk;
    if (!plan(a, b, y, walk)) {
        return 0;
    }
    Y *to = elements<Y>(y);
    const A *from_a = static_cast<const A *>(a.data);
    const B *from_b = static_cast<const B *>(b.data);
    const int inner = walk.ndim - 1;
    const int64_t length = walk.shape[inner];
    const int64_t count = count_of(y);
    if (count == 0) {
        return 1;
    }
    // A task is a number of rows, or a piece of one long row.
    const int64_t piece = least(length, GRAIN);
    const int64_t pieces = (length + piece - 1) / piece;
    const int64_t rows = count / length;
    const int64_t rows_of_task = pieces > 1 ? 1 : greatest<int64_t>(1, GRAIN / length);
    parallel((rows + rows_of_task - 1) / rows_of_task * pieces, [&](int64_t task) {
        const int64_t begin = task % pieces * piece;
        const int64_t n = least(piece, length - begin);
        const int64_t first = task / pieces * rows_of_task;
        for (int64_t row = first; row < least(rows, first + rows_of_task); ++row) {
            int64_t rest = row;
            int64_t at_a = begin * walk.step_a[inner];
            int64_t at_b = begin * walk.step_b[inner];
            for (int i = inner - 1; i >= 0; --i) {
                const int64_t at = rest % walk.shape[i];
                rest /= walk.shape[i];
                at_a += at * walk.step_a[i];
                at_b += at * walk.step_b[i];
            }
            map_row<F>(n, from_a + at_a, walk.step_a[inner], from_b + at_b, walk.step_b[inner], to + row * length + begin);
        }
    });
    return 1;
}

template <class F> int binary(const mytorch_argument *x) {
    const mytorch_array &a = x[0].array, &b = x[1].array, &y = x[2].array;
    return a.type != b.type || a.type != y.type ? 0 : by_type(a, [&](auto *type) {
        using T = std::remove_pointer_t<decltype(type)>;
        return map_two<F, T, T, T>(a, b, y);
    });
}

// The same, also of float32 and bfloat16, which give float32: where a network's sums stay float32, and what is added does not.
template <class F> int mixed(const mytorch_argument *x) {
    const mytorch_array &a = x[0].array, &b = x[1].array, &y = x[2].array;
    if (holds<float>(y) && holds<float>(a) && holds<bfloat16>(b)) {
        return map_two<F, float, bfloat16, float>(a, b, y);
    }
    return holds<float>(y) && holds<bfloat16>(a) && holds<float>(b) ? map_two<F, bfloat16, float, float>(a, b, y) : binary<F>(x);
}

// The same with a number for b (or for a, with the operands exchanged).
template <class F, bool FIRST = false> int with_number(const mytorch_argument *x) {
    return by_type(x[0].array, [&](auto *type) {
        using T = std::remove_pointer_t<decltype(type)>;
        using N = Number<T>;
        const Vec<T> number = all(static_cast<N>(x[1].number));
        return each<T>([number](Vec<T> v) { return FIRST ? F::template at<N>(number, v) : F::template at<N>(v, number); }, x[2].array, x[0].array);
    });
}

// ---- x where a mask is true, else zero -------------------------------------------------------------------------------------------

// On bits, so that the compiler takes vectors: a choice between a number and zero would be a branch.
template <class U> int kept_bits(const mytorch_array &x, const mytorch_array &mask, const mytorch_array &y) {
    require(same_shape(x, y) && same_shape(mask, y) && x.itemsize == y.itemsize, "x, mask and y have one shape");
    require(mask.itemsize == 1 && is_contiguous(mask) && is_contiguous(x) && is_contiguous(y), "x, mask and y are contiguous, the mask of bools");
    const U *from = static_cast<const U *>(x.data);
    const uint8_t *where = static_cast<const uint8_t *>(mask.data);
    U *to = static_cast<U *>(y.data);
    parallel_ranges(count_of(y), GRAIN, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            to[i] = static_cast<U>(from[i] & static_cast<U>(U{} - static_cast<U>(where[i] != 0)));
        }
    });
    return 1;
}

int kept(const mytorch_argument *x) {
    const mytorch_array &from = x[0].array, &mask = x[1].array, &y = x[2].array;
    if (mask.type != MYTORCH_BOOL) {
        return 0;
    }
    return from.itemsize == 4   ? kept_bits<uint32_t>(from, mask, y)
           : from.itemsize == 8 ? kept_bits<uint64_t>(from, mask, y)
           : from.itemsize == 2 ? kept_bits<uint16_t>(from, mask, y) : 0;
}

}  // namespace

extern const mytorch_kernel pointwise_kernels[] = {
    {"relu", "rw", unary<Relu>},
    {"exp", "rw", unary<Exp>},
    {"log", "rw", unary<Log>},
    {"tanh", "rw", unary<Tanh>},
    {"sigmoid", "rw", unary<Sigmoid>},
    {"silu", "rw", unary<Silu>},
    {"square", "rw", unary<Square>},
    {"neg", "rw", unary<Negative>},
    {"abs", "rw", unary<Absolute>},
    {"sqrt", "rw", unary<Sqrt>},
    {"gelu", "rw", single<Gelu>},
    {"gelu_tanh", "rw", unary<GeluTanh>},
    {"add", "rrw", mixed<Add>},
    {"sub", "rrw", mixed<Subtract>},
    {"mul", "rrw", mixed<Multiply>},
    {"div", "rrw", binary<Divide>},
    {"maximum", "rrw", binary<Maximum>},
    {"minimum", "rrw", binary<Minimum>},
    {"relu_grad", "rrw", binary<ReluGrad>},
    {"tanh_grad", "rrw", binary<TanhGrad>},
    {"sigmoid_grad", "rrw", binary<SigmoidGrad>},
    {"silu_grad", "rrw", binary<SiluGrad>},
    {"gelu_grad", "rrw", single_grad<GeluGrad>},
    {"gelu_tanh_grad", "rrw", binary<GeluTanhGrad>},
    {"add_number", "rfw", with_number<Add>},
    {"sub_number", "rfw", with_number<Subtract>},
    {"mul_number", "rfw", with_number<Multiply>},
    {"div_number", "rfw", with_number<Divide>},
    {"number_sub", "rfw", with_number<Subtract, true>},
    {"number_div", "rfw", with_number<Divide, true>},
    {"kept", "rrw", kept},
    {nullptr, nullptr, nullptr},
};

}  // namespace MYTORCH_ISA
}  // namespace mytorch
