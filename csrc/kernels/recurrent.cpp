// Recurrent layers over whole sequences, in one call each way. Rows are packed as in a PackedSequence: all first steps, then all second
// steps, and so on; `sizes[t]` rows belong to step t, never more than to the step before.
//
// The input projections of all steps are one product before, and the weight gradients one product after the steps. What remains is a
// small product per step, and it is the sequences that threads divide among them: nobody waits between two steps. Where the recurrent
// weights outgrow a core's cache, threads divide the columns instead: then each meets the same part of the weights at every step, which
// is worth a meeting of all threads per step.
//
// A cell is a layer of one step. For it, weights are read where they lie, the input projection belongs to the step, and each thread
// has its sequences from x to h: what one processor has written another would have to fetch.
#include "few_rows.h"
#include "products.h"
#include "recurrent_tiles.h"

namespace mytorch {
namespace MYTORCH_ISA {

namespace {

// The steps of a layer: where their rows are, and in which order they are taken.
struct Steps {
    int64_t count, batch;
    const int64_t *sizes;  // null: all have `batch` rows
    const int64_t *starts;
    bool reverse;

    int64_t size(int64_t t) const { return sizes == nullptr ? batch : sizes[t]; }
    int64_t start(int64_t t) const { return sizes == nullptr ? t * batch : starts[t]; }
    // The k-th step that the layer takes.
    int64_t at(int64_t k) const { return reverse ? count - 1 - k : k; }
    // The row of sequence b one step before the k-th, or -1 if the k-th is its first.
    int64_t before(int64_t k, int64_t b) const { return k > 0 && b < size(at(k - 1)) ? start(at(k - 1)) + b : -1; }
};

// How a layer is cut: tiles of at most TALL sequences, of about equal height, an even number of them; tasks take some tiles through all
// steps, or all tiles through some columns of one step. It depends on shapes alone.
struct Cut {
    int64_t batch, tiles;
    int64_t columns;  // of a task, if columns are divided; else 0
    bool alone;

    template <class T> static Cut make(int64_t steps, int64_t batch, int64_t size, int64_t gates) {
        const int64_t least_tiles = (batch + TALL<T> - 1) / TALL<T>;
        Cut cut;
        cut.batch = batch;
        cut.tiles = least(batch, least_tiles > 1 ? round_up(least_tiles, 2) : 1);
        const int64_t weights = gates * size * size * static_cast<int64_t>(sizeof(T));
        cut.columns = weights > LARGE ? round_up((size + 1) / 2, StepProduct<T>::COLUMNS_AT_ONCE) : 0;
        cut.alone = steps * batch * size * size * gates < 1 << 19;
        return cut;
    }

    // The first sequence of a tile, the tile of a sequence, and the height of the tallest tile.
    int64_t first(int64_t tile) const { return batch * tile / tiles; }
    int64_t tile_of(int64_t b) const { return ((b + 1) * tiles - 1) / batch; }
    int64_t height() const { return (batch + tiles - 1) / tiles; }
    // How many rows of a tile a step of `rows` sequences has.
    int64_t live(int64_t tile, int64_t rows) const { return greatest<int64_t>(0, least(first(tile + 1), rows) - first(tile)); }

