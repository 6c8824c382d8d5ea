// Scaled dot-product attention, the forward pass (Dao et al. 2022, algorithm 1).
#include "attention.h"

namespace mytorch {
namespace MYTORCH_ISA {

namespace {

// Scores are kept transposed, one row per key and one column per query: the largest score and the sum of a query are then taken
// down vectors, and the probabilities are the right factor of y^T = v^T p^T as they lie.
template <class T> struct Forward {
    static constexpr int64_t KEYS = 256;  // at a time: their probabilities for COLUMNS queries stay in the first-level cache
    static constexpr int W = WIDTH<T>;
    static constexpr int WIDE = COLUMNS<T>;

    const mytorch_array &q, &k, &v;
    const PairMask mask;
    const mytorch_array &y;
    T *lse;
    double scale;
    bool causal;
    int64_t queries, keys, inner, outer;  // inner: numbers of a query and a key, outer: of a value

    // Queries [begin, end) of one head.
    void run(int64_t head, int64_t begin, int64_t end) const {
        const Matrix<T> from = matrix_of<T>(q, head);
        const int64_t used = causal ? least(keys, end) : keys;
        const int64_t block = least(KEYS, used);
        const int64_t blocks = (used + block - 1) / block;
        const int64_t key_panels = panels_of(block) * ROWS * inner;  // room for the panels of a block
        const int64_t height = panel_height(outer);
        const int64_t value_panels = panels_of(outer) * ROWS * block;
        Scratch<T> left(blocks * key_panels);
        Scratch<T> values(blocks * value_panels);
        for (int64_t b = 0; b < blocks; ++b) {
            pack(head, b * block, least(block, used - b * block), left + b * key_panels, values + b * value_panels, block);
        }
        Scratch<T> panel(WIDE * inner);
        Scratch<T> p(WIDE * block);
        Scratch<T> bias(mask.array.data == nullptr ? 0 : 2 * WIDE * block);
        Scratch<T> out(WIDE * outer);
        for (int64_t first = begin; first < end; first += WIDE) {
            const int64_t width = least<int64_t>(WIDE, end - first);
            pack_panel<T, WIDE>(panel, from.data + first * from.row_step, from.row_step, from.column_step, width, inner);
            scale_all<T>(panel, WIDE * inner, static_cast<T>(scale * LOG2_E));
            const int64_t seen = causal ? least(keys, first + width) : keys;
            Vec<T> top[2] = {Vec<T>{} - INFINITE<T>, Vec<T>{} - INFINITE<T>};
            Vec<T> sum[2] = {};
            for (int64_t b = 0; b * block < seen; ++b) {
                const int64_t key = b * block;
                const int64_t count = least(block, seen - key);
                multiply_column<T>(count, panel_height(least(block, used - key)), inner, left + b * key_panels, ROWS * inner, panel, p, Start::zero);
                if (mask.array.data != nullptr) {
                    add_mask(p, bias, head, first, width, key, count);
                }
                if (causal) {
                    hide_later(p, first, key, count);
                }
                normalise(p, count, top, sum, out, b > 0);
                multiply_column<T>(outer, height, count, values + b * value_panels, ROWS * block, p, out, b > 0 ? Start::keep : Start::zero);
            }
            divide(head, first, width, top, sum, out);
            put(rows_of<T>(y, head), first, width, out);
        }
    }

    void pack(int64_t head, int64_t key, int64_t count, T *to_keys, T *to_values, int64_t depth) const {
        const Matrix<T> from = matrix_of<T>(k, head);
        const Matrix<T> value = matrix_of<T>(v, head);
        int64_t height = panel_height(count);
        for (int64_t i = 0; i < count; i += height, to_keys += ROWS * inner) {
            from.pack_left(to_keys, key + i, least(height, count - i), 0, inner);
        }
        height = panel_height(outer);
        for (int64_t i = 0; i < outer; i += height, to_values += ROWS * depth) {  // v^T: its rows are v's columns
            pack_panel<T, ROWS>(to_values, value.data + key * value.row_step + i * value.column_step, value.column_step, value.row_step,
                                least(height, outer - i), count);
        }
    }

    void add_mask(T *p, T *bias, int64_t head, int64_t query, int64_t width, int64_t key, int64_t count) const {
        T *rows = bias + WIDE * count;
        mask.read(rows, head, query, width, key, count, count);
        pack_panel<T, WIDE>(bias, rows, count, 1, width, count);
        mask.add<T>(p, bias, count * WIDE);
    }

    static void hide_later(T *p, int64_t query, int64_t key, int64_t count) {
        for (int64_t i = greatest<int64_t>(0, query + 1 - key); i < count; ++i) {
            const auto own = static_cast<typename Vectors<T>::Scalar>(key + i - query);
            for (int half = 0; half < 2; ++half) {
                T *at = p + i * WIDE + half * W;
                store(at, lanes<T>(half * W) < own ? Vec<T>{} - INFINITE<T> : load(at));
            }
        }
    }

    // Scores become probabilities up to a factor, that of the largest score so far; what was summed up before is brought to it.
    void normalise(T *p, int64_t count, Vec<T> *top, Vec<T> *sum, T *out, bool again) const {
        for (int half = 0; half < 2; ++half) {
            T *at = p + half * W;
            Vec<T> most[4] = {top[half], top[half], top[half], top[half]};
            int64_t i = 0;
            for (; i + 4 <= count; i += 4) {
                unroll<4>([&](auto lane) { most[lane] = larger(load(at + (i + lane) * WIDE), most[lane]); });
            }
            for (; i < count; ++i) {
                most[0] = larger(load(at + i * WIDE), most[0]);
            }
            const Vec<T> highest = larger(larger(most[0], most[1]), larger(most[2], most[3]));
            const Vec<T> base = highest == -INFINITE<T> ? Vec<T>{} : highest;  // nothing takes part: every power is 0
            Vec<T> total{};
            for (i = 0; i < count; ++i) {
                const Vec<T> power = exp2<T>(load(at + i * WIDE) - base);
                store(at + i * WIDE, power);
                total += power;
            }
            if (again) {
                const Vec<T> factor = exp2<T>(top[half] - base);
                total += sum[half] * factor;
                for (i = 0; i < outer; ++i) {
                    T *row = out + i * WIDE + half * W;
                    store(row, load(row) * factor);
                }
            }
            top[half] = highest;
            sum[half] = total;
        }
    }

    void divide(int64_t head, int64_t query, int64_t width, const Vec<T> *top, const Vec<T> *sum, T *out) const {
        for (int half = 0; half < 2; ++half) {
            const Vec<T> total = sum[half] == T(0) ? Vec<T>{} + T(1) : sum[half];
            const Vec<T> base = top[half] == -INFINITE<T> ? Vec<T>{} : top[half];
            const Vec<T> factor = T(1) / total;
            for (int64_t i = 0; i < outer; ++i) {
                T *row = out + i * WIDE + half * W;
                store(row, load(row) * factor);
            }
            const int64_t left = least<int64_t>(W, width - half * W);
            if (left > 0) {
                store_some(lse + head * queries + query + half * W, base * T(LN_2) + log<T>(total), left);
            }
        }
    }

    template <class To> void put(To *rows, int64_t query, int64_t width, const T *out) const {
        const int64_t row_step = step(y, y.ndim - 2);
        unpack_panel<T>(rows + query * row_step, row_step, out, width, outer);
    }
};

#if defined(__AMX_BF16__)

// The same of bfloat16 on AMX. Scores are products of q and k as they are, scaled afterwards; probabilities are split in two.
struct TileForward : Forward<float> {
    static constexpr int64_t SIZE = STEP_SIZE<bfloat16>;

