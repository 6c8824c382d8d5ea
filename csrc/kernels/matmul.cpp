// Products of matrices and of batches of them.
#include "products.h"

namespace mytorch {
namespace MYTORCH_ISA {

namespace {

// y (m, n) (+ bias) = the products of each number of a column with each of a row: rows [begin, end) of them.
template <class T> void multiply_outer(int64_t begin, int64_t end, int64_t n, const T *a, int64_t a_step, const T *b, const T *bias, T *y) {
    for (int64_t i = begin; i < end; ++i) {
        const T factor = a[i * a_step];
        if (bias == nullptr) {
            map(n, y + i * n, [=](Vec<T> v) { return factor * v; }, b);
        } else {
            map(n, y + i * n, [=](Vec<T> v, Vec<T> more) { return factor * v + more; }, b, bias);
        }
    }
}

// y (*, m, n) = a (*, m, k) b (*, k, n) (+ bias (n)); a and b of any strides, a batch of b repeated where its stride is 0.
template <class T> int matmul_typed(const mytorch_array &a, const mytorch_array &b, const mytorch_array &bias, const mytorch_array &y) {
    const int nd = y.ndim;
    require(nd >= 2 && a.ndim == nd && b.ndim == nd, "matmul: a, b and y have one number of dimensions, at least 2");
    const int64_t m = y.shape[nd - 2];
    const int64_t n = y.shape[nd - 1];
    const int64_t k = a.shape[nd - 1];
    require(a.shape[nd - 2] == m && b.shape[nd - 1] == n && b.shape[nd - 2] == k, "matmul: sizes do not fit");
    int64_t batch = 1;
    for (int i = 0; i < nd - 2; ++i) {
        require(a.shape[i] == y.shape[i] && b.shape[i] == y.shape[i], "matmul: batches do not fit");
        batch *= y.shape[i];
    }
    const T *bias_row = elements<T>(bias);
    require(bias_row == nullptr || count_of(bias) == n, "matmul: the bias has one number per column");
    T *out = elements<T>(y);
    const auto matrix = [&](const mytorch_array &x, int64_t index) {
        const T *data = static_cast<const T *>(x.data);
        for (int i = nd - 3; i >= 0; --i) {
            data += index % y.shape[i] * step(x, i);
            index /= y.shape[i];
        }
        return data;
    };
    if (k == 1 && n >= WIDTH<T> && step(b, nd - 1) == 1) {
        parallel_ranges(batch * m, greatest<int64_t>(1, GRAIN / n), [&](int64_t begin, int64_t end) {
            while (begin < end) {
                const int64_t index = begin / m, first = begin % m, last = least(m, first + end - begin);
                multiply_outer<T>(first, last, n, matrix(a, index), step(a, nd - 2), matrix(b, index), bias_row, out + index * m * n);
                begin += last - first;
            }
        });
        return 1;
    }
    const auto one = [&](int64_t index) {
        const T *const left = matrix(a, index), *const right = matrix(b, index);
        multiply_quickest<T>(m, n, k, {left, step(a, nd - 2), step(a, nd - 1)}, {right, step(b, nd - 2), step(b, nd - 1)}, out + index * m * n,
                             bias_row);
    };
    const auto several = [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            one(i);
        }
    };
    if (batch > 1 && m * n * k < 1 << 22) {  // small products: whole ones are the tasks, very small ones several together
        parallel_ranges(batch, greatest<int64_t>(1, (1 << 18) / (m * n * k + 1)), several);
    } else {
        several(0, batch);
    }
    return 1;
}

int matmul(const mytorch_argument *x) {
    const mytorch_array &a = x[0].array, &b = x[1].array, &bias = x[2].array, &y = x[3].array;
    if (a.type != b.type || a.type != y.type) {
        return 0;
    }
    return holds<float>(y) ? matmul_typed<float>(a, b, bias, y) : holds<double>(y) ? matmul_typed<double>(a, b, bias, y) : 0;
}

}  // namespace

extern const mytorch_kernel matmul_kernels[] = {{"matmul", "rrRw", matmul}, {nullptr, nullptr, nullptr}};

}  // namespace MYTORCH_ISA
}  // namespace mytorch
