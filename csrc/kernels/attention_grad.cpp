// The gradients of scaled dot-product attention, from scores that are computed again (Dao et al. 2022, algorithm 4).
#include "attention.h"

namespace mytorch {
namespace MYTORCH_ISA {

namespace {

// With p the probabilities and dp = g v^T, the gradient of the scores is ds = p * (dp - sum(g * y)). Rows are queries here and columns
// keys, COLUMNS of them at a time: p and ds are the right factors of dv^T = g^T p and dk^T = q^T ds as they lie; for dq = ds k, ds
// is stored once more, as a left factor.
template <class T> struct Backward {
    static constexpr int64_t KEYS = 128;
    static constexpr int64_t QUERIES = 128;
    static constexpr int W = WIDTH<T>;
    static constexpr int WIDE = COLUMNS<T>;

    const mytorch_array &g, &q, &k, &v;
    const PairMask mask;
    const mytorch_array &y;
    const T *lse;
    const mytorch_array &dq, &dk, &dv;
    double scale;
    bool causal;
    int64_t queries, keys, inner, outer;

    // What a head's blocks share. Per block of queries: q and g as left factors, by rows and by columns.
    struct Packed {
        Scratch<T> q_rows, g_rows, q_columns, g_columns, lse, delta;
        int64_t inner_panels, outer_panels;  // room of a block

        Packed(int64_t blocks, int64_t queries, int64_t inner, int64_t outer)
            : q_rows(blocks * panels_of(QUERIES) * ROWS * inner), g_rows(blocks * panels_of(QUERIES) * ROWS * outer),
              q_columns(blocks * panels_of(inner) * ROWS * QUERIES), g_columns(blocks * panels_of(outer) * ROWS * QUERIES), lse(queries),
              delta(queries), inner_panels(panels_of(inner) * ROWS * QUERIES), outer_panels(panels_of(outer) * ROWS * QUERIES) {}
    };

    // What a block of keys needs; p and ds hold one panel of it.
    struct Work {
        Scratch<T> k_columns, v_columns, k_rows, dk, dv, p, ds, ds_left, bias;

        Work(int64_t inner, int64_t outer, bool masked)
            : k_columns(KEYS * inner), v_columns(KEYS * outer), k_rows(KEYS * round_up(inner, WIDE)), dk(KEYS * inner), dv(KEYS * outer),
              p(QUERIES * WIDE), ds(QUERIES * WIDE), ds_left(panels_of(QUERIES) * ROWS * KEYS), bias(masked ? QUERIES * WIDE : 0) {}
    };

    void run(int64_t head) const {
        const int64_t blocks = (queries + QUERIES - 1) / QUERIES;
        Packed packed(blocks, queries, inner, outer);
        for (int64_t b = 0; b < blocks; ++b) {
            pack(head, b, packed);
        }
        Work work(inner, outer, mask.array.data != nullptr);
        for (int64_t key = 0; key < keys; key += KEYS) {
            const int64_t count = least(KEYS, keys - key);
            pack_keys(head, key, count, work);
            for (int64_t b = causal ? key / QUERIES : 0; b < blocks; ++b) {
                add_block(head, b, key, count, packed, work);
            }
            const int64_t dk_step = step(dk, dk.ndim - 2);
            const int64_t dv_step = step(dv, dv.ndim - 2);
            for (int64_t j = 0; j < count; j += WIDE) {
                const int64_t width = least<int64_t>(WIDE, count - j);
                unpack_panel<T>(rows_of<T>(dk, head) + (key + j) * dk_step, dk_step, work.dk + j * inner, width, inner);
                unpack_panel<T>(rows_of<T>(dv, head) + (key + j) * dv_step, dv_step, work.dv + j * outer, width, outer);
            }
        }
    }

    void pack(int64_t head, int64_t b, Packed &packed) const {
        const Matrix<T> query = matrix_of<T>(q, head), slope = matrix_of<T>(g, head), result = matrix_of<T>(y, head);
        const int64_t first = b * QUERIES;
        const int64_t count = least(QUERIES, queries - first);
        const int64_t height = panel_height(count);
        const int64_t room = panels_of(QUERIES) * ROWS;
        T *q_rows = packed.q_rows + b * room * inner;
        T *g_rows = packed.g_rows + b * room * outer;
        for (int64_t i = 0, at = 0; i < count; i += height, at += ROWS) {
            query.pack_left(q_rows + at * inner, first + i, least(height, count - i), 0, inner);
            slope.pack_left(g_rows + at * outer, first + i, least(height, count - i), 0, outer);
        }
        scale_all<T>(q_rows, panels_of(count) * ROWS * inner, static_cast<T>(scale * LOG2_E));
        T *q_columns = packed.q_columns + b * packed.inner_panels;
        pack_columns(q_columns, query, first, count, inner, static_cast<T>(scale));
        pack_columns(packed.g_columns + b * packed.outer_panels, slope, first, count, outer, T(1));
        for (int64_t i = first; i < first + count; ++i) {
            packed.lse[i] = lse[head * queries + i] * T(LOG2_E);
            packed.delta[i] = dot(slope, result, i);
        }
    }

    static void pack_columns(T *to, const Matrix<T> &from, int64_t first, int64_t count, int64_t rows, T factor) {
        const int64_t height = panel_height(rows);
        for (int64_t i = 0; i < rows; i += height, to += ROWS * QUERIES) {
            pack_panel<T, ROWS>(to, from.data + first * from.row_step + i * from.column_step, from.column_step, from.row_step,
                                least(height, rows - i), count);
            scale_all<T>(to, ROWS * count, factor);
        }
    }

    template <class M> T dot(const Matrix<M> &a, const Matrix<M> &b, int64_t row) const {
        const M *x = a.data + row * a.row_step;
        const M *z = b.data + row * b.row_step;
        Vec<T> sum{};
        int64_t i = 0;
        for (; i + W <= outer && a.column_step == 1 && b.column_step == 1; i += W) {
            sum += load(x + i) * load(z + i);
        }
        T total = sum_of(sum);
        for (; i < outer; ++i) {
            total += T(x[i * a.column_step]) * T(z[i * b.column_step]);
        }
        return total;
    }

    void pack_keys(int64_t head, int64_t key, int64_t count, Work &work) const {
        const Matrix<T> from = matrix_of<T>(k, head), value = matrix_of<T>(v, head);
        for (int64_t j = 0; j < count; j += WIDE) {
            const int64_t width = least<int64_t>(WIDE, count - j);
            const int64_t at = key + j;
            pack_panel<T, WIDE>(work.k_columns + j * inner, from.data + at * from.row_step, from.row_step, from.column_step, width, inner);
            pack_panel<T, WIDE>(work.v_columns + j * outer, value.data + at * value.row_step, value.row_step, value.column_step, width, outer);
        }
        for (int64_t j = 0; j < inner; j += WIDE) {
            from.pack_right(work.k_rows + j * KEYS, j, least<int64_t>(WIDE, inner - j), key, count);
            scale_all<T>(work.k_rows + j * KEYS, WIDE * count, static_cast<T>(scale));
        }
        std::memset(work.dk, 0, static_cast<size_t>(KEYS * inner) * sizeof(T));
        std::memset(work.dv, 0, static_cast<size_t>(KEYS * outer) * sizeof(T));
    }

    // What queries [first, first + rows) add to the gradients, from keys [key, key + count).
    void add_block(int64_t head, int64_t b, int64_t key, int64_t count, const Packed &packed, Work &work) const {
        const int64_t first = b * QUERIES;
        const int64_t rows = least(QUERIES, queries - first);
        const int64_t height = panel_height(rows);
        const T *q_rows = packed.q_rows + b * panels_of(QUERIES) * ROWS * inner;
        const T *g_rows = packed.g_rows + b * panels_of(QUERIES) * ROWS * outer;
        const T *q_columns = packed.q_columns + b * packed.inner_panels;
        const T *g_columns = packed.g_columns + b * packed.outer_panels;
        for (int64_t j = 0; j < count; j += WIDE) {
            const int64_t hidden = first_panel(key + j - first, height);  // panels of queries that see none of these keys
            const int64_t row = hidden * height;
            if (row >= rows) {
                break;
            }
            multiply_column<T>(rows - row, height, inner, q_rows + hidden * ROWS * inner, ROWS * inner, work.k_columns + j * inner,
                               work.p + row * WIDE, Start::zero);
            multiply_column<T>(rows - row, height, outer, g_rows + hidden * ROWS * outer, ROWS * outer, work.v_columns + j * outer,
                               work.ds + row * WIDE, Start::zero);
            if (mask.array.data != nullptr) {
                mask.read<T>(work.bias + row * WIDE, head, first + row, rows - row, key + j, least<int64_t>(WIDE, count - j), WIDE);
                mask.add<T>(work.p + row * WIDE, work.bias + row * WIDE, (rows - row) * WIDE);
            }
            differentiate(first, row, rows, key + j, packed, work, work.ds_left + j * ROWS);
            multiply_column<T>(outer, panel_height(outer), rows - row, g_columns + row * ROWS, ROWS * QUERIES, work.p + row * WIDE,
                               work.dv + j * outer, Start::keep);
            multiply_column<T>(inner, panel_height(inner), rows - row, q_columns + row * ROWS, ROWS * QUERIES, work.ds + row * WIDE,
                               work.dk + j * inner, Start::keep);
        }
        const int64_t dq_step = step(dq, dq.ndim - 2);
        T *to = rows_of<T>(dq, head) + first * dq_step;
        for (int64_t i = 0; i < rows; i += height) {
            int64_t depth = 0;  // keys that one of these queries sees
            while (depth < count && first_panel(key + depth - first, height) * height <= i) {
                depth += WIDE;
            }
            for (int64_t j = 0; depth > 0 && j < inner; j += WIDE) {
                tile<T, Order::block_by_block>(static_cast<int>(least(height, rows - i)), least(depth, count), work.ds_left + i / height * ROWS * KEYS,
                        ROWS, work.k_rows + j * KEYS, WIDE, to + i * dq_step + j, dq_step, static_cast<int>(least<int64_t>(WIDE, inner - j)),
                        key > 0 ? Start::keep : Start::zero);
            }
        }
    }

    int64_t first_panel(int64_t ahead, int64_t height) const { return causal && ahead > 0 ? ahead / height : 0; }

    // Scores become p, and dp becomes ds: as rows, and as panels of a left factor.
    void differentiate(int64_t first, int64_t row, int64_t rows, int64_t key, const Packed &packed, Work &work, T *left) const {
        const int64_t height = panel_height(rows);
        for (int64_t i = row; i < rows; ++i) {
            T *panel = left + i / height * ROWS * KEYS + i % height * W;
            const int64_t query = first + i;
            const T sum = packed.lse[query];
            const T delta = packed.delta[query];
            const bool cut = causal && query < key + WIDE - 1;
            for (int half = 0; half < 2; ++half) {
                T *at = work.p + i * WIDE + half * W;
                T *slope = work.ds + i * WIDE + half * W;
                Vec<T> p = exp2<T>(load(at) - sum);
                if (cut) {
                    p = lanes<T>(half * W) > static_cast<typename Vectors<T>::Scalar>(query - key) ? Vec<T>{} : p;
                }
                store(at, p);
                const Vec<T> ds = p * (load(slope) - delta);
                store(slope, ds);
                store(panel + half * ROWS * W, ds);
            }
        }
    }
};

#if defined(__AMX_BF16__)

// The same of bfloat16 on AMX, in blocks of 32 queries by 32 keys. p and ds are split in two; whole q, k and v are not scaled, but results.
struct TileBackward : Backward<float> {
    static constexpr int64_t SIZE = STEP_SIZE<bfloat16>, AREA = BLOCK * BLOCK;