    static constexpr int64_t LARGE = 1 << 20;  // bytes of weights that are sure to stay in a core's own cache
};

// body(k, first tile, last tile, first column, last column) for the k-th of `count` steps.
template <class Body> void take_steps(const Cut &cut, int64_t count, int64_t size, const Body &body) {
    if (cut.columns != 0) {
        for (int64_t k = 0; k < count; ++k) {
            parallel_ranges(size, cut.columns, [&](int64_t begin, int64_t end) { body(k, 0, cut.tiles, begin, end); });
        }
        return;
    }
    const auto through_all_steps = [&](int64_t begin, int64_t end) {
        for (int64_t k = 0; k < count; ++k) {
            body(k, begin, end, 0, size);
        }
    };
    if (cut.alone) {
        through_all_steps(0, cut.tiles);
    } else {
        parallel_ranges(cut.tiles, 1, through_all_steps);
    }
}

// Panels of the sequences, twice: those that a step reads and those that it writes change places from step to step.
template <class T> class Panels {
public:
    Panels(const Cut &cut, int64_t depth) : step_(TALL<T> * depth), half_(cut.tiles * step_), data_(2 * half_), cut_(cut) {}
    T *tile(int64_t k, int64_t tile) const { return data_ + k % 2 * half_ + tile * step_; }
    T *row(int64_t k, int64_t b) const {
        const int64_t i = cut_.tile_of(b);
        return tile(k, i) + (b - cut_.first(i)) * WIDTH<T>;
    }
    void clear() const { std::memset(data_, 0, static_cast<size_t>(2 * half_) * sizeof(T)); }

private:
    int64_t step_, half_;
    Scratch<T> data_;
    Cut cut_;
};

template <class T> int64_t panels_of(int64_t columns) { return (columns + COLUMNS<T> - 1) / COLUMNS<T>; }

// The corners of R rows of a tile in several panels at once: one or two rows are too few sums to keep the vector units busy.
template <class T, int R, int PANELS>
__attribute__((noinline)) void tiles_of_few_rows(int64_t depth, const T *left, const T *right, int64_t panel, int64_t right_step, T *to, int64_t to_step,
                                                 Start start) {
    constexpr int W = WIDTH<T>;
    Vec<T> sum[R][2 * PANELS] = {};
    for (int64_t done = 0; done < depth; done += W, left += TALL<T> * W) {
        for (int64_t i = 0; i < least<int64_t>(W, depth - done); ++i, right += right_step) {
            for (int v = 0; v < 2 * PANELS; ++v) {
                const Vec<T> column = load(right + v / 2 * panel + v % 2 * W);
                for (int r = 0; r < R; ++r) {
                    sum[r][v] += left[r * W + i] * column;
                }
            }
        }
    }
    for (int r = 0; r < R; ++r) {
        for (int v = 0; v < 2 * PANELS; ++v) {
            T *const row = to + r * to_step + v * W;
            store(row, start == Start::keep ? load(row) + sum[r][v] : sum[r][v]);
        }
    }
}

// Columns [begin, end) of the product of a tile's rows on the vector units: every COLUMNS of them read at `panel` from the ones before.
template <class T>
void multiply_step(int64_t live, int64_t depth, const T *left, const T *right, int64_t panel, int64_t right_step, int64_t begin, int64_t end,
                   const Target<T> &to) {
    const int64_t height = panel_height(live), together = live == 1 ? 4 : 2;  // panels
    while (live <= 2 && begin + together * COLUMNS<T> <= end) {
        const auto tiles = live == 1 ? tiles_of_few_rows<T, 1, 4> : tiles_of_few_rows<T, 2, 2>;
        tiles(depth, left, right + begin / COLUMNS<T> * panel, panel, right_step, to.data + begin, to.step, to.start);
        begin += together * COLUMNS<T>;
    }
    for (int64_t j = begin; j < end; j += COLUMNS<T>) {
        for (int64_t r = 0; r < live; r += height) {
            tile<T, Order::block_by_block>(static_cast<int>(least(height, live - r)), depth, left + r * WIDTH<T>, TALL<T>,
                                           right + j / COLUMNS<T> * panel, right_step, to.data + r * to.step + j, to.step,
                                           static_cast<int>(least<int64_t>(COLUMNS<T>, end - j)), to.start);
        }
    }
}

template <class T, class Cell> void forward_steps(const Steps &steps, const Cell &cell, const T *w_hh) {
    const int64_t size = cell.size;
    const int64_t across = panels_of<T>(size);
    const Cut cut = Cut::make<T>(steps.count, steps.batch, size, Cell::GATES);
    Scratch<T> weights(Cell::GATES * across * COLUMNS<T> * size);  // the transposes of W_hh, by gate
    const auto pack = [&](int64_t i) {
        const int64_t gate = i / across;
        const int64_t j = i % across * COLUMNS<T>;
        pack_panel<T, COLUMNS<T>>(weights + i * COLUMNS<T> * size, w_hh + (gate * size + j) * size, size, 1, least<int64_t>(COLUMNS<T>, size - j),
                                  size);
    };
    parallel_ranges(Cell::GATES * across, cut.alone ? Cell::GATES * across : 4, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            pack(i);
        }
    });
    const int64_t apart = round_up(size, StepProduct<T>::COLUMNS_AT_ONCE);  // gates of the unit's columns
    StepProduct<T> unit(cut.height(), size, Cell::GATES * apart, steps.count);
    for (int gate = 0; gate < Cell::GATES; ++gate) {
        unit.pack(gate * apart, {w_hh + gate * size * size, size, 1}, size, cut.alone);
    }
    const Panels<T> states(cut, round_up(size, WIDTH<T>));
    states.clear();
    for (int64_t b = 0; b < steps.batch; ++b) {
        for (int k = 0; k < 2; ++k) {
            T *const state = states.row(k, b);
            over_columns<T>(0, size, [&](int64_t j, auto part) { store(state + j * TALL<T>, part.load(cell.h0 + b * size + j)); });
        }
    }
    take_steps(cut, steps.count, size, [&](int64_t k, int64_t first, int64_t last, int64_t begin, int64_t end) {
        const int64_t t = steps.at(k);
        const int64_t rows = steps.size(t);
        Scratch<T> left(unit.room());
        for (int64_t i = first; i < last; ++i) {
            const int64_t live = cut.live(i, rows);
            const bool on_unit = live > 0 && unit.take(left, states.tile(k, i), live);
            for (int gate = 0; gate < Cell::GATES && live > 0; ++gate) {
                const Target<T> to = cell.product(gate, steps.start(t) + cut.first(i));
                if (on_unit) {
                    unit.multiply(left, live, gate * apart, begin, end, to);
                } else {
                    multiply_step<T>(live, size, states.tile(k, i), weights + gate * across * COLUMNS<T> * size, size * COLUMNS<T>, COLUMNS<T>,
                                     begin, end, to);
                }
            }
        }
        for (int64_t b = cut.first(first); b < least(cut.first(last), rows); ++b) {
            cell.forward(steps.start(t) + b, b, steps.before(k, b), states.row(k, b), states.row(k + 1, b), begin, end);
        }
    });
}

// A layer of one step, with its input projection: a task has some sequences, and of them some columns.
template <class T, class Cell>
void forward_one_step(int64_t batch, int64_t inputs, const Cell &cell, const T *x, const T *w_ih, const T *w_hh) {
    constexpr int64_t W = WIDTH<T>, TASKS = 4;  // at least
    const int64_t size = cell.size, wide = Cell::GATES * size;
    const int64_t tiles = (batch + W - 1) / W;
    const int64_t columns = tiles < TASKS ? round_up((size * tiles + TASKS - 1) / TASKS, W) : size;
    const int64_t across = (size + columns - 1) / columns;
    each_task(batch * (inputs + size) * wide, tiles * across, [&](int64_t task) {
        const int64_t b = task / across * W, rows = least(W, batch - b);
        const int64_t begin = task % across * columns, end = least(begin + columns, size);
        Scratch<T> left(W * greatest(inputs, size));
        turn_rows<T>(left, {x + b * inputs, inputs, 1}, rows, inputs);
        for (int gate = 0; gate < Cell::GATES; ++gate) {
            multiply_by_columns<T>(rows, inputs, left, w_ih + gate * size * inputs, inputs, cell.gates + b * wide + gate * size, wide, begin, end,
                                   Start::zero);
        }
        turn_rows<T>(left, {cell.h0 + b * size, size, 1}, rows, size);
        for (int gate = 0; gate < Cell::GATES; ++gate) {
            const Target<T> to = cell.product(gate, b);
            multiply_by_columns<T>(rows, size, left, w_hh + gate * size * size, size, to.data, to.step, begin, end, to.start);
        }
        Scratch<T> panels(2 * TALL<T> * round_up(size, W));  // of a single row
        T *const state = panels, *const after = panels + TALL<T> * round_up(size, W);
        for (int64_t r = b; r < b + rows; ++r) {
            over_columns<T>(begin, end, [&](int64_t j, auto part) { store(state + j * TALL<T>, part.load(cell.h0 + r * size + j)); });
            cell.forward(r, r, -1, state, after, begin, end);
        }
    });
}

// The gradients of the gates (cell.d), of the initial state (cell.dh, cell.dc) and the sums of the former over all rows.
template <class T, class Cell> void backward_steps(const Steps &steps, const Cell &cell, const T *w_hh, T *sums) {
    const int64_t size = cell.size;
    const int64_t wide = round_up(size, WIDTH<T>);
    const int64_t depth = Cell::GATES * wide;
    const int64_t across = panels_of<T>(size);
    const Cut cut = Cut::make<T>(steps.count, steps.batch, size, Cell::GATES);
    const bool packed = steps.count > 2 || size % COLUMNS<T> != 0;  // once or twice, rows of W_hh are read where they lie
    Scratch<T> weights(packed ? across * COLUMNS<T> * depth : 0);
    parallel_ranges(packed ? across : 0, cut.alone ? across : 1, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            const int64_t j = i * COLUMNS<T>;
            for (int gate = 0; gate < Cell::GATES; ++gate) {  // rows that fill a gate up to vectors are zeros
                T *const to = weights + (i * depth + gate * wide) * COLUMNS<T>;
                pack_panel<T, COLUMNS<T>>(to, w_hh + gate * size * size + j, 1, size, least<int64_t>(COLUMNS<T>, size - j), size);
                std::memset(to + size * COLUMNS<T>, 0, static_cast<size_t>((wide - size) * COLUMNS<T>) * sizeof(T));
            }
        }
    });
    StepProduct<T> unit(cut.height(), wide == size ? depth : 0, round_up(size, StepProduct<T>::COLUMNS_AT_ONCE), steps.count);
    unit.pack(0, {w_hh, 1, size}, size, cut.alone);
    const Panels<T> gradients(cut, depth);
    const int64_t parts = cut.columns != 0 ? 1 : cut.tiles;
    Scratch<T> part_sums(parts * Cell::GRADIENTS * wide);
    std::memset(part_sums, 0, static_cast<size_t>(parts * Cell::GRADIENTS * wide) * sizeof(T));
    take_steps(cut, steps.count + 1, size, [&](int64_t back, int64_t first, int64_t last, int64_t begin, int64_t end) {
        if (back > 0) {
            const int64_t rows = steps.size(steps.at(steps.count - back));
            Scratch<T> left(unit.room());
            for (int64_t i = first; i < last; ++i) {
                const int64_t live = cut.live(i, rows);
                const Target<T> to = {cell.dh + cut.first(i) * size, size, Cell::STATE};
                if (live > 0 && unit.take(left, gradients.tile(back - 1, i), live)) {
                    unit.multiply(left, live, 0, begin, end, to);
                } else if (live > 0) {
                    multiply_step<T>(live, depth, gradients.tile(back - 1, i), packed ? weights : w_hh, packed ? depth * COLUMNS<T> : COLUMNS<T>,
                                     packed ? COLUMNS<T> : size, begin, end, to);
                }
            }
        }
        if (back < steps.count) {
            const int64_t k = steps.count - 1 - back;
            const int64_t t = steps.at(k);
            for (int64_t i = first; i < last; ++i) {
                T *const sum = part_sums + (parts == 1 ? 0 : i) * Cell::GRADIENTS * wide;
                for (int64_t b = cut.first(i); b < least(cut.first(i + 1), steps.size(t)); ++b) {
                    cell.backward(steps.start(t) + b, b, steps.before(k, b), gradients.row(back, b), sum, begin, end);
                }
            }
        }
    });
    for (int gate = 0; gate < Cell::GRADIENTS; ++gate) {
        for (int64_t j = 0; j < size; ++j) {
            T sum = 0;
            for (int64_t part = 0; part < parts; ++part) {
                sum += part_sums[(part * Cell::GRADIENTS + gate) * wide + j];
            }
            sums[gate * size + j] = sum;
        }
    }
}

