// The small product of each step of a recurrent layer on AMX (tiles.h): a tile of 16 sequences by the recurrent weights, which are split
// once, into words as correlate_block (conv_tiles.h) reads them.
#ifndef MYTORCH_KERNELS_RECURRENT_TILES_H
#define MYTORCH_KERNELS_RECURRENT_TILES_H

#include "conv_tiles.h"
#include "recurrent_cells.h"

namespace mytorch {
namespace MYTORCH_ISA {

// On the vector units: nothing is prepared, and nothing taken.
template <class T> struct StepProduct {
    static constexpr int64_t COLUMNS_AT_ONCE = COLUMNS<T>;
    StepProduct(int64_t, int64_t, int64_t, int64_t) {}
    int64_t room() const { return 0; }
    void pack(int64_t, const Matrix<T> &, int64_t, bool) {}
    bool take(T *, const T *, int64_t) const { return false; }
    void multiply(const T *, int64_t, int64_t, int64_t, int64_t, const Target<T> &) const {}
};

#if defined(__AMX_BF16__)

template <> class StepProduct<float> {
public:
    static constexpr int64_t COLUMNS_AT_ONCE = 4 * SIDE, LEAST = 4;

    // For products of so many rows and columns over `depth`, in so many steps. With few, or small products, splitting costs more than it
    // brings; and of a tile's 16 rows the unit multiplies all, where the vector units take a quarter of its time for each.
    StepProduct(int64_t rows, int64_t depth, int64_t columns, int64_t steps)
        : depth_(rows >= LEAST && depth % STEP == 0 && depth * columns >= 1 << 15 && steps > 8 ? depth : 0), row_(columns + SIDE), part_(depth_ / 2 * row_),
          words_(3 * part_), offset_(depth_ / STEP) {
        for (int64_t step = 0; step < depth_ / STEP; ++step) {
            offset_[step] = step * SIDE * row_;
        }
    }

    // Of the left factor, split.
    int64_t room() const { return depth_ / STEP * STEP_SIZE<float>; }

    // Columns of the weights, the rows of `from`, which become those from `first` on.
    void pack(int64_t first, const Matrix<float> &from, int64_t columns, bool alone) {
        const int64_t blocks = depth_ == 0 ? 0 : (columns + SIDE - 1) / SIDE;
        Scratch<uint32_t> found(blocks);
        parallel_ranges(blocks, alone ? greatest<int64_t>(blocks, 1) : 1, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) {
                found[i] = pack_columns_of_tile(first + i * SIDE, from, i * SIDE, least(SIDE, columns - i * SIDE));
            }
        });
        for (int64_t i = 0; i < blocks; ++i) {
            largest_ = greatest<uint32_t>(largest_, found[i]);
        }
    }

    // Split `live` rows of a panel; false if they are not to be multiplied here.
    bool take(float *left, const float *panel, int64_t live) const {
        if (depth_ == 0 || live < LEAST) {
            return false;
        }
        VecU most = {};
        for (int64_t step = 0; step < depth_ / STEP; ++step) {
            for (int64_t r = 0; r < live; ++r) {
                const float *const from = panel + step * 2 * TILE + r * SIDE;
                most = split_pair<3>(load(from), load(from + TILE), left + step * STEP_SIZE<float> + r * SIDE, most);
            }
        }
        return fits(largest_of_bits(most), largest_);
    }

    // Rows times columns [begin, end), which are kept from `first` on.
    void multiply(const float *left, int64_t live, int64_t first, int64_t begin, int64_t end, const Target<float> &to) const {
        alignas(64) float block[4 * TILE];
        const Amx unit;
        for (int64_t j = begin; j < end; j += COLUMNS_AT_ONCE) {
            correlate_block<true>(depth_ / STEP, left, words_ + first + j, offset_, row_, part_, block, COLUMNS_AT_ONCE, Start::zero);
            for (int64_t r = 0; r < live; ++r) {
                const float *const from = block + r * COLUMNS_AT_ONCE;
                float *const row = to.data + r * to.step + j;
                const auto sum = [&](VecF x, VecF more) { return to.start == Start::keep ? x + more : more; };
                map(least(COLUMNS_AT_ONCE, end - j), row, sum, static_cast<const float *>(row), from);
            }
        }
    }

private:
    uint32_t pack_columns_of_tile(int64_t place, const Matrix<float> &from, int64_t column, int64_t count) const {
        VecU most = {};
        for (int64_t p = 0; p < depth_; p += STEP) {
            const float *const first = from.data + column * from.row_step + p * from.column_step;
            const float *const second = first + SIDE * from.column_step;
            VecF block[2][SIDE];
            if (from.column_step == 1) {
                load_block<true>(block[0], first, from.row_step, count, SIDE);
                load_block<true>(block[1], second, from.row_step, count, SIDE);
            } else {
                load_block<false>(block[0], first, from.column_step, SIDE, count);
                load_block<false>(block[1], second, from.column_step, SIDE, count);
            }
            for (int64_t i = 0; i < SIDE; ++i) {
                most = split_words(block[0][i], block[1][i], words_ + (p / 2 + i) * row_ + place, part_, most);
            }
        }
        return largest_of_bits(most);
    }

    int64_t depth_, row_, part_;
    Scratch<float> words_;
    Scratch<int64_t> offset_;
    uint32_t largest_ = 0;
};

#endif

}  // namespace MYTORCH_ISA
}  // namespace mytorch

#endif
