// Products on all threads. For float and double, in products.cpp.
#ifndef MYTORCH_KERNELS_PRODUCTS_H
#define MYTORCH_KERNELS_PRODUCTS_H

#include "gemm.h"

namespace mytorch {
namespace MYTORCH_ISA {

// C (m x n) (+)= A (m x k) B (k x n) (+ bias) on all threads, on the unit that is quicker. Every number of threads gives the same bits.
template <class T> void multiply(int64_t m, int64_t n, int64_t k, const Matrix<T> &a, const Matrix<T> &b, const Result<T> &to);

// C (m x n) = A (m x k) B (k x n) (+ bias, a number per column, unless it is NULL), C without gaps; in the way that is quickest for these
// sizes and strides, on all threads. Every number of threads gives the same bits.
template <class T>
void multiply_quickest(int64_t m, int64_t n, int64_t k, const Matrix<T> &a, const Matrix<T> &b, T *c, const T *bias = nullptr);

}  // namespace MYTORCH_ISA
}  // namespace mytorch

#endif