    explicit TileBackward(const Backward<float> &same) : Backward<float>(same) {}

    // The factors of a head's products, in tiles, and what its queries need.
    struct Tiles {
        Scratch<float> q_rows, g_rows, q_columns, g_columns, k_rows, v_rows, k_columns, sum, delta;
    };

    // One block: scores and what they become, also as factors in two parts.
    struct Block {
        Scratch<float> p, ds, bias, p_parts, ds_parts, ds_left;
    };

    void run(int64_t head) const {
        const int64_t down = blocks_of(queries), across = blocks_of(keys), in = blocks_of(inner), out = blocks_of(outer);
        const Tiles tiles{Scratch<float>(down * in * SIZE), Scratch<float>(down * out * SIZE), Scratch<float>(down * in * SIZE),
                          Scratch<float>(down * out * SIZE), Scratch<float>(across * in * SIZE), Scratch<float>(across * out * SIZE),
                          Scratch<float>(across * in * SIZE), Scratch<float>(queries), Scratch<float>(queries)};
        pack(head, tiles);
        const Block block{Scratch<float>(AREA), Scratch<float>(AREA), Scratch<float>(AREA), Scratch<float>(AREA), Scratch<float>(AREA),
                          Scratch<float>(AREA)};
        Scratch<float> dq_sum(down * in * AREA), dk_sum(in * AREA), dv_sum(out * AREA);
        const Amx unit;
        for (int64_t j = 0; j < across; ++j) {
            const int64_t width = least(BLOCK, keys - j * BLOCK);
            const int64_t begin = causal ? j : 0;  // queries before them do not see these keys
            for (int64_t i = begin; i < down; ++i) {
                const int64_t height = least(BLOCK, queries - i * BLOCK);
                unit.multiply<1>(in, tiles.q_rows + i * in * SIZE, tiles.k_rows + j * in * SIZE, block.p, height, width, Start::zero);
                unit.multiply<1>(out, tiles.g_rows + i * out * SIZE, tiles.v_rows + j * out * SIZE, block.ds, height, width, Start::zero);
                differentiate(head, i * BLOCK, height, j * BLOCK, width, tiles, block);
                add(unit, tiles.g_columns + i * SIZE, down * SIZE, outer, block.p_parts, width, dv_sum, i == begin);
                add(unit, tiles.q_columns + i * SIZE, down * SIZE, inner, block.ds_parts, width, dk_sum, i == begin);
                for (int64_t c = 0; c < in; ++c) {
                    const float *const right = tiles.k_columns + (c * across + j) * SIZE;
                    float *const to = dq_sum + (i * in + c) * AREA;
                    const int64_t columns = least(BLOCK, inner - c * BLOCK);
                    unit.multiply<1>(1, block.ds_left + AREA / 2, right, to, height, columns, j == 0 ? Start::zero : Start::keep);
                    unit.multiply<1>(1, block.ds_left, right, to, height, columns, Start::keep);
                }
            }
            if (begin >= down) {
                zero_all(dk_sum, in * AREA);
                zero_all(dv_sum, out * AREA);
            }
            scale_all<float>(dk_sum, in * AREA, static_cast<float>(scale));
            put_columns(dk, head, j * BLOCK, width, inner, dk_sum);
            put_columns(dv, head, j * BLOCK, width, outer, dv_sum);
        }
        put_rows(head, dq_sum);
    }

