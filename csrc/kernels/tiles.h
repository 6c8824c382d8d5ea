// Products of float32 and bfloat16 matrices on AMX, the matrix unit of newer Intel processors: eight registers ("tiles") of 16 rows of
// 64 bytes, and an instruction, tdpbf16ps, that multiplies 16 x 32 by 32 x 16 numbers of bfloat16 and adds them up in float32.
//
// float32 comes to it as the sum of three numbers of bfloat16, x = x1 + x2 + x3, each with the next eight bits of x, exactly. Of the
// nine products of two such sums six are computed, a1 b1 + a1 b2 + a2 b1 + a2 b2 + a1 b3 + a3 b1: what is left out is below 2^-23 of
// |a b|, a rounding error of float32 (Henry, Tang, Heinecke 2019, arXiv:1904.06376, section 4). They are added up in float32 as ever.
// Six such products take a third of the time of one on the vector units.
//
// The unit takes numbers below the normal ones for zero, and what is too large for float32 would be Inf - Inf in the parts. So the
// largest number of each piece is found while it is split, and where it is too small, too large, Inf or NaN, the vector units
// multiply (`fits`).
#ifndef MYTORCH_KERNELS_TILES_H
#define MYTORCH_KERNELS_TILES_H

#include "bfloat16.h"
#include "gemm.h"