// C (m x n) = A (m x k) B (k x n), the latter two without gaps.
template <class T> struct Product {
    int64_t m, n, k;
    Matrix<T> a;
    const T *b;
    T *c;

    static constexpr int64_t WORK = 1 << 18;  // multiplications of one task
    int64_t rows_of_task() const { return round_up(WORK / (n * k) + 1, ROWS); }
    int64_t tasks() const { return (m + rows_of_task() - 1) / rows_of_task(); }
    void multiply(int64_t task) const {
        const int64_t i = task * rows_of_task();
        multiply_by_rows<T>(least(rows_of_task(), m - i), n, k, {a.data + i * a.row_step, a.row_step, a.column_step}, b, n, c + i * n, n, Start::zero);
    }
};

// Small products, the tasks of all together.
template <class T> void multiply_small(const Product<T> *products, int count) {
    int64_t tasks = 0, work = 0;
    for (int i = 0; i < count; ++i) {
        tasks += products[i].tasks();
        work += products[i].m * products[i].n * products[i].k;
    }
    each_task(work, tasks, [&](int64_t task) {
        const Product<T> *product = products;
        for (; task >= product->tasks(); ++product) {
            task -= product->tasks();
        }
        product->multiply(task);
    });
}

// ---- arguments ----------------------------------------------------------------------------------------------------------------