    void pack(int64_t head, const Tiles &tiles) const {
        pack_all<true>(tiles.q_rows, lines_of(q, head), queries, inner);
        pack_all<true>(tiles.g_rows, lines_of(g, head), queries, outer);
        pack_all<true>(tiles.q_columns, lines_of(q, head, true), inner, queries);
        pack_all<true>(tiles.g_columns, lines_of(g, head, true), outer, queries);
        pack_all<false>(tiles.k_rows, lines_of(k, head), keys, inner);
        pack_all<false>(tiles.v_rows, lines_of(v, head), keys, outer);
        pack_all<false>(tiles.k_columns, lines_of(k, head, true), inner, keys);
        const Matrix<bfloat16> slope = matrix_of<bfloat16>(g, head), result = matrix_of<bfloat16>(y, head);
        for (int64_t i = 0; i < queries; ++i) {
            tiles.sum[i] = lse[head * queries + i] * static_cast<float>(LOG2_E);
            tiles.delta[i] = dot(slope, result, i);
        }
    }

    static void zero_all(float *to, int64_t count) { std::memset(to, 0, static_cast<size_t>(count) * sizeof(float)); }

    // sum (+)= a b for the panels of a left factor of `lines` lines, and a right one in two parts.
    static void add(const Amx &unit, const float *a, int64_t a_step, int64_t lines, const float *parts, int64_t width, float *sum, bool first) {
        for (int64_t i = 0; i < lines; i += BLOCK, a += a_step, sum += AREA) {
            unit.multiply<1>(1, a, parts + AREA / 2, sum, least(BLOCK, lines - i), width, first ? Start::zero : Start::keep);
            unit.multiply<1>(1, a, parts, sum, least(BLOCK, lines - i), width, Start::keep);
        }
    }