namespace mytorch {
namespace MYTORCH_ISA {

#if defined(__AVX512F__)

constexpr int64_t SIDE = 16;           // rows of a tile, and numbers of float32 in one of its rows
constexpr int64_t BLOCK = 2 * SIDE;    // a block of the result: 2 x 2 tiles
constexpr int64_t STEP = 2 * SIDE;     // the depth that one instruction covers
constexpr int64_t TILE = SIDE * SIDE;  // pairs of bfloat16, which are as wide as a float

inline int64_t tiles_of(int64_t lines) { return (lines + SIDE - 1) / SIDE; }
inline int64_t blocks_of(int64_t lines) { return (lines + BLOCK - 1) / BLOCK; }

constexpr int parts_of(const float *) { return 3; }
constexpr int parts_of(const bfloat16 *) { return 1; }

// A panel holds 32 rows of the left factor, or 32 columns of the right one, for each STEP of the depth: [part][first or second
// half][tile]. A tile of the left factor is [row][pair], one of the right factor [pair][column]; pair i joins depths i and i + 16.
template <class From> constexpr int64_t STEP_SIZE = parts_of(static_cast<From *>(nullptr)) * 2 * TILE;

// What is multiplied: lines are rows of the left factor or columns of the right one.
template <class From> struct Lines {
    const From *data;
    int64_t line_step, depth_step;
};

// ---- packing ------------------------------------------------------------------------------------------------------------------

template <class From> MYTORCH_INLINE VecF load_numbers(const From *from, int64_t count) {
    return count >= SIDE ? load(from) : load_some(from, count);
}

// 16 x 16 numbers, of which `rows` rows of `length` are there, the others zero; transposed in registers if asked for.
template <bool transposed, class From> MYTORCH_INLINE void load_block(VecF *block, const From *from, int64_t step, int64_t rows, int64_t length) {
    for (int64_t i = 0; i < SIDE; ++i) {
        block[i] = i < rows && length > 0 ? load_numbers(from + i * step, length) : VecF{};
    }
    if constexpr (transposed) {
        transpose_block<float>(block);
    }
}

// Two numbers x, y of float32 into a word for each of their three parts, `step` words apart: x is the lower half. Returns the larger of
// `largest` and their bits without the sign.
MYTORCH_INLINE VecU split_words(VecF x, VecF y, float *to, int64_t step, VecU largest) {
    constexpr uint32_t UPPER = 0xffff0000u, HALF = 0x8000u;
    const VecU size_x = bits_as<VecU>(x) & 0x7fffffffu, size_y = bits_as<VecU>(y) & 0x7fffffffu;
    for (int part = 0; part < 3; ++part) {
        const uint32_t half = part < 2 ? HALF : 0;  // to the nearest; the last part is exact
        const VecU upper_x = (bits_as<VecU>(x) + half) & UPPER, upper_y = (bits_as<VecU>(y) + half) & UPPER;
        store(to + part * step, bits_as<VecF>(upper_x >> 16u | upper_y));
        x = x - bits_as<VecF>(upper_x);
        y = y - bits_as<VecF>(upper_y);
    }
    return larger(largest, larger(size_x, size_y));
}

inline uint32_t largest_of_bits(VecU bits) {
    uint32_t most = 0;
    for (int i = 0; i < SIDE; ++i) {
        most = greatest<uint32_t>(most, bits[i]);
    }
    return most;
}

// Two numbers of bfloat16, widened, as a word.
MYTORCH_INLINE VecF word_of(VecF x, VecF y) { return bits_as<VecF>(bits_as<VecU>(x) >> 16u | bits_as<VecU>(y)); }

// Two depths, 16 apart, into each part's tile; numbers of bfloat16, widened, are one part. Returns as above.
template <int PARTS> MYTORCH_INLINE VecU split_pair(VecF x, VecF y, float *to, VecU largest) {
    if constexpr (PARTS == 1) {
        store(to, word_of(x, y));
        return largest;
    } else {
        return split_words(x, y, to, 2 * TILE, largest);
    }
}

// One tile of each part, [line][pair] if `by_line`, else [pair][line]; `together` says along what numbers are neighbours in memory.
enum class Together { depth, lines };

template <bool by_line, Together together, class From>
VecU pack_tile(float *to, const Lines<From> &x, const From *from, int64_t lines, int64_t depth, VecU largest) {
    constexpr int PARTS = parts_of(static_cast<From *>(nullptr));
    constexpr bool turned = by_line != (together == Together::depth);
    const From *const second = from + SIDE * x.depth_step;
    const int64_t step = together == Together::depth ? x.line_step : x.depth_step;
    if (!turned && lines >= SIDE && depth >= STEP) {
        for (int64_t i = 0; i < SIDE; ++i) {
            largest = split_pair<PARTS>(load_numbers(from + i * step, SIDE), load_numbers(second + i * step, SIDE), to + i * SIDE, largest);
        }
        return largest;
    }
    VecF block[2][SIDE];
    constexpr bool now = turned && PARTS > 1;  // words of one part are turned as they are, once they are put together
    if (lines >= SIDE && depth >= STEP) {
        load_block<now>(block[0], from, step, SIDE, SIDE);
        load_block<now>(block[1], second, step, SIDE, SIDE);
    } else if (together == Together::depth) {
        load_block<now>(block[0], from, step, lines, depth);
        load_block<now>(block[1], second, step, lines, depth - SIDE);
    } else {
        load_block<now>(block[0], from, step, depth, lines);
        load_block<now>(block[1], second, step, depth - SIDE, lines);
    }
    if constexpr (turned && PARTS == 1) {
        for (int64_t i = 0; i < SIDE; ++i) {
            block[0][i] = word_of(block[0][i], block[1][i]);
        }
        transpose_block<float>(block[0]);
        for (int64_t i = 0; i < SIDE; ++i) {
            store(to + i * SIDE, block[0][i]);
        }
        return largest;
    }
    for (int64_t i = 0; i < SIDE; ++i) {
        largest = split_pair<PARTS>(block[0][i], block[1][i], to + i * SIDE, largest);
    }
    return largest;
}

// A panel of `lines` lines over `depth`, whole STEPs with zeros at the end. The second half stays as it is where there are at most 16.
template <bool by_line, Together together, class From> uint32_t pack_panel_of_tiles(float *to, const Lines<From> &x, int64_t lines, int64_t depth) {
    VecU largest = {};
    for (int64_t p = 0; p < depth; p += STEP, to += STEP_SIZE<From>) {
        for (int64_t half = 0; half < 2 && half * SIDE < lines; ++half) {
            largest = pack_tile<by_line, together>(to + half * TILE, x, x.data + half * SIDE * x.line_step + p * x.depth_step,
                                                   lines - half * SIDE, depth - p, largest);
        }
    }
    return largest_of_bits(largest);
}

// The same from any strides. Returns the bits of its largest number.
template <bool by_line, class From> uint32_t pack_tiles(float *to, const Lines<From> &x, int64_t lines, int64_t depth) {
    if (x.depth_step == 1) {
        return pack_panel_of_tiles<by_line, Together::depth>(to, x, lines, depth);
    }
    if (x.line_step == 1) {
        return pack_panel_of_tiles<by_line, Together::lines>(to, x, lines, depth);
    }
    Scratch<From> copy(lines * depth);
    for (int64_t i = 0; i < lines; ++i) {
        for (int64_t p = 0; p < depth; ++p) {
            copy[i * depth + p] = x.data[i * x.line_step + p * x.depth_step];
        }
    }
    return pack_panel_of_tiles<by_line, Together::depth>(to, Lines<From>{copy, depth, 1}, lines, depth);
}

// Can the parts of both factors and their products neither be too large nor get lost? From the bits of their largest numbers.
inline bool fits(uint32_t left, uint32_t right) {
    constexpr int64_t MOST = 100;  // powers of two, of 126; below the smallest normal number then lies what is 2^-26 of the largest
    const auto fine = [](int64_t exponent) { return exponent >= -MOST && exponent <= MOST; };
    const int64_t a = static_cast<int64_t>(left >> 23) - 127, b = static_cast<int64_t>(right >> 23) - 127;
    return (left == 0 && fine(b)) || (right == 0 && fine(a)) || (left == 0 && right == 0) || (fine(a) && fine(b) && fine(a + b));
}

// ---- multiplying --------------------------------------------------------------------------------------------------------------

// Rows of memory that will be needed soon, of which fetch() asks for `each` cache lines.
template <bool WRITES> struct Soon {
    const char *row;
    int64_t step, bytes, rows, each, at;

    // So many `rows` of `width` numbers, `step` apart, in so many `times`.
    template <class T> static Soon of(const T *from, int64_t step, int64_t width, int64_t rows, int64_t times) {
        constexpr int64_t SIZE = sizeof(T);
        return {reinterpret_cast<const char *>(from), step * SIZE, width * SIZE, rows, (rows * ((width * SIZE + 63) / 64) + times - 1) / times, 0};
    }
    MYTORCH_INLINE void fetch() {
        for (int64_t i = 0; i < each && rows > 0; ++i) {
            __builtin_prefetch(row + at, WRITES, WRITES ? 3 : 2);  // what is read waits in the second-level cache
            at += 64;
            if (at >= bytes) {
                at = 0;
                row += step;
                --rows;
            }
        }
    }
};

// What is fetched while the unit multiplies, a little with each product: what will be packed next, and the places of the block in C. All
// at once they would hold up what the unit reads, since a core waits for a dozen cache lines at a time.
struct Ahead {
    Soon<false> pack;
    Soon<true> put;