// Steps from the array of sizes (None: `count` equal ones), checked against the number of rows.
class CheckedSteps {
public:
    CheckedSteps(const mytorch_array &sizes, int64_t count, bool reverse, int64_t batch, int64_t rows) : starts_(greatest<int64_t>(count, 1)) {
        steps = {count, batch, elements<int64_t>(sizes), starts_, reverse};
        require(count > 0 && batch > 0, "expected at least one step and one sequence");
        require(steps.sizes == nullptr || (sizes.ndim == 1 && sizes.shape[0] == count), "expected one size per step");
        int64_t row = 0;
        int64_t last = batch;
        for (int64_t t = 0; t < count; ++t) {
            starts_[t] = row;
            require(steps.size(t) > 0 && steps.size(t) <= last, "expected sizes of at least 1 that do not grow");
            last = steps.size(t);
            row += last;
        }
        require(row == rows && steps.size(0) == batch, "expected as many rows as all steps have, and as many states as the first");
    }
    Steps steps;

private:
    Scratch<int64_t> starts_;
};

bool has_shape(const mytorch_array &x, int64_t rows, int64_t columns) {
    return x.data == nullptr || (x.ndim == 2 && x.shape[0] == rows && x.shape[1] == columns);
}

// The biases as the steps add them, each gate filled up to vectors: b_ih + b_hh, but for a GRU's candidate b_in, then b_hn apart.
template <class T, class Cell> void join_biases(T *to, const T *b_ih, const T *b_hh, int64_t size) {
    const int64_t wide = round_up(size, WIDTH<T>);
    std::memset(to, 0, static_cast<size_t>(Cell::GRADIENTS * wide) * sizeof(T));
    for (int gate = 0; gate < Cell::GATES; ++gate) {
        T *const joint = to + gate * wide;
        T *const recurrent = gate >= 2 && Cell::GATES == 3 ? to + 3 * wide : joint;
        for (int64_t j = 0; j < size; ++j) {
            joint[j] += b_ih == nullptr ? T(0) : b_ih[gate * size + j];
            recurrent[j] += b_hh == nullptr ? T(0) : b_hh[gate * size + j];
        }
    }
}