    // Scores become p, and dp becomes ds; where there is no query or key, zero.
    void differentiate(int64_t head, int64_t first, int64_t rows, int64_t key, int64_t width, const Tiles &tiles, const Block &block) const {
        scale_all<float>(block.p, rows * BLOCK, static_cast<float>(scale * LOG2_E));
        if (mask.array.data != nullptr) {
            mask.read<float>(block.bias, head, first, rows, key, width, BLOCK);
            mask.add<float>(block.p, block.bias, rows * BLOCK);
        }
        for (int64_t i = 0; i < rows; ++i) {
            const float sum = tiles.sum[first + i], delta = tiles.delta[first + i];
            const int64_t visible = causal ? least(width, first + i + 1 - key) : width;
            for (int half = 0; half < 2; ++half) {
                float *const at = block.p + i * BLOCK + half * W, *const slope = block.ds + i * BLOCK + half * W;
                const Mask<float> there = lanes<float>(half * W) < static_cast<int32_t>(visible);
                const VecF p = there ? exp2<float>(load(at) - sum) : VecF{};
                store(at, p);
                store(slope, there ? p * (load(slope) - delta) : VecF{});
            }
            split_in_two(load(block.ds + i * BLOCK), load(block.ds + i * BLOCK + W), block.ds_left + i * SIDE, block.ds_left + AREA / 2 + i * SIDE);
        }
        split_rows(block.p, rows, block.p_parts, block.p_parts + AREA / 2);
        split_rows(block.ds, rows, block.ds_parts, block.ds_parts + AREA / 2);
    }