    MYTORCH_INLINE void fetch() {
        pack.fetch();
        put.fetch();
    }
};

#if defined(__AMX_BF16__)

// The compiler does not know that loading a tile reads memory: what was written before must be there.
inline void before_tiles() { asm volatile("" ::: "memory"); }

// The products of a step: for three parts six, smaller ones first, in an order in which one factor changes at a time. left(part) and
// right(part) load tiles of a part, multiply() what is loaded.
template <int PARTS, class Left, class Right, class Multiply>
MYTORCH_INLINE void products_of_step(const Left &left, const Right &right, const Multiply &multiply) {
    if constexpr (PARTS == 1) {
        left(0);
        right(0);
        multiply();
    } else {
        left(0);
        right(2);
        multiply();
        right(1);
        multiply();
        left(1);
        multiply();
        right(0);
        multiply();
        left(2);
        multiply();
        left(0);
        multiply();
    }
}

// A block of 32 x 32 (+)= a b over `steps` steps of the depth, of which DOWN x ACROSS tiles are wanted.
template <int PARTS, int DOWN, int ACROSS>
__attribute__((noinline)) void multiply_tiles(int64_t steps, const float *a, const float *b, float *block, Start start, Ahead &ahead) {
    before_tiles();
    constexpr int64_t ROW = BLOCK * sizeof(float);
    float *const lower = block + SIDE * BLOCK;
    if (start == Start::keep) {
        _tile_loadd(0, block, ROW);
        if constexpr (ACROSS == 2) {
            _tile_loadd(1, block + SIDE, ROW);
        }
        if constexpr (DOWN == 2) {
            _tile_loadd(2, lower, ROW);
        }
        if constexpr (DOWN == 2 && ACROSS == 2) {
            _tile_loadd(3, lower + SIDE, ROW);
        }
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    const auto left = [&](int part) {
        _tile_loadd(4, a + part * 2 * TILE, 64);
        if constexpr (DOWN == 2) {
            _tile_loadd(5, a + part * 2 * TILE + TILE, 64);
        }
    };
    const auto right = [&](int part) {
        _tile_loadd(6, b + part * 2 * TILE, 64);
        if constexpr (ACROSS == 2) {
            _tile_loadd(7, b + part * 2 * TILE + TILE, 64);
        }
    };
    const auto multiply = [&] {
        ahead.fetch();
        _tile_dpbf16ps(0, 4, 6);
        if constexpr (ACROSS == 2) {
            _tile_dpbf16ps(1, 4, 7);
        }
        if constexpr (DOWN == 2) {
            _tile_dpbf16ps(2, 5, 6);
        }
        if constexpr (DOWN == 2 && ACROSS == 2) {
            _tile_dpbf16ps(3, 5, 7);
        }
    };
    for (int64_t step = 0; step < steps; ++step, a += PARTS * 2 * TILE, b += PARTS * 2 * TILE) {
        products_of_step<PARTS>(left, right, multiply);
    }
    _tile_stored(0, block, ROW);
    if constexpr (ACROSS == 2) {
        _tile_stored(1, block + SIDE, ROW);
    }
    if constexpr (DOWN == 2) {
        _tile_stored(2, lower, ROW);
    }
    if constexpr (DOWN == 2 && ACROSS == 2) {
        _tile_stored(3, lower + SIDE, ROW);
    }
}

// The unit in the hands of this thread: its eight tiles cost time at every switch of threads until they are released.
class Amx {
public:
    Amx() {
        struct alignas(64) Shape {
            uint8_t palette, start_row, reserved[14];
            uint16_t bytes_of_row[16];
            uint8_t rows[16];
        };
        static const Shape shape = {1, 0, {}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};
        _tile_loadconfig(&shape);
    }
    ~Amx() { _tile_release(); }
    Amx(const Amx &) = delete;
    Amx &operator=(const Amx &) = delete;

    // A block of the result, 32 x 32 (+)= a b, of which `rows` x `columns` are wanted.
    template <int PARTS>
    void multiply(int64_t steps, const float *a, const float *b, float *block, int64_t rows, int64_t columns, Start start, Ahead &ahead) const {
        const auto tiles = rows > SIDE ? (columns > SIDE ? multiply_tiles<PARTS, 2, 2> : multiply_tiles<PARTS, 2, 1>)
                                       : (columns > SIDE ? multiply_tiles<PARTS, 1, 2> : multiply_tiles<PARTS, 1, 1>);
        tiles(steps, a, b, block, start, ahead);
    }
    // The same, with nothing to fetch meanwhile.
    template <int PARTS>
    void multiply(int64_t steps, const float *a, const float *b, float *block, int64_t rows, int64_t columns, Start start) const {
        Ahead nothing{};
        multiply<PARTS>(steps, a, b, block, rows, columns, start, nothing);
    }
};

// Is the unit quicker for C (m x n) = A (m x k) B of float32? In cycles of one core, measured: splitting a number takes 1, a
// multiplication 1/65, where the vector units need 1/28; and beginning takes 4,000.
inline bool worth_tiles(int64_t m, int64_t n, int64_t k) {
    const int64_t padded = round_up(m, SIDE) * round_up(n, SIDE) * round_up(k, STEP);
    return padded / 65 + (m + n) * k + 4000 < m * n * k / 28;
}

#endif

#endif

}  // namespace MYTORCH_ISA
}  // namespace mytorch

#endif
