// The gradients of a Linear layer y = x W^T + b in one call: dx = g W, dW = g^T x, and db, the sum of g's rows.
#include "products.h"
#include "reduce.h"

namespace mytorch {
namespace MYTORCH_ISA {

namespace {

// The sum of `rows` rows, added up in float64: parts of them first, which depend on the shape alone, then those in order.
template <class T> void sum_rows(int64_t rows, int64_t columns, const T *from, T *to) {
    constexpr int64_t TALL = 256;
    const int64_t parts = (rows + TALL - 1) / TALL;
    Scratch<double> sums(parts * columns);
    std::memset(sums, 0, static_cast<size_t>(parts * columns) * sizeof(double));
    each_task(rows * columns, parts, [&](int64_t part) {
        add_rows<T>(least(TALL, rows - part * TALL), columns, from + part * TALL * columns, columns, sums + part * columns);
    });
    for (int64_t j = 0; j < columns; ++j) {
        for (int64_t part = 1; part < parts; ++part) {
            sums[j] += sums[part * columns + j];
        }
        to[j] = static_cast<T>(sums[j]);
    }
}

template <class T> int linear_grad_typed(const mytorch_argument *arguments) {
    const mytorch_array &g = arguments[0].array, &x = arguments[1].array, &w = arguments[2].array, &dx = arguments[3].array,
                        &dw = arguments[4].array, &db = arguments[5].array;
    require(g.ndim == 2 && x.ndim == 2 && holds<T>(x) && x.shape[0] == g.shape[0], "linear: expected matrices of as many rows");
    const int64_t rows = g.shape[0], outs = g.shape[1], ins = x.shape[1];
    require(dx.data == nullptr || (w.ndim == 2 && holds<T>(w) && w.shape[0] == outs && w.shape[1] == ins), "linear: the weight does not fit");
    require((dx.data == nullptr || count_of(dx) == rows * ins) && (dw.data == nullptr || count_of(dw) == outs * ins) &&
                (db.data == nullptr || count_of(db) == outs),
            "linear: expected gradients shaped as what they are of");
    if (rows == 0 || outs == 0 || ins == 0) {
        return 0;
    }
    const T *const g_rows = elements<T>(g);
    if (dx.data != nullptr) {
        const Matrix<T> weight = {static_cast<const T *>(w.data), step(w, 0), step(w, 1)};
        multiply_quickest<T>(rows, ins, outs, {g_rows, outs, 1}, weight, elements<T>(dx));
    }
    if (dw.data != nullptr) {
        const Matrix<T> inputs = {static_cast<const T *>(x.data), step(x, 0), step(x, 1)};
        multiply_quickest<T>(outs, ins, rows, {g_rows, 1, outs}, inputs, elements<T>(dw));
    }
    if (db.data != nullptr) {
        sum_rows<T>(rows, outs, g_rows, elements<T>(db));
    }
    return 1;
}

// g (rows, outs), x (rows, ins), weight (outs, ins; None without dx) -> dx, dweight, dbias, each of which may be None
int linear_grad(const mytorch_argument *x) {
    return holds<float>(x[0].array) ? linear_grad_typed<float>(x) : holds<double>(x[0].array) ? linear_grad_typed<double>(x) : 0;
}

}  // namespace

extern const mytorch_kernel linear_kernels[] = {{"linear_grad", "rrRWWW", linear_grad}, {nullptr, nullptr, nullptr}};

}  // namespace MYTORCH_ISA
}  // namespace mytorch