// The last state of each sequence, from the states of all steps.
template <class T> void copy_last(const Steps &steps, const T *states, T *last, int64_t size) {
    int64_t t = steps.reverse ? 0 : steps.count - 1;
    for (int64_t b = 0; b < steps.batch; ++b) {
        while (steps.size(t) <= b) {
            --t;
        }
        std::memcpy(last + b * size, states + (steps.start(t) + b) * size, static_cast<size_t>(size) * sizeof(T));
    }
}

// x (rows, inputs), h0, c0 (None but for LSTMs), w_ih, w_hh, b_ih, b_hh, sizes, steps, reverse
// -> y, last h, last c (None if not wanted), previous (None for RNNs and single steps), gates (for RNNs h again, maybe in y itself),
//    extra (q of GRUs, c of LSTMs)
template <class T, class Cell> int forward(const mytorch_argument *arguments) {
    const mytorch_array &x = arguments[0].array, &h0 = arguments[1].array, &c0 = arguments[2].array, &w_ih = arguments[3].array,
                        &w_hh = arguments[4].array, &b_ih = arguments[5].array, &b_hh = arguments[6].array;
    const mytorch_array &y = arguments[10].array, &h = arguments[11].array, &c = arguments[12].array, &previous = arguments[13].array,
                        &gates = arguments[14].array, &extra = arguments[15].array;
    require(x.ndim == 2 && h0.ndim == 2, "expected x (rows, inputs) and h0 (batch, size)");
    const int64_t rows = x.shape[0], inputs = x.shape[1], batch = h0.shape[0], size = h0.shape[1], wide = Cell::GATES * size;
    const bool recalls = Cell::GATES > 1;
    const bool several = previous.data != nullptr || arguments[8].integer != 1;
    require(has_shape(w_ih, wide, inputs) && has_shape(w_hh, wide, size) && has_shape(y, rows, size) && has_shape(h, batch, size) &&
                has_shape(gates, rows, wide) && has_shape(previous, rows, size) && has_shape(extra, rows, size),
            "expected w_ih (gates * size, inputs), w_hh (gates * size, size), and outputs for every row");
    require((previous.data != nullptr) == (recalls && several) && (extra.data != nullptr) == recalls && has_shape(c0, batch, size) &&
                has_shape(c, batch, size) && (c0.data != nullptr) == (Cell::GATES == 4) && (Cell::GATES == 4 || c.data == nullptr),
            "expected the arrays that this cell has");
    require((b_ih.data == nullptr || count_of(b_ih) == wide) && (b_hh.data == nullptr || count_of(b_hh) == wide), "expected biases (gates * size)");
    const CheckedSteps checked(arguments[7].array, arguments[8].integer, arguments[9].integer != 0, batch, rows);
    Scratch<T> bias(Cell::GRADIENTS * round_up(size, WIDTH<T>));
    join_biases<T, Cell>(bias, elements<T>(b_ih), elements<T>(b_hh), size);
    Cell cell{};
    cell.size = size;
    cell.y = elements<T>(y);
    cell.previous = elements<T>(previous);
    cell.gates = elements<T>(gates);
    cell.extra = elements<T>(extra);
    cell.h0 = elements<T>(h0);
    cell.c0 = elements<T>(c0);
    cell.bias = bias;
    T *const last_h = elements<T>(h);
    T *const last_c = elements<T>(c);
    const T *const recurrent = elements<T>(w_hh);
    const T *const x_rows = elements<T>(x);
    const T *const from_input = elements<T>(w_ih);
    if (checked.steps.count == 1 && batch <= 4 * WIDTH<T>) {
        forward_one_step<T>(batch, inputs, cell, x_rows, from_input, recurrent);
    } else {
        multiply<T>(rows, wide, inputs, {x_rows, inputs, 1}, {from_input, 1, inputs}, {cell.gates, wide, Start::zero, nullptr});
        forward_steps<T>(checked.steps, cell, recurrent);
    }
    if (last_h != nullptr) {
        copy_last(checked.steps, cell.y, last_h, size);
    }
    if (last_c != nullptr) {
        copy_last(checked.steps, cell.extra, last_c, size);
    }
    return 1;
}

