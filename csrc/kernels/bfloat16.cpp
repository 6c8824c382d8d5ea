// bfloat16, the upper half of a float32: conversions, and products on the units that processors have for it: AMX tiles (tdpbf16ps)
// or vectors (vdpbf16ps of AVX512-BF16). Both multiply pairs of neighbours in k and add in float32; numbers below the normal ones
// count as zero. Where a processor has neither, the product declines, and float32 answers.
#include "gemm.h"

#if defined(__AVX512F__) && defined(__x86_64__) && (__clang_major__ >= 12 || (!defined(__clang__) && __GNUC__ >= 11))
#define MYTORCH_BFLOAT16_UNITS
#include <cpuid.h>
#include <immintrin.h>
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

namespace mytorch {
namespace MYTORCH_ISA {

namespace {

typedef uint32_t VecU __attribute__((vector_size(REGISTER_BYTES)));
typedef uint16_t Halves __attribute__((vector_size(REGISTER_BYTES / 2)));  // as many numbers as a vector of float32 holds
constexpr int W = WIDTH<float>;

MYTORCH_INLINE VecF widened(Halves x) { return bits_as<VecF>(__builtin_convertvector(x, VecU) << 16u); }

// The nearest, of two the even one; every NaN the same.
MYTORCH_INLINE Halves rounded(VecF x) {
    const VecU bits = bits_as<VecU>(x);
    const VecU nearest = (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
    return __builtin_convertvector(x != x ? VecU{} + 0x7fc0u : nearest, Halves);
}

MYTORCH_INLINE Halves load_halves(const uint16_t *from, int64_t count = W) {
    Halves v = {};
    std::memcpy(&v, from, static_cast<size_t>(count) * sizeof(uint16_t));
    return v;
}

MYTORCH_INLINE void cast_row(const float *from, uint16_t *to, int64_t n) {
    int64_t i = 0;
    for (; i + W <= n; i += W) {
        const Halves y = rounded(load(from + i));
        std::memcpy(to + i, &y, sizeof(y));
    }
    if (i < n) {
        const Halves y = rounded(load_some(from + i, n - i));
        std::memcpy(to + i, &y, static_cast<size_t>(n - i) * sizeof(uint16_t));
    }
}

MYTORCH_INLINE void cast_row(const uint16_t *from, float *to, int64_t n) {
    int64_t i = 0;
    for (; i + W <= n; i += W) {
        store(to + i, widened(load_halves(from + i)));
    }
    if (i < n) {
        store_some(to + i, widened(load_halves(from + i, n - i)), n - i);
    }
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
        cast_typed<float>(x, static_cast<uint16_t *>(y.data));
        return 1;
    }
    if (x.type == MYTORCH_BFLOAT16 && y.type == MYTORCH_FLOAT32) {
        cast_typed<uint16_t>(x, static_cast<float *>(y.data));
        return 1;
    }
    return 0;
}

#ifdef MYTORCH_BFLOAT16_UNITS

// Both factors are packed into tiles of 16 x 16 pairs, 1 KiB each: of A the rows, of B the pairs of k lie one after the other, so that
// a tile of B is what a pair of A is multiplied with. A panel is two rows of tiles, 32 lines, filled up with zeros.
constexpr int64_t SIDE = 16;
constexpr int64_t PANEL = 2 * SIDE;
constexpr int64_t TILE = SIDE * SIDE;  // in pairs, which are as wide as a float

struct Factor {
    const uint16_t *data;
    int64_t line_step;   // from one row of A, or column of B, to the next
    int64_t depth_step;  // along k
};

// A tile of pairs as it lies in memory, of which `lines` x `depth` numbers are there: [pair][line] if lines lie side by side, else
// [line][pair].
MYTORCH_INLINE void load_tile(VecF *tile, const uint16_t *from, Factor x, int64_t lines, int64_t depth, bool side_by_side) {
    for (int64_t i = 0; i < SIDE; ++i) {
        if (side_by_side) {
            const uint16_t *row = from + 2 * i * x.depth_step;
            const VecU low = __builtin_convertvector(2 * i < depth ? load_halves(row, lines) : Halves{}, VecU);
            const VecU high = __builtin_convertvector(2 * i + 1 < depth ? load_halves(row + x.depth_step, lines) : Halves{}, VecU);
            tile[i] = bits_as<VecF>(low | high << 16u);
        } else {
            uint16_t line[2 * SIDE] = {};
            if (i < lines && x.depth_step == 1) {
                std::memcpy(line, from + i * x.line_step, static_cast<size_t>(depth) * sizeof(uint16_t));
            } else if (i < lines) {
                for (int64_t p = 0; p < depth; ++p) {
                    line[p] = from[i * x.line_step + p * x.depth_step];
                }
            }
            std::memcpy(&tile[i], line, sizeof(line));
        }
    }
}

// One tile, packed: [line][pair], or [pair][line] if `pairs_first`.
template <bool pairs_first> void pack_tile(float *to, const uint16_t *from, Factor x, int64_t lines, int64_t depth) {
    VecF tile[SIDE];
    const bool side_by_side = x.line_step == 1 && x.depth_step != 1;
    if (lines < SIDE || depth < 2 * SIDE || (!side_by_side && x.depth_step != 1)) {
        load_tile(tile, from, x, lines, depth, side_by_side);
    } else if (side_by_side) {
        load_tile(tile, from, {from, 1, x.depth_step}, SIDE, 2 * SIDE, true);
    } else {
        load_tile(tile, from, {from, x.line_step, 1}, SIDE, 2 * SIDE, false);  // whole lines: sizes that the compiler knows
    }
    if (side_by_side != pairs_first) {
        transpose_block<float>(tile);
    }
    std::memcpy(to, tile, sizeof(tile));
}

// A panel: the tiles of lines [first, first + 16) along k, then those of the next 16 lines.
template <bool pairs_first> void pack_panel_of_pairs(float *to, Factor x, int64_t first, int64_t lines, int64_t k) {
    const int64_t tiles = (k + 2 * SIDE - 1) / (2 * SIDE);
    for (int64_t t = 0; t < tiles; ++t) {
        for (int64_t half = 0; half < 2; ++half) {  // side by side: they may share cache lines
            const int64_t begin = first + half * SIDE;
            const int64_t p = t * 2 * SIDE;
            pack_tile<pairs_first>(to + (half * tiles + t) * TILE, x.data + begin * x.line_step + p * x.depth_step, x,
                                   greatest<int64_t>(0, least(SIDE, lines - begin)), least(2 * SIDE, k - p));
        }
    }
}

// What multiplies panels: c (32 x 32) = a b, `tiles` tiles along k.
struct Unit {
    void (*begin)();
    void (*block)(int64_t tiles, const float *a, const float *b, float *c);
    void (*end)();
};

__attribute__((target("avx512bf16"))) void block_by_vectors(int64_t tiles, const float *a, const float *b, float *c) {
    constexpr int R = 8;
    for (int64_t row = 0; row < PANEL; row += R) {
        const float *left = a + row / SIDE * tiles * TILE + row % SIDE * SIDE;
        __m512 sum[R][2];
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
            sum[r][0] = sum[r][1] = _mm512_setzero_ps();
        }
        for (int64_t t = 0; t < tiles; ++t) {
            for (int64_t p = 0; p < SIDE; ++p) {
                const __m512bh low = (__m512bh)_mm512_loadu_ps(b + t * TILE + p * SIDE);
                const __m512bh high = (__m512bh)_mm512_loadu_ps(b + (tiles + t) * TILE + p * SIDE);
#pragma GCC unroll 8
                for (int r = 0; r < R; ++r) {
                    const __m512bh pair = (__m512bh)_mm512_set1_ps(left[t * TILE + r * SIDE + p]);
                    sum[r][0] = _mm512_dpbf16_ps(sum[r][0], pair, low);
                    sum[r][1] = _mm512_dpbf16_ps(sum[r][1], pair, high);
                }
            }
        }
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
            _mm512_storeu_ps(c + (row + r) * PANEL, sum[r][0]);
            _mm512_storeu_ps(c + (row + r) * PANEL + SIDE, sum[r][1]);
        }
    }
}

#define MYTORCH_AMX __attribute__((target("amx-tile,amx-bf16")))

// Eight tiles of 16 rows of 64 bytes. They belong to a thread, and cost it time at every switch until they are released.
MYTORCH_AMX void begin_tiles() {
    struct alignas(64) Shape {
        uint8_t palette, start_row, reserved[14];
        uint16_t bytes_of_row[16];
        uint8_t rows[16];
    };
    static const Shape shape = {1, 0, {}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};
    _tile_loadconfig(&shape);
}

MYTORCH_AMX void end_tiles() { _tile_release(); }

MYTORCH_AMX void block_by_tiles(int64_t tiles, const float *a, const float *b, float *c) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    const float *a2 = a + tiles * TILE;
    const float *b2 = b + tiles * TILE;
    for (int64_t t = 0; t < tiles; ++t) {
        _tile_loadd(4, a + t * TILE, 64);
        _tile_loadd(6, b + t * TILE, 64);
        _tile_loadd(7, b2 + t * TILE, 64);
        _tile_loadd(5, a2 + t * TILE, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    constexpr int64_t row = PANEL * sizeof(float);
    _tile_stored(0, c, row);
    _tile_stored(1, c + SIDE, row);
    _tile_stored(2, c + SIDE * PANEL, row);
    _tile_stored(3, c + SIDE * PANEL + SIDE, row);
}

bool is_amd() {
    unsigned most = 0, name[3] = {};
    return __get_cpuid(0, &most, &name[0], &name[2], &name[1]) != 0 && std::memcmp(name, "AuthenticAMD", sizeof(name)) == 0;
}

bool may_use_tiles() {
#ifdef __linux__
    constexpr long request_permission = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM: a process asks before its first tile
    return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
    return false;
#endif
}

// The units of this processor: bit 0 AVX512-BF16, bit 1 AMX.
int units() {
    static const int found = [] {
        unsigned a = 0, b = 0, c = 0, d = 0;
        const bool vectors = __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a >> 5 & 1) != 0;
        __get_cpuid_count(7, 0, &a, &b, &c, &d);
        const bool tiles = (d >> 22 & 1) != 0 && (d >> 24 & 1) != 0 && may_use_tiles();
        return (vectors ? 1 : 0) + (tiles ? 2 : 0);
    }();
    return found;
}

enum { ANY, VECTORS, TILES, NONE };  // what the caller wants

// Intel's vdpbf16ps takes two cycles, and float32's multiplication one half: there vectors only answer when they are asked for.
int unit_for(int64_t wanted) {
    static const bool quick_vectors = is_amd();
    if ((wanted == ANY || wanted == TILES) && (units() & 2) != 0) {
        return TILES;
    }
    return ((wanted == ANY && quick_vectors) || wanted == VECTORS) && (units() & 1) != 0 ? VECTORS : NONE;
}

const Unit &unit_of(int64_t number) {
    static const Unit vectors = {[] {}, block_by_vectors, [] {}};
    static const Unit tiles = {begin_tiles, block_by_tiles, end_tiles};
    return number == TILES ? tiles : vectors;
}

MYTORCH_INLINE void write_row(const float *from, const float *bias, int64_t n, float *to) {
    if (bias == nullptr) {
        std::memcpy(to, from, static_cast<size_t>(n) * sizeof(float));
        return;
    }
    map(n, to, [](VecF x, VecF add) { return x + add; }, from, bias);
}

MYTORCH_INLINE void write_row(const float *from, const float *bias, int64_t n, uint16_t *to) {
    float sum[PANEL];
    write_row(from, bias, n, sum);
    cast_row(sum, to, n);
}

// y (m x n) = a b (+ bias) on all threads. The whole of k is added up in registers; pieces depend on m and n alone.
template <class To> void multiply_pairs(const Unit &unit, int64_t m, int64_t n, int64_t k, Factor a, Factor b, const float *bias, To *y) {
    const int64_t tiles = (k + 2 * SIDE - 1) / (2 * SIDE);
    const int64_t down = (m + PANEL - 1) / PANEL;
    const int64_t across = (n + PANEL - 1) / PANEL;
    const int64_t size = 2 * tiles * TILE;  // of a panel
    Scratch<float> left(down * size);
    Scratch<float> right(across * size);
    constexpr int64_t TALL = 4, WIDE = 8;  // panels of one task
    const auto pack = [&](int64_t i) {
        if (i < down) {
            pack_panel_of_pairs<false>(left + i * size, a, i * PANEL, m, k);
        } else {
            pack_panel_of_pairs<true>(right + (i - down) * size, b, (i - down) * PANEL, n, k);
        }
    };
    const int64_t tasks_down = (down + TALL - 1) / TALL;
    const auto compute = [&](int64_t task) {
        alignas(64) float block[PANEL * PANEL];
        const int64_t top = task % tasks_down * TALL;
        const int64_t side = task / tasks_down * WIDE;
        unit.begin();
        for (int64_t j = side; j < least(side + WIDE, across); ++j) {
            for (int64_t i = top; i < least(top + TALL, down); ++i) {
                unit.block(tiles, left + i * size, right + j * size, block);
                for (int64_t r = 0; r < least(PANEL, m - i * PANEL); ++r) {
                    write_row(block + r * PANEL, bias == nullptr ? nullptr : bias + j * PANEL, least(PANEL, n - j * PANEL),
                              y + (i * PANEL + r) * n + j * PANEL);
                }
            }
        }
        unit.end();
    };
    const int64_t tasks = tasks_down * ((across + WIDE - 1) / WIDE);
    if (m * n * k < 1 << 20) {
        for (int64_t i = 0; i < down + across; ++i) {
            pack(i);
        }
        for (int64_t i = 0; i < tasks; ++i) {
            compute(i);
        }
    } else {
        parallel(down + across, pack);
        parallel(tasks, compute);
    }
}

template <class To> void matmul_typed(const Unit &unit, const mytorch_array &a, const mytorch_array &b, const float *bias, const mytorch_array &y) {
    const int nd = y.ndim;
    const int64_t m = y.shape[nd - 2], n = y.shape[nd - 1], k = a.shape[nd - 1];
    int64_t batch = 1;
    for (int i = 0; i < nd - 2; ++i) {
        batch *= y.shape[i];
    }
    const auto one = [&](int64_t index) {
        Factor left = {static_cast<const uint16_t *>(a.data), step(a, nd - 2), step(a, nd - 1)};
        Factor right = {static_cast<const uint16_t *>(b.data), step(b, nd - 1), step(b, nd - 2)};
        int64_t rest = index;
        for (int i = nd - 3; i >= 0; --i) {
            left.data += rest % y.shape[i] * step(a, i);
            right.data += rest % y.shape[i] * step(b, i);
            rest /= y.shape[i];
        }
        multiply_pairs(unit, m, n, k, left, right, bias, static_cast<To *>(y.data) + index * m * n);
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

// y (*, m, n), float32 or bfloat16, = a (*, m, k) b (*, k, n) (+ bias (n) in float32), by the unit that the last argument asks for.
int matmul_bfloat16(const mytorch_argument *x) {
#ifdef MYTORCH_BFLOAT16_UNITS
    const mytorch_array &a = x[0].array, &b = x[1].array, &bias = x[2].array, &y = x[3].array;
    const int number = unit_for(x[4].integer);
    if (number == NONE || a.type != MYTORCH_BFLOAT16 || b.type != MYTORCH_BFLOAT16 || (y.type != MYTORCH_BFLOAT16 && y.type != MYTORCH_FLOAT32)) {
        return 0;
    }
    const int nd = y.ndim;
    require(nd >= 2 && a.ndim == nd && b.ndim == nd && is_contiguous(y), "matmul: expected one number of dimensions, at least 2");
    require(a.shape[nd - 2] == y.shape[nd - 2] && b.shape[nd - 1] == y.shape[nd - 1] && b.shape[nd - 2] == a.shape[nd - 1],
            "matmul: sizes do not fit");
    for (int i = 0; i < nd - 2; ++i) {
        require(a.shape[i] == y.shape[i] && b.shape[i] == y.shape[i], "matmul: batches do not fit");
    }
    const float *bias_row = elements<float>(bias);
    require(bias_row == nullptr || count_of(bias) == y.shape[nd - 1], "matmul: the bias has one number per column");
    if (count_of(y) == 0) {
        return 1;
    }
    if (y.type == MYTORCH_FLOAT32) {
        matmul_typed<float>(unit_of(number), a, b, bias_row, y);
    } else {
        matmul_typed<uint16_t>(unit_of(number), a, b, bias_row, y);
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
