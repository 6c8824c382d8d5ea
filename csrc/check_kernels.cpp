// Runs every kernel on awkward sizes under AddressSanitizer and UndefinedBehaviorSanitizer (`make sanitize`).
//
// Each array is a heap block of exactly its own size, so that reading or writing one element too many stops the program. The
// values are compared with a scalar definition written out here; the exit status is 1 when any differs.
#include <cmath>
#include <cstdio>
#include <initializer_list>
#include <limits>
#include <memory>

#include "kernels.h"

namespace {

constexpr size_t sizes[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 1000, 4097};

float sample(size_t i) {
    const float infinity = std::numeric_limits<float>::infinity();
    const float values[] = {1.5f, -2.0f, 0.0f, -0.0f, std::nanf(""), infinity, -infinity, 1e-42f, -1e-42f, 3e38f, -3e38f};
    return values[i % (sizeof(values) / sizeof(values[0]))];
}

bool same(float a, float b) {
    return std::isnan(a) ? std::isnan(b) : a == b && std::signbit(a) == std::signbit(b);
}

size_t count_relu_errors(size_t n, bool in_place) {
    std::unique_ptr<float[]> x(new float[n]);
    std::unique_ptr<float[]> out(new float[n]);
    for (size_t i = 0; i < n; ++i) {
        x[i] = sample(i);
    }
    float *y = in_place ? x.get() : out.get();
    mytorch_relu_f32(x.get(), y, n);
    size_t errors = 0;
    for (size_t i = 0; i < n; ++i) {
        const float value = sample(i);
        errors += !same(y[i], value < 0.0f ? 0.0f : value);
    }
    return errors;
}

}  // namespace

int main() {
    size_t errors = 0;
    size_t runs = 0;
    for (size_t n : sizes) {
        for (bool in_place : {false, true}) {
            errors += count_relu_errors(n, in_place);
            ++runs;
        }
    }
    std::printf("check_kernels: %zu runs, %zu wrong values\n", runs, errors);
    return errors == 0 ? 0 : 1;
}
