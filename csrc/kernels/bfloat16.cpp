// bfloat16, the upper half of a float32: conversions, and products on the units that processors have for it: AMX (tiles.h) or vectors
// (vdpbf16ps of AVX512-BF16). Both multiply pairs of numbers along k and add in float32; numbers below the normal ones count as zero.
// Where a processor has neither, the product declines, and float32 answers.
#include "float16.h"
#include "tile_products.h"

#if defined(__AVX512F__) && (__clang_major__ >= 12 || (!defined(__clang__) && __GNUC__ >= 11))
#define MYTORCH_BFLOAT16_UNITS
#include <cpuid.h>
#endif

namespace mytorch {
namespace MYTORCH_ISA {

namespace {

template <class From, class To> MYTORCH_INLINE void cast_row(const From *from, To *to, int64_t n) {
    map(n, to, [](VecF v) { return v; }, from);
}

// y = x in the other type; x of any strides, y contiguous.
template <class From, class To> void cast_typed(const mytorch_array &x, To *y) {
    const From *from = static_cast<const From *>(x.data);
    const int64_t count = count_of(x);
    if (is_contiguous(x)) {
        parallel_ranges(count, 1 << 15, [&](int64_t begin, int64_t end) { cast_row(from + begin, y + begin, end - begin); });
        return;
    }
    const int last = x.ndim - 1;
    const int64_t n = x.shape[last];
    parallel_ranges(count / n, (1 << 15) / n + 1, [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row) {
            const From *start = from;
            int64_t rest = row;
            for (int i = last - 1; i >= 0; --i) {
                start += rest % x.shape[i] * step(x, i);
                rest /= x.shape[i];
            }
            if (step(x, last) == 1) {
                cast_row(start, y + row * n, n);
                continue;
            }
            for (int64_t i = 0; i < n; ++i) {
                cast_row(start + i * step(x, last), y + row * n + i, 1);
            }
        }
    });
}

int cast(const mytorch_argument *arguments) {
    const mytorch_array &x = arguments[0].array, &y = arguments[1].array;
    require(same_shape(x, y) && is_contiguous(y), "cast: expected arrays of one shape, the result contiguous");
    if (x.type == MYTORCH_FLOAT32 && y.type == MYTORCH_BFLOAT16) {
        cast_typed<float>(x, static_cast<bfloat16 *>(y.data));
        return 1;
    }
    if (x.type == MYTORCH_BFLOAT16 && y.type == MYTORCH_FLOAT32) {
        cast_typed<bfloat16>(x, static_cast<float *>(y.data));
        return 1;
    }
#if defined(__F16C__)
    if (x.type == MYTORCH_FLOAT32 && y.type == MYTORCH_FLOAT16) {
        cast_typed<float>(x, static_cast<float16 *>(y.data));
        return 1;
    }
    if (x.type == MYTORCH_FLOAT16 && y.type == MYTORCH_FLOAT32) {
        cast_typed<float16>(x, static_cast<float *>(y.data));
        return 1;
    }
#endif
    return 0;
}

#ifdef MYTORCH_BFLOAT16_UNITS

// The vectors of AVX512-BF16 as a unit of tiles.h.
struct Bfloat16Vectors {
    template <int PARTS>
    void multiply(int64_t steps, const float *a, const float *b, float *block, int64_t rows, int64_t, Start start, Ahead &ahead) const {
        for (int64_t step = 0; step < steps; ++step) {
            ahead.fetch();
        }
        static_assert(PARTS == 1, "bfloat16 alone");
        for (int64_t row = 0; row < rows; row += R) {
            eight_rows(steps, a + row / SIDE * TILE + row % SIDE * SIDE, b, block + row * BLOCK, start);
        }
    }

private:
    static constexpr int64_t R = 8;

    __attribute__((target("avx512bf16"))) static void eight_rows(int64_t steps, const float *a, const float *b, float *c,
                                                                   Start start) {
        __m512 sum[R][2];
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
            for (int v = 0; v < 2; ++v) {
                sum[r][v] = start == Start::keep ? _mm512_loadu_ps(c + r * BLOCK + v * SIDE) : _mm512_setzero_ps();
            }
        }
        for (int64_t step = 0; step < steps; ++step, a += 2 * TILE, b += 2 * TILE) {
            for (int64_t p = 0; p < SIDE; ++p) {
                const __m512bh low = (__m512bh)_mm512_loadu_ps(b + p * SIDE);
                const __m512bh high = (__m512bh)_mm512_loadu_ps(b + TILE + p * SIDE);
#pragma GCC unroll 8
                for (int r = 0; r < R; ++r) {
                    const __m512bh pair = (__m512bh)_mm512_set1_ps(a[r * SIDE + p]);
                    sum[r][0] = _mm512_dpbf16_ps(sum[r][0], pair, low);
                    sum[r][1] = _mm512_dpbf16_ps(sum[r][1], pair, high);
                }
            }
        }
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
            _mm512_storeu_ps(c + r * BLOCK, sum[r][0]);
            _mm512_storeu_ps(c + r * BLOCK + SIDE, sum[r][1]);
        }
    }
};

#if !defined(__AMX_BF16__)
using Unit = Bfloat16Vectors;

// Intel's vdpbf16ps takes two cycles, and float32's multiplication one half: there vectors only answer when they are asked for.
bool is_amd() {
    unsigned most = 0, name[3] = {};
    return __get_cpuid(0, &most, &name[0], &name[2], &name[1]) != 0 && std::memcmp(name, "AuthenticAMD", sizeof(name)) == 0;
}