    // A sum [column][row] of a block of rows.
    static void put_columns(const mytorch_array &to, int64_t head, int64_t row, int64_t rows, int64_t columns, const float *sum) {
        const int64_t row_step = step(to, to.ndim - 2);
        unpack_panel<float>(rows_of<bfloat16>(to, head) + row * row_step, row_step, sum, rows, columns);
    }

    void put_rows(int64_t head, const float *sum) const {
        const int64_t row_step = step(dq, dq.ndim - 2), panels = blocks_of(inner);
        for (int64_t i = 0; i < queries; ++i) {
            for (int64_t c = 0; c < panels; ++c) {
                map(least(BLOCK, inner - c * BLOCK), rows_of<bfloat16>(dq, head) + i * row_step + c * BLOCK,
                    [&](VecF v) { return v * static_cast<float>(scale); }, sum + ((i / BLOCK * panels + c) * BLOCK + i % BLOCK) * BLOCK);
            }
        }
    }
};

#endif

// T: the type to compute in, Work: how.
template <class T, class Work> int attention_grad_typed(const mytorch_argument *x) {
    const mytorch_array &g = x[0].array, &q = x[1].array, &k = x[2].array, &v = x[3].array, &mask = x[4].array, &y = x[5].array;
    const mytorch_array &lse = x[6].array, &dq = x[7].array, &dk = x[8].array, &dv = x[9].array;
    const int nd = q.ndim;
    require(nd >= 2 && k.ndim == nd && v.ndim == nd, "attention: q, k and v have one number of dimensions, at least 2");
    const int64_t queries = q.shape[nd - 2], inner = q.shape[nd - 1], keys = k.shape[nd - 2], outer = v.shape[nd - 1];
    const mytorch_array *const like_y[] = {&g, &y};
    for (const mytorch_array *array : like_y) {
        require_matrices(*array, q, queries, outer, false);
    }
    require_matrices(q, q, queries, inner, false);
    require_matrices(k, q, keys, inner, false);
    require_matrices(v, q, keys, outer, false);
    require_matrices(dq, q, queries, inner, true);
    require_matrices(dk, q, keys, inner, true);
    require_matrices(dv, q, keys, outer, true);
    int64_t heads = 1;
    for (int i = 0; i < nd - 2; ++i) {
        heads *= q.shape[i];
    }
    require(count_of(lse) == heads * queries, "attention: one sum per query");
    if (mask.data != nullptr && mask.type != MYTORCH_BOOL && mask.type != q.type) {
        return 0;
    }
    const Work work{Backward<T>{g, q, k, v, {mask}, y, elements<T>(lse), dq, dk, dv, x[10].number, x[11].integer != 0, queries, keys, inner,
                                outer}};
    work.mask.check(q, keys);
    if (heads * queries * keys * inner * outer == 0) {
        return 0;
    }
    parallel(heads, [&](int64_t head) { work.run(head); });
    return 1;
}

int attention_grad(const mytorch_argument *x) {
#if defined(__AMX_BF16__)
    if (holds<bfloat16>(x[1].array)) {
        return x[4].array.type == MYTORCH_BFLOAT16 ? 0 : attention_grad_typed<float, TileBackward>(x);
    }
#endif
    return holds<float>(x[1].array)    ? attention_grad_typed<float, Backward<float>>(x)
           : holds<double>(x[1].array) ? attention_grad_typed<double, Backward<double>>(x) : 0;
}

}  // namespace

extern const mytorch_kernel attention_grad_kernels[] = {{"attention_grad", "rrrrRrrwwwfi", attention_grad}, {nullptr, nullptr, nullptr}};

}  // namespace MYTORCH_ISA
}  // namespace mytorch
