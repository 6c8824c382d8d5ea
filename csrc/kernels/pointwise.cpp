// Pointwise functions over contiguous arrays.
#include "vec.h"

namespace mytorch {
namespace MYTORCH_ISA {

namespace {

constexpr int64_t GRAIN = 1 << 14;  // elements that one task works on

// The test is x < 0, not x > 0: it is false for NaN, which so passes through; -0.0 stays -0.0, as in torch.
template <class T> int relu_typed(const mytorch_array &x, const mytorch_array &y) {
    require(same_shape(x, y), "relu: x and y have one shape");
    const T *from = elements<T>(x);
    T *to = elements<T>(y);
    parallel_ranges(count_of(y), GRAIN, [&](int64_t begin, int64_t end) {
        map(end - begin, to + begin, [](Vec<T> v) { return v < T(0) ? Vec<T>{} : v; }, from + begin);
    });
    return 1;
}

int relu(const mytorch_argument *x) {
    return holds<float>(x[0].array) ? relu_typed<float>(x[0].array, x[1].array)
           : holds<double>(x[0].array) ? relu_typed<double>(x[0].array, x[1].array) : 0;
}

}  // namespace

extern const mytorch_kernel pointwise_kernels[] = {{"relu", "rw", relu}, {nullptr, nullptr, nullptr}};

}  // namespace MYTORCH_ISA
}  // namespace mytorch
