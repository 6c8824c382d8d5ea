// The gradients of a Linear layer y = x W^T + b in one call: dx = g W, dW = g^T x, and db, the sum of g's rows.
#include "products.h"
#include "reduce.h"

namespace mytorch {
namespace MYTORCH_ISA {

namespace {

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
        sum_across<T>({1, 1, rows, outs}, g_rows, elements<T>(db), 1.0);
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
