// Products of matrices by a unit that multiplies pairs of bfloat16, AMX or the vectors of AVX512-BF16: panels are packed as tiles.h has
// them, blocks of 32 x 32 added up and put down.
#ifndef MYTORCH_KERNELS_TILE_PRODUCTS_H
#define MYTORCH_KERNELS_TILE_PRODUCTS_H

#include "tiles.h"

namespace mytorch {
namespace MYTORCH_ISA {

#if defined(__AVX512F__)

// c (+)= the rows x columns that are wanted of a block (+ bias, a number per column, unless it is NULL).
template <class To> void put_block(To *c, int64_t c_step, const float *block, int64_t rows, int64_t columns, Start start, const To *bias) {
    for (int64_t j = 0; j < columns; j += SIDE) {
        const int64_t count = least(SIDE, columns - j);
        const VecF more = bias == nullptr ? VecF{} : load_numbers(bias + j, count);
        for (int64_t r = 0; r < rows; ++r) {
            To *const to = c + r * c_step + j;
            const VecF sum = load(block + r * BLOCK + j) + more;
            if (count == SIDE) {
                store(to, start == Start::keep ? load(to) + sum : sum);
            } else {
                store_some(to, start == Start::keep ? load_some(to, count) + sum : sum, count);
            }
        }
    }
}

// C (m x n) (+)= A B on all threads. The smaller factor is packed first, for all; each task then packs some panels of the larger one,
// a piece of the depth at a time, and multiplies them by those of the smaller one, while they are in its caches. C of bfloat16 is
// rounded where a block is put down, so the depth must be one piece (`once`).
template <class Unit, bool own_is_left, class From, class To = float> struct ProductInPairs {
    static constexpr int PARTS = parts_of(static_cast<From *>(nullptr));
    static constexpr int64_t CHUNK = PARTS == 3 ? 4 : 12;  // steps of the depth whose panel (24 KiB) stays in the first-level cache
    static constexpr int64_t SPAN = PARTS == 3 ? 4 * CHUNK * STEP : INT64_MAX;  // depths added up in a row: longer sums lose accuracy
    static constexpr int64_t OWN = 8, SHARED = 32;         // panels of a task, whose blocks of c (1 MiB) stay in the second-level cache
    static constexpr int64_t MEMORY = 1 << 21;             // floats of the smaller factor at a time

    int64_t m, n, k;
    Lines<From> own, shared;
    Result<To> to;

    int64_t own_lines() const { return own_is_left ? m : n; }
    int64_t shared_lines() const { return own_is_left ? n : m; }
    static int64_t panels(int64_t lines) { return (lines + BLOCK - 1) / BLOCK; }
    static Lines<From> from(const Lines<From> &x, int64_t panel, int64_t p) {
        return {x.data + panel * BLOCK * x.line_step + p * x.depth_step, x.line_step, x.depth_step};
    }

    static constexpr int64_t TASKS = 16;  // as many as that, if the sizes allow it
    int64_t all_steps() const { return (k + STEP - 1) / STEP; }
    int64_t shared_ranges() const { return (panels(shared_lines()) + SHARED - 1) / SHARED; }
    // Small results of many terms: slabs of the depth are added up apart, into matrices of their own, and then in order.
    int64_t all_slabs() const {
        return greatest<int64_t>(1, least(all_steps() / (4 * CHUNK), TASKS / ((panels(own_lines()) + OWN - 1) / OWN * shared_ranges())));
    }
    // Steps of the depth for which the smaller factor is packed at a time.
    int64_t steps_of_piece() const {
        return all_slabs() > 1 ? all_steps() : least(all_steps(), greatest(4 * CHUNK, MEMORY / (panels(shared_lines()) * STEP_SIZE<From>)));
    }
    bool once() const { return all_slabs() == 1 && steps_of_piece() == all_steps(); }

    void run() const {
        const int64_t steps = all_steps(), of_shared = panels(shared_lines()), of_own = panels(own_lines());
        const int64_t ranges = shared_ranges(), slabs = all_slabs(), piece = steps_of_piece();
        const int64_t together = least(OWN, greatest<int64_t>(1, of_own * ranges * slabs / TASKS)), groups = (of_own + together - 1) / together;
        Scratch<float> packed(of_shared * piece * STEP_SIZE<From>);
        Scratch<float> sums((slabs - 1) * m * n);
        Scratch<uint32_t> largest(of_shared * slabs);
        for (int64_t step = 0; step < steps; step += piece) {
            const int64_t now = least(piece, steps - step);
            const auto first_of_slab = [&](int64_t slab) { return now * slab / slabs; };
            const auto depth_of_slab = [&](int64_t slab) {
                return least(first_of_slab(slab + 1) * STEP, k - step * STEP) - first_of_slab(slab) * STEP;
            };
            each_task(m * n * k, of_shared * slabs, [&](int64_t task) {
                const int64_t i = task % of_shared, slab = task / of_shared, at = first_of_slab(slab);
                largest[task] = pack_tiles<!own_is_left>(packed + (i * piece + at) * STEP_SIZE<From>, from(shared, i, (step + at) * STEP),
                                                         least(BLOCK, shared_lines() - i * BLOCK), depth_of_slab(slab));
            });
            uint32_t most = 0;
            for (int64_t i = 0; i < of_shared * slabs; ++i) {
                most = greatest<uint32_t>(most, largest[i]);
            }
            each_task(m * n * k, groups * ranges * slabs, [&](int64_t task) {
                const int64_t first = task % groups * together, range = task / groups % ranges, slab = task / groups / ranges;
                const int64_t at = first_of_slab(slab);
                Result<To> part = step > 0 ? Result<To>{to.c, to.c_step, Start::keep, nullptr} : to;
                if constexpr (sizeof(To) == sizeof(float)) {
                    part = slab > 0 ? Result<To>{sums + (slab - 1) * m * n, n, Start::zero, nullptr} : part;
                }
                multiply(packed + at * STEP_SIZE<From>, piece * STEP_SIZE<From>, most, first, least(first + together, of_own),
                         of_shared * range / ranges, of_shared * (range + 1) / ranges, (step + at) * STEP, depth_of_slab(slab), part);
            });
        }
        if constexpr (sizeof(To) == sizeof(float)) {
            each_task(m * n * k, slabs > 1 ? m : 0, [&](int64_t row) {
                for (int64_t slab = 1; slab < slabs; ++slab) {
                    const float *const part = sums + ((slab - 1) * m + row) * n;
                    map(n, to.c + row * to.c_step, [](VecF sum, VecF more) { return sum + more; }, to.c + row * to.c_step, part);
                }
            });
        }
    }

    // After own panels [first, last) at depths up to p + q of p + depth: the same at the next ones, or the next panels.
    Soon<false> next_to_pack(int64_t first, int64_t last, int64_t p, int64_t q, int64_t depth, int64_t times) const {
        const bool deeper = q < depth;
        const int64_t line = (deeper ? first : last) * BLOCK, lines = least((last - first) * BLOCK, own_lines() - line);
        const int64_t at = deeper ? q : 0, deep = least(CHUNK * STEP, depth - at);
        if (lines <= 0) {
            return {};
        }
        const From *const data = own.data + line * own.line_step + (p + at) * own.depth_step;
        return own.depth_step == 1 ? Soon<false>::of(data, own.line_step, deep, lines, times) : Soon<false>::of(data, own.depth_step, lines, deep, times);
    }

    // Own panels [first, last) times shared panels [begin, end), at depths [p, p + depth).
    void multiply(const float *packed, int64_t panel, uint32_t most, int64_t first, int64_t last, int64_t begin, int64_t end, int64_t p,
                  int64_t depth, const Result<To> &where) const {
        const auto own_some = [&](int64_t i) { return least(BLOCK, own_lines() - i * BLOCK); };
        const auto shared_some = [&](int64_t j) { return least(BLOCK, shared_lines() - j * BLOCK); };
        Scratch<float> mine((last - first) * CHUNK * STEP_SIZE<From>);
        const bool at_once = depth <= CHUNK * STEP;  // then blocks need not be kept: two take turns
        Scratch<float> blocks((at_once ? 2 : (last - first) * (end - begin)) * BLOCK * BLOCK);
        int64_t done = 0;
        for (int64_t q = 0; q < depth; q += CHUNK * STEP) {
            const int64_t deep = least(CHUNK * STEP, depth - q);
            bool fine = true;
            for (int64_t i = first; i < last; ++i) {
                const uint32_t own_most =
                    pack_tiles<own_is_left>(mine + (i - first) * CHUNK * STEP_SIZE<From>, from(own, i, p + q), own_some(i), deep);
                fine = fine && (PARTS == 1 || fits(own_most, most));
            }
            if (!fine) {
                break;
            }
            const Unit unit;
            const bool last_of_span = q + deep - done >= SPAN || q + deep == depth;
            // A block is put down once the unit has been given the next one.
            struct {
                Result<To> at;
                const float *block;
                int64_t rows, columns;
            } waiting{where, nullptr, 0, 0};
            const auto put_waiting = [&] {
                if (waiting.block != nullptr) {
                    put_block(waiting.at.c, waiting.at.c_step, waiting.block, waiting.rows, waiting.columns, waiting.at.start, waiting.at.bias);
                }
            };
            const int64_t steps = (deep + STEP - 1) / STEP, products = steps * (PARTS == 3 ? 6 : 1);
            Ahead ahead = {next_to_pack(first, last, p, q + deep, depth, (last - first) * (end - begin) * products), {}};
            int64_t number = 0;
            for (int64_t i = first; i < last; ++i) {
                const float *const ours = mine + (i - first) * CHUNK * STEP_SIZE<From>;
                for (int64_t j = begin; j < end; ++j, ++number) {
                    const float *const theirs = packed + j * panel + q / STEP * STEP_SIZE<From>;
                    float *const block = blocks + (at_once ? number % 2 : number) * BLOCK * BLOCK;
                    const int64_t rows = own_is_left ? own_some(i) : shared_some(j), columns = own_is_left ? shared_some(j) : own_some(i);
                    const Result<To> at = where.at((own_is_left ? i : j) * BLOCK, (own_is_left ? j : i) * BLOCK, done == 0);
                    if (last_of_span) {
                        ahead.put = Soon<true>::of(at.c, at.c_step, columns, rows, products);
                    }
                    unit.template multiply<PARTS>(steps, own_is_left ? ours : theirs, own_is_left ? theirs : ours, block,
                                                  rows, columns, q == done ? Start::zero : Start::keep, ahead);
                    if (last_of_span) {
                        put_waiting();
                        waiting = {at, block, rows, columns};
                    }
                }
            }
            put_waiting();
            done = last_of_span ? q + deep : done;
        }
        if (done == depth) {
            return;
        }
        if constexpr (PARTS > 1) {
            const Lines<From> ours = from(own, first, p + done), theirs = from(shared, begin, p + done);
            const int64_t own_count = least(last * BLOCK, own_lines()) - first * BLOCK;
            const int64_t shared_count = least(end * BLOCK, shared_lines()) - begin * BLOCK;
            const Lines<From> &left = own_is_left ? ours : theirs, &right = own_is_left ? theirs : ours;
            multiply_by_vectors<float>(own_is_left ? own_count : shared_count, own_is_left ? shared_count : own_count, depth - done,
                                       {left.data, left.line_step, left.depth_step}, {right.data, right.depth_step, right.line_step},
                                       where.at((own_is_left ? first : begin) * BLOCK, (own_is_left ? begin : first) * BLOCK, done == 0));
        }
    }
};

template <class Unit, class From> void multiply_in_pairs(int64_t m, int64_t n, int64_t k, Lines<From> a, Lines<From> b, const Result<float> &to) {
    if (k == 0) {
        multiply_by_vectors<float>(m, n, k, {}, {}, to);
    } else if (m >= n) {
        ProductInPairs<Unit, true, From>{m, n, k, a, b, to}.run();
    } else {
        ProductInPairs<Unit, false, From>{m, n, k, b, a, to}.run();
    }
}

#endif

}  // namespace MYTORCH_ISA
}  // namespace mytorch

#endif