// gy (None: no gradient), x, h0, c0, w_ih, w_hh, previous, gates, extra, sizes, steps, reverse
// -> dh, dc (given as the gradients of the last states), dx, dw_ih, dw_hh (each may be None), sums (gradients * size),
//    gradients of the gates (rows, gradients * size; None if not wanted)
template <class T, class Cell> int backward(const mytorch_argument *arguments) {
    const mytorch_array &gy = arguments[0].array, &x = arguments[1].array, &h0 = arguments[2].array, &c0 = arguments[3].array,
                        &w_ih = arguments[4].array, &w_hh = arguments[5].array, &previous = arguments[6].array, &gates = arguments[7].array,
                        &extra = arguments[8].array;
    const mytorch_array &dh = arguments[12].array, &dc = arguments[13].array, &dx = arguments[14].array, &dw_ih = arguments[15].array,
                        &dw_hh = arguments[16].array, &sums = arguments[17].array, &wanted = arguments[18].array;
    require(x.ndim == 2 && h0.ndim == 2, "expected x (rows, inputs) and h0 (batch, size)");
    const int64_t rows = x.shape[0], inputs = x.shape[1], batch = h0.shape[0], size = h0.shape[1], wide = Cell::GATES * size;
    constexpr int GRADIENTS = Cell::GRADIENTS;
    const bool recalls = Cell::GATES > 1;
    const bool several = previous.data != nullptr || arguments[10].integer != 1;
    require(has_shape(w_ih, wide, inputs) && has_shape(w_hh, wide, size) && has_shape(gates, rows, wide) && has_shape(previous, rows, size) &&
                has_shape(extra, rows, size) && has_shape(gy, rows, size) && has_shape(dh, batch, size) && has_shape(dx, rows, inputs) &&
                has_shape(dw_ih, wide, inputs) && has_shape(dw_hh, wide, size) && count_of(sums) == GRADIENTS * size &&
                has_shape(wanted, rows, GRADIENTS * size),
            "expected what the forward pass kept, and gradients shaped as what they are of");
    require((previous.data != nullptr) == (recalls && several) && (extra.data != nullptr) == recalls && has_shape(c0, batch, size) &&
                has_shape(dc, batch, size) && (c0.data != nullptr) == (Cell::GATES == 4) && (dc.data != nullptr) == (Cell::GATES == 4),
            "expected the arrays that this cell has");
    const CheckedSteps checked(arguments[9].array, arguments[10].integer, arguments[11].integer != 0, batch, rows);
    Scratch<T> unwanted(wanted.data == nullptr ? rows * GRADIENTS * size : 0);
    T *const d = wanted.data == nullptr ? static_cast<T *>(unwanted) : elements<T>(wanted);
    Scratch<T> recalled(recalls ? 1 : rows * size);
    Cell cell{};
    cell.size = size;
    cell.previous = recalls ? elements<T>(previous) : static_cast<T *>(recalled);
    cell.gates = elements<T>(gates);
    cell.extra = elements<T>(extra);
    cell.h0 = elements<T>(h0);
    cell.c0 = elements<T>(c0);
    cell.gy = elements<T>(gy);
    cell.dh = elements<T>(dh);
    cell.dc = elements<T>(dc);
    cell.d = d;
    const T *const x_rows = elements<T>(x);
    const T *const to_input = elements<T>(w_ih);
    const T *const recurrent = elements<T>(w_hh);
    T *const dx_rows = elements<T>(dx);
    T *const dw_input = elements<T>(dw_ih);
    T *const dw_recurrent = elements<T>(dw_hh);
    backward_steps<T>(checked.steps, cell, recurrent, elements<T>(sums));
    const int64_t step = GRADIENTS * size;
    Product<T> products[4] = {};  // m x n over k
    int count = 0;
    if (dx_rows != nullptr) {
        products[count++] = {rows, inputs, wide, {d, step, 1}, to_input, dx_rows};
    }
    if (dw_input != nullptr) {
        products[count++] = {wide, inputs, rows, {d, 1, step}, x_rows, dw_input};
    }
    if (dw_recurrent != nullptr) {
        const T *const states = cell.previous == nullptr ? cell.h0 : cell.previous;
        const int64_t joint = Cell::GATES == 3 ? 2 * size : wide;  // a GRU's last gate has another gradient here: that of q, kept behind
        products[count++] = {joint, size, rows, {d, 1, step}, states, dw_recurrent};
        if (joint < wide) {
            products[count++] = {size, size, rows, {d + 3 * size, 1, step}, states, dw_recurrent + joint * size};
        }
    }
    if (checked.steps.count == 1 && batch <= 4 * WIDTH<T>) {
        multiply_small(products, count);
    } else {
        for (int i = 0; i < count; ++i) {
            const Product<T> &one = products[i];
            multiply<T>(one.m, one.n, one.k, one.a, {one.b, one.n, 1}, {one.c, one.n, Start::zero, nullptr});
        }
    }
    return 1;
}