    explicit TileForward(const Forward<float> &same) : Forward<float>(same) {}

    void run(int64_t head, int64_t begin, int64_t end) const {
        const Lines<bfloat16> from = lines_of(q, head);
        const int64_t used = causal ? least(keys, end) : keys, steps = blocks_of(inner), value_panels = blocks_of(outer);
        Scratch<float> key_tiles(blocks_of(used) * steps * SIZE), value_tiles(value_panels * blocks_of(used) * SIZE), query_tiles(steps * SIZE);
        pack_all<true>(key_tiles, lines_of(k, head), used, inner);
        pack_all<true>(value_tiles, lines_of(v, head, true), outer, used);
        Scratch<float> p(WIDE * KEYS), first_part(WIDE * KEYS / 2), second_part(WIDE * KEYS / 2);
        Scratch<float> bias(mask.array.data == nullptr ? 0 : 2 * WIDE * KEYS);
        Scratch<float> out(WIDE * round_up(outer, BLOCK));
        const Amx unit;
        for (int64_t first = begin; first < end; first += WIDE) {
            const int64_t width = least<int64_t>(WIDE, end - first), seen = causal ? least(keys, first + width) : keys;
            pack_all<false>(query_tiles, {from.data + first * from.line_step, from.line_step, from.depth_step}, width, inner);
            VecF top[2] = {VecF{} - INFINITE<float>, VecF{} - INFINITE<float>}, sum[2] = {};
            for (int64_t key = 0; key < seen; key += KEYS) {
                const int64_t count = least(KEYS, seen - key);
                for (int64_t i = 0; i < count; i += BLOCK) {
                    unit.multiply<1>(steps, key_tiles + (key + i) / BLOCK * steps * SIZE, query_tiles, p + i * WIDE, least(BLOCK, count - i), WIDE,
                                     Start::zero);
                }
                scale_all<float>(p, count * WIDE, static_cast<float>(scale * LOG2_E));
                if (mask.array.data != nullptr) {
                    add_mask(p, bias, head, first, width, key, count);
                }
                if (causal) {
                    hide_later(p, first, key, count);
                }
                normalise(p, count, top, sum, out, key > 0);
                split_rows(p, count, first_part, second_part);
                for (int64_t i = 0; i < value_panels; ++i) {
                    const float *const left = value_tiles + (i * blocks_of(used) + key / BLOCK) * SIZE;
                    float *const to = out + i * BLOCK * WIDE;
                    const int64_t rows = least(BLOCK, outer - i * BLOCK);
                    unit.multiply<1>(blocks_of(count), left, second_part, to, rows, WIDE, key > 0 ? Start::keep : Start::zero);
                    unit.multiply<1>(blocks_of(count), left, first_part, to, rows, WIDE, Start::keep);
                }
            }
            divide(head, first, width, top, sum, out);
            put(rows_of<bfloat16>(y, head), first, width, out);
        }
    }
};

#endif

// T: the type to compute in, Work: how.
template <class T, class Work> int attention_typed(const mytorch_argument *x) {
    const mytorch_array &q = x[0].array, &k = x[1].array, &v = x[2].array, &mask = x[3].array, &y = x[4].array, &lse = x[5].array;
    const int nd = q.ndim;
    require(nd >= 2 && k.ndim == nd && v.ndim == nd, "attention: q, k and v have one number of dimensions, at least 2");
    const int64_t queries = q.shape[nd - 2], inner = q.shape[nd - 1], keys = k.shape[nd - 2], outer = v.shape[nd - 1];
    require_matrices(q, q, queries, inner, false);
    require_matrices(k, q, keys, inner, false);
    require_matrices(v, q, keys, outer, false);
    require_matrices(y, q, queries, outer, true);
    int64_t heads = 1;
    for (int i = 0; i < nd - 2; ++i) {
        heads *= q.shape[i];
    }
    require(count_of(lse) == heads * queries, "attention: one sum per query");
    if (mask.data != nullptr && mask.type != MYTORCH_BOOL && mask.type != q.type) {
        return 0;
    }
    const Work work{Forward<T>{q, k, v, {mask}, y, elements<T>(lse), x[6].number, x[7].integer != 0, queries, keys, inner, outer}};
    work.mask.check(q, keys);
    if (heads * queries * keys * inner * outer == 0) {
        return 0;
    }
    const int64_t chunk = heads >= 8 ? queries : 256;  // of few heads the queries are shared out
    const int64_t chunks = (queries + chunk - 1) / chunk;
    parallel(heads * chunks, [&](int64_t task) {
        const int64_t begin = task % chunks * chunk;
        work.run(task / chunks, begin, least(queries, begin + chunk));
    });
    return 1;
}

int attention(const mytorch_argument *x) {
#if defined(__AMX_BF16__)
    if (holds<bfloat16>(x[0].array)) {
        return x[3].array.type == MYTORCH_BFLOAT16 ? 0 : attention_typed<float, TileForward>(x);
    }
#endif
    return holds<float>(x[0].array)    ? attention_typed<float, Forward<float>>(x)
           : holds<double>(x[0].array) ? attention_typed<double, Forward<double>>(x) : 0;
}

}  // namespace

extern const mytorch_kernel attention_kernels[] = {{"attention", "rrrRwwfi", attention}, {nullptr, nullptr, nullptr}};

}  // namespace MYTORCH_ISA
}  // namespace mytorch
