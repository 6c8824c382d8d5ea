// What one step of a recurrent network does to one row (one sequence) after its matrix product: gates and states forward, their
// gradients backward. All functions take columns [begin, end) of the row, so that a step can be cut either way.
//
// Kept by row: pre-activations become gates in place, (rows, GATES * size). `before` is the row in which the step's state was computed,
// or -1 for the initial state. Panels hold the left factors of the next product (Order::block_by_block of gemm.h): element j of a row
// is at panel[j * TALL] for every j that a vector begins with.
#ifndef MYTORCH_KERNELS_RECURRENT_CELLS_H
#define MYTORCH_KERNELS_RECURRENT_CELLS_H

#include "tiles.h"

namespace mytorch {
namespace MYTORCH_ISA {

// Rows of a panel: where there is the matrix unit, as many as its tiles have.
#if defined(__AMX_BF16__)
template <class T> constexpr int TALL = sizeof(T) == sizeof(float) ? 16 : ROWS;
#else
template <class T> constexpr int TALL = ROWS;
#endif

// A whole vector of a row, or its last columns: the rest reads as zeros and is not written.
template <class T> struct Whole {
    MYTORCH_INLINE Vec<T> load(const T *from) const { return MYTORCH_ISA::load(from); }
    MYTORCH_INLINE void store(T *to, Vec<T> v) const { MYTORCH_ISA::store(to, v); }
};
template <class T> struct Part {
    int64_t count;
    MYTORCH_INLINE Vec<T> load(const T *from) const { return load_some(from, count); }
    MYTORCH_INLINE void store(T *to, Vec<T> v) const { store_some(to, v, count); }
};

// body(j, Whole or Part) for the vectors of columns [begin, end).
template <class T, class Body> MYTORCH_INLINE void over_columns(int64_t begin, int64_t end, const Body &body) {
    constexpr int W = WIDTH<T>;
    int64_t j = begin;
    for (; j + W <= end; j += W) {
        body(j, Whole<T>{});
    }
    if (j < end) {
        body(j, Part<T>{end - j});
    }
}

// Where a product of one gate goes: a row of the matrix, the distance between its rows, and whether the row's contents are added to.
template <class T> struct Target {
    T *data;
    int64_t step;
    Start start;
};

// Add v to column j of a sum, and put it into the panel that the next product reads.
template <class T> MYTORCH_INLINE void add_to(T *sum, Vec<T> v) { store(sum, load(sum) + v); }

// The arrays of one call. What a cell does not have is null; `previous` too where there is one step, whose previous state is h0.
template <class T> struct Arrays {
    int64_t size;
    T *y, *previous, *gates, *extra;  // extra: q of a GRU, c of an LSTM
    const T *h0, *c0;
    const T *bias;  // (GATES_OF_GRADIENT, size rounded up to vectors)
    // backward
    const T *gy;
    T *dh, *dc, *d;
};

// h' = act(a + b); `activate` and `slope` of the two kinds.
struct Tanh {
    template <class T> static MYTORCH_INLINE Vec<T> activate(Vec<T> x) { return tanh<T>(x); }
    template <class T> static MYTORCH_INLINE Vec<T> times_slope(Vec<T> g, Vec<T> y) { return g * (T(1) - y * y); }
};
struct Relu {
    template <class T> static MYTORCH_INLINE Vec<T> activate(Vec<T> x) { return x < T(0) ? Vec<T>{} : x; }  // NaN passes
    template <class T> static MYTORCH_INLINE Vec<T> times_slope(Vec<T> g, Vec<T> y) { return g * (y > T(0) ? Vec<T>{} + T(1) : Vec<T>{}); }
};

template <class T, class Kind> struct Rnn : Arrays<T> {
    static constexpr int GATES = 1;      // of the recurrent product
    static constexpr int GRADIENTS = 1;  // what backward keeps of each row, in units of `size`
    static constexpr Start STATE = Start::zero;  // what the recurrent product finds in dh

    Target<T> product(int, int64_t row) const { return {this->gates + row * this->size, this->size, Start::keep}; }

    void forward(int64_t row, int64_t, int64_t, const T *, T *after, int64_t begin, int64_t end) const {
        T *const gate = this->gates + row * this->size;
        T *const out = this->y + row * this->size;
        over_columns<T>(begin, end, [&](int64_t j, auto part) {
            const Vec<T> h = Kind::template activate<T>(part.load(gate + j) + load(this->bias + j));
            part.store(gate + j, h);
            part.store(out + j, h);
            store(after + j * TALL<T>, h);
        });
    }

    void backward(int64_t row, int64_t b, int64_t before, T *panel, T *sums, int64_t begin, int64_t end) const {
        const int64_t n = this->size;
        const T *const h = this->gates + row * n;
        const T *const h_before = before < 0 ? this->h0 + b * n : this->gates + before * n;
        const T *const gy = this->gy == nullptr ? nullptr : this->gy + row * n;
        over_columns<T>(begin, end, [&](int64_t j, auto part) {
            Vec<T> g = part.load(this->dh + b * n + j);
            g = gy == nullptr ? g : g + part.load(gy + j);
            g = Kind::template times_slope<T>(g, part.load(h + j));
            part.store(this->d + row * n + j, g);
            part.store(this->previous + row * n + j, part.load(h_before + j));
            store(panel + j * TALL<T>, g);
            add_to<T>(sums + j, g);
        });
    }
};

// r, z = sigmoid(a + b), q = W_hn h + b_hn, n = tanh(a_n + b_in + r q), h' = n + z (h - n).
template <class T> struct Gru : Arrays<T> {
    static constexpr int GATES = 3;
    static constexpr int GRADIENTS = 4;  // of r, z, n, q
    static constexpr Start STATE = Start::keep;

    Target<T> product(int gate, int64_t row) const {
        if (gate == 2) {
            return {this->extra + row * this->size, this->size, Start::zero};
        }
        return {this->gates + (row * 3 + gate) * this->size, 3 * this->size, Start::keep};
    }

    void forward(int64_t row, int64_t, int64_t, const T *state, T *after, int64_t begin, int64_t end) const {
        const int64_t n = this->size;
        const int64_t wide = round_up(n, WIDTH<T>);
        const T *const bias = this->bias;
        T *const gate = this->gates + row * 3 * n;
        T *const extra = this->extra + row * n;
        over_columns<T>(begin, end, [&](int64_t j, auto part) {
            const Vec<T> r = sigmoid<T>(part.load(gate + j) + load(bias + j));
            const Vec<T> z = sigmoid<T>(part.load(gate + n + j) + load(bias + wide + j));
            const Vec<T> q = part.load(extra + j) + load(bias + 3 * wide + j);
            const Vec<T> c = tanh<T>(part.load(gate + 2 * n + j) + load(bias + 2 * wide + j) + r * q);
            const Vec<T> h = load(state + j * TALL<T>);
            const Vec<T> next = c + z * (h - c);
            part.store(gate + j, r);
            part.store(gate + n + j, z);
            part.store(gate + 2 * n + j, c);
            part.store(extra + j, q);
            if (this->previous != nullptr) {
                part.store(this->previous + row * n + j, h);
            }
            part.store(this->y + row * n + j, next);
            store(after + j * TALL<T>, next);
        });
    }

    void backward(int64_t row, int64_t b, int64_t, T *panel, T *sums, int64_t begin, int64_t end) const {
        const int64_t n = this->size;
        const int64_t wide = round_up(n, WIDTH<T>);
        const T *const gate = this->gates + row * 3 * n;
        const T *const h = this->previous == nullptr ? this->h0 + b * n : this->previous + row * n;
        const T *const gy = this->gy == nullptr ? nullptr : this->gy + row * n;
        T *const d = this->d + row * 4 * n;
        over_columns<T>(begin, end, [&](int64_t j, auto part) {
            Vec<T> g = part.load(this->dh + b * n + j);
            g = gy == nullptr ? g : g + part.load(gy + j);
            const Vec<T> r = part.load(gate + j);
            const Vec<T> z = part.load(gate + n + j);
            const Vec<T> c = part.load(gate + 2 * n + j);
            const Vec<T> gz = g * (T(1) - z);
            const Vec<T> dn = gz * (T(1) - c * c);
            const Vec<T> dz = gz * z * (part.load(h + j) - c);
            const Vec<T> dq = dn * r;
            const Vec<T> dr = dq * (T(1) - r) * part.load(this->extra + row * n + j);
            part.store(this->dh + b * n + j, g * z);
            part.store(d + j, dr);
            part.store(d + n + j, dz);
            part.store(d + 2 * n + j, dn);
            part.store(d + 3 * n + j, dq);
            store(panel + j * TALL<T>, dr);
            store(panel + (wide + j) * TALL<T>, dz);
            store(panel + (2 * wide + j) * TALL<T>, dq);
            add_to<T>(sums + j, dr);
            add_to<T>(sums + wide + j, dz);
            add_to<T>(sums + 2 * wide + j, dn);
            add_to<T>(sums + 3 * wide + j, dq);
        });
    }
};

// i, f, o = sigmoid(a + b), g = tanh(a + b), c' = f c + i g, h' = o tanh(c').
template <class T> struct Lstm : Arrays<T> {
    static constexpr int GATES = 4;
    static constexpr int GRADIENTS = 4;
    static constexpr Start STATE = Start::zero;

    Target<T> product(int gate, int64_t row) const { return {this->gates + (row * 4 + gate) * this->size, 4 * this->size, Start::keep}; }

    void forward(int64_t row, int64_t b, int64_t before, const T *state, T *after, int64_t begin, int64_t end) const {
        const int64_t n = this->size;
        const int64_t wide = round_up(n, WIDTH<T>);
        const T *const bias = this->bias;
        const T *const c_before = before < 0 ? this->c0 + b * n : this->extra + before * n;
        T *const gate = this->gates + row * 4 * n;
        over_columns<T>(begin, end, [&](int64_t j, auto part) {
            const Vec<T> i = sigmoid<T>(part.load(gate + j) + load(bias + j));
            const Vec<T> f = sigmoid<T>(part.load(gate + n + j) + load(bias + wide + j));
            const Vec<T> g = tanh<T>(part.load(gate + 2 * n + j) + load(bias + 2 * wide + j));
            const Vec<T> o = sigmoid<T>(part.load(gate + 3 * n + j) + load(bias + 3 * wide + j));
            const Vec<T> c = f * part.load(c_before + j) + i * g;
            const Vec<T> h = o * tanh<T>(c);
            part.store(gate + j, i);
            part.store(gate + n + j, f);
            part.store(gate + 2 * n + j, g);
            part.store(gate + 3 * n + j, o);
            part.store(this->extra + row * n + j, c);
            if (this->previous != nullptr) {
                part.store(this->previous + row * n + j, load(state + j * TALL<T>));
            }
            part.store(this->y + row * n + j, h);
            store(after + j * TALL<T>, h);
        });
    }

    void backward(int64_t row, int64_t b, int64_t before, T *panel, T *sums, int64_t begin, int64_t end) const {
        const int64_t n = this->size;
        const int64_t wide = round_up(n, WIDTH<T>);
        const T *const c_before = before < 0 ? this->c0 + b * n : this->extra + before * n;
        const T *const gate = this->gates + row * 4 * n;
        const T *const gy = this->gy == nullptr ? nullptr : this->gy + row * n;
        T *const d = this->d + row * 4 * n;
        over_columns<T>(begin, end, [&](int64_t j, auto part) {
            Vec<T> dh = part.load(this->dh + b * n + j);
            dh = gy == nullptr ? dh : dh + part.load(gy + j);
            const Vec<T> i = part.load(gate + j);
            const Vec<T> f = part.load(gate + n + j);
            const Vec<T> g = part.load(gate + 2 * n + j);
            const Vec<T> o = part.load(gate + 3 * n + j);
            const Vec<T> tanh_c = tanh<T>(part.load(this->extra + row * n + j));
            const Vec<T> dc = part.load(this->dc + b * n + j) + dh * o * (T(1) - tanh_c * tanh_c);
            const Vec<T> to_gate[4] = {dc * g * i * (T(1) - i), dc * part.load(c_before + j) * f * (T(1) - f), dc * i * (T(1) - g * g),
                                       dh * tanh_c * o * (T(1) - o)};
            part.store(this->dc + b * n + j, dc * f);
            for (int k = 0; k < 4; ++k) {
                part.store(d + k * n + j, to_gate[k]);
                store(panel + (k * wide + j) * TALL<T>, to_gate[k]);
                add_to<T>(sums + k * wide + j, to_gate[k]);
            }
        });
    }
};

}  // namespace MYTORCH_ISA
}  // namespace mytorch

#endif