bool has_unit(bool asked) {
    static const bool quick = is_amd();
    static const bool there = [] {
        unsigned a = 0, b = 0, c = 0, d = 0;
        return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a >> 5 & 1) != 0;
    }();
    return there && (quick || asked);
}
#else
using Unit = Amx;

bool has_unit(bool) { return true; }
#endif

// y = a b (+ bias), rounded as it is put down; false, with nothing done, where that would not be once.
bool multiply_and_round(int64_t m, int64_t n, int64_t k, Lines<bfloat16> a, Lines<bfloat16> b, const Result<bfloat16> &to) {
    const auto run = [](const auto &product) {
        const bool once = product.once();
        if (once) {
            product.run();
        }
        return once;
    };
    return k > 0 && (m >= n ? run(ProductInPairs<Unit, true, bfloat16, bfloat16>{m, n, k, a, b, to})
                            : run(ProductInPairs<Unit, false, bfloat16, bfloat16>{m, n, k, b, a, to}));
}

// y (m x n) = a b (+ bias), rounded once where y is bfloat16.
template <class To> void multiply_bfloat16(int64_t m, int64_t n, int64_t k, Lines<bfloat16> a, Lines<bfloat16> b, const To *bias, To *y) {
    if constexpr (sizeof(To) == sizeof(float)) {
        multiply_in_pairs<Unit>(m, n, k, a, b, {y, n, Start::zero, bias});
    } else if (!multiply_and_round(m, n, k, a, b, {y, n, Start::zero, bias})) {
        Scratch<float> wide(bias == nullptr ? 1 : n), sums(m * n);
        if (bias != nullptr) {
            cast_row(bias, static_cast<float *>(wide), n);
        }
        multiply_in_pairs<Unit>(m, n, k, a, b, {sums, n, Start::zero, bias == nullptr ? nullptr : static_cast<const float *>(wide)});
        parallel_ranges(m * n, 1 << 15, [&](int64_t begin, int64_t end) { cast_row(sums + begin, y + begin, end - begin); });
    }
}

template <class To> void matmul_typed(const mytorch_array &a, const mytorch_array &b, const To *bias, const mytorch_array &y) {
    const int nd = y.ndim;
    const int64_t m = y.shape[nd - 2], n = y.shape[nd - 1], k = a.shape[nd - 1];
    int64_t batch = 1;
    for (int i = 0; i < nd - 2; ++i) {
        batch *= y.shape[i];
    }
    const auto one = [&](int64_t index) {
        Lines<bfloat16> left = {static_cast<const bfloat16 *>(a.data), step(a, nd - 2), step(a, nd - 1)};
        Lines<bfloat16> right = {static_cast<const bfloat16 *>(b.data), step(b, nd - 1), step(b, nd - 2)};
        int64_t rest = index;
        for (int i = nd - 3; i >= 0; --i) {
            left.data += rest % y.shape[i] * step(a, i);
            right.data += rest % y.shape[i] * step(b, i);
            rest /= y.shape[i];
        }
        multiply_bfloat16(m, n, k, left, right, bias, static_cast<To *>(y.data) + index * m * n);
    };
    if (batch > 1 && m * n * k < 1 << 22) {  // small products: whole ones are the tasks
        parallel(batch, one);
    } else {
        for (int64_t i = 0; i < batch; ++i) {
            one(i);
        }
    }
}

#endif

// y (*, m, n), float32 or bfloat16, = a (*, m, k) b (*, k, n) (+ bias (n) of y's type), by AMX, or by vectors
// where they are quick or the last argument asks for them.
int matmul_bfloat16(const mytorch_argument *x) {
#ifdef MYTORCH_BFLOAT16_UNITS
    const mytorch_array &a = x[0].array, &b = x[1].array, &bias = x[2].array, &y = x[3].array;
    if (!has_unit(x[4].integer != 0) || a.type != MYTORCH_BFLOAT16 || b.type != MYTORCH_BFLOAT16 || (y.type != MYTORCH_BFLOAT16 && y.type != MYTORCH_FLOAT32)) {
        return 0;
    }
    const int nd = y.ndim;
    require(nd >= 2 && a.ndim == nd && b.ndim == nd && is_contiguous(y), "matmul: expected one number of dimensions, at least 2");
    require(a.shape[nd - 2] == y.shape[nd - 2] && b.shape[nd - 1] == y.shape[nd - 1] && b.shape[nd - 2] == a.shape[nd - 1],
            "matmul: sizes do not fit");
    for (int i = 0; i < nd - 2; ++i) {
        require(a.shape[i] == y.shape[i] && b.shape[i] == y.shape[i], "matmul: batches do not fit");
    }
    require(bias.data == nullptr || count_of(bias) == y.shape[nd - 1], "matmul: the bias has one number per column");
    if (count_of(y) == 0) {
        return 1;
    }
    if (y.type == MYTORCH_FLOAT32) {
        matmul_typed<float>(a, b, elements<float>(bias), y);
    } else {
        matmul_typed<bfloat16>(a, b, elements<bfloat16>(bias), y);
    }
    return 1;
#else
    (void)x;
    return 0;
#endif
}

}  // namespace

extern const mytorch_kernel bfloat16_kernels[] = {
    {"cast", "rw", cast},
    {"matmul_bfloat16", "rrRwi", matmul_bfloat16},
    {nullptr, nullptr, nullptr},
};

}  // namespace MYTORCH_ISA
}  // namespace mytorch