template <class F32, class F64> int forward_of(const mytorch_argument *x) {
    return holds<float>(x[0].array) ? forward<float, F32>(x) : holds<double>(x[0].array) ? forward<double, F64>(x) : 0;
}

template <class F32, class F64> int backward_of(const mytorch_argument *x) {
    return holds<float>(x[1].array) ? backward<float, F32>(x) : holds<double>(x[1].array) ? backward<double, F64>(x) : 0;
}

}  // namespace

#define MYTORCH_FORWARD "rrRrrRRRiiwWWWwW"
#define MYTORCH_BACKWARD "RrrRrrRrRRiiwWWWWwW"

extern const mytorch_kernel recurrent_kernels[] = {
    {"rnn_tanh", MYTORCH_FORWARD, forward_of<Rnn<float, Tanh>, Rnn<double, Tanh>>},
    {"rnn_relu", MYTORCH_FORWARD, forward_of<Rnn<float, Relu>, Rnn<double, Relu>>},
    {"gru", MYTORCH_FORWARD, forward_of<Gru<float>, Gru<double>>},
    {"lstm", MYTORCH_FORWARD, forward_of<Lstm<float>, Lstm<double>>},
    {"rnn_tanh_grad", MYTORCH_BACKWARD, backward_of<Rnn<float, Tanh>, Rnn<double, Tanh>>},
    {"rnn_relu_grad", MYTORCH_BACKWARD, backward_of<Rnn<float, Relu>, Rnn<double, Relu>>},
    {"gru_grad", MYTORCH_BACKWARD, backward_of<Gru<float>, Gru<double>>},
    {"lstm_grad", MYTORCH_BACKWARD, backward_of<Lstm<float>, Lstm<double>>},
    {nullptr, nullptr, nullptr},
};

}  // namespace MYTORCH_ISA
}  // namespace mytorch
