// What every kernel file begins with: its namespace, typed views of arguments, and work on all threads.
//
// Each file in this folder is compiled once per instruction set, with MYTORCH_ISA naming it. Everything must live in
// mytorch::MYTORCH_ISA: an inline function shared between builds, also one of the standard library's containers, would be linked
// once, and AVX-512 instructions would run on a processor that has none. The build for AMX is the exception: it runs where AVX-512's
// does, and takes from that what the matrix unit does not change, which lives in mytorch::MYTORCH_VECTORS.
#ifndef MYTORCH_KERNELS_ARRAY_H
#define MYTORCH_KERNELS_ARRAY_H

#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <new>
#include <stdexcept>

#include "../kernels.h"

#if defined(__AMX_BF16__)
#define MYTORCH_VECTORS avx512
namespace mytorch {
namespace avx512 {}
namespace MYTORCH_ISA { using namespace avx512; }
}  // namespace mytorch
#else
#define MYTORCH_VECTORS MYTORCH_ISA
#endif

namespace mytorch {
namespace MYTORCH_VECTORS {

// Not in line: checks stand in every kernel, and would be a good part of its code.
#define MYTORCH_CALLED inline __attribute__((noinline))

[[noreturn]] MYTORCH_CALLED void refuse(const char *what) { throw std::invalid_argument(what); }
[[noreturn]] MYTORCH_CALLED void lack_memory() { throw std::bad_alloc(); }

inline void require(bool fits, const char *what) {
    if (!fits) {
        refuse(what);
    }
}

template <class T> constexpr int type_number();
template <> constexpr int type_number<float>() { return MYTORCH_FLOAT32; }
template <> constexpr int type_number<double>() { return MYTORCH_FLOAT64; }
template <> constexpr int type_number<bool>() { return MYTORCH_BOOL; }
template <> constexpr int type_number<int8_t>() { return MYTORCH_INT8; }
template <> constexpr int type_number<uint8_t>() { return MYTORCH_UINT8; }
template <> constexpr int type_number<int16_t>() { return MYTORCH_INT16; }
template <> constexpr int type_number<int32_t>() { return MYTORCH_INT32; }
template <> constexpr int type_number<int64_t>() { return MYTORCH_INT64; }

MYTORCH_CALLED int64_t count_of(const mytorch_array &x) {
    int64_t count = 1;
    for (int i = 0; i < x.ndim; ++i) {
        count *= x.shape[i];
    }
    return count;
}

// Row-major without gaps.
MYTORCH_CALLED bool is_contiguous(const mytorch_array &x) {
    int64_t expected = x.itemsize;
    for (int i = x.ndim - 1; i >= 0; --i) {
        if (x.shape[i] != 1 && x.strides[i] != expected) {
            return count_of(x) == 0;
        }
        expected *= x.shape[i];
    }
    return true;
}

MYTORCH_CALLED bool same_shape(const mytorch_array &x, const mytorch_array &y) {
    bool same = x.ndim == y.ndim;
    for (int i = 0; same && i < x.ndim; ++i) {
        same = x.shape[i] == y.shape[i];
    }
    return same;
}

template <class T> bool holds(const mytorch_array &x) { return x.type == type_number<T>(); }

// The elements of an array that is contiguous and of type T, which the caller has checked or wants checked here; NULL for None.
MYTORCH_CALLED void *elements_of(const mytorch_array &x, int type) {
    require(x.data == nullptr || (x.type == type && is_contiguous(x)), "expected a contiguous array of the kernel's type");
    return x.data;
}
template <class T> T *elements(const mytorch_array &x) { return static_cast<T *>(elements_of(x, type_number<T>())); }

// A stride in elements.
inline int64_t step(const mytorch_array &x, int dim) { return x.strides[dim] / x.itemsize; }

// Run body(i) for i in [0, count) on all threads. What one i stands for must depend on shapes alone. A body may run out of memory;
// it throws nothing else.
template <class Body> void parallel(int64_t count, const Body &body) {
    struct Job {
        const Body &body;
        std::atomic<bool> out_of_memory;
    } job{body, {false}};
    mytorch_parallel(
        count,
        [](void *context, int64_t i) {
            Job &running = *static_cast<Job *>(context);
            try {
                running.body(i);
            } catch (const std::bad_alloc &) {
                running.out_of_memory = true;
            }
        },
        &job);
    if (job.out_of_memory) {
        lack_memory();
    }
}

constexpr int64_t GRAIN = 1 << 14;  // numbers that one task works on, where a number takes little time

// Run body(begin, end) over [0, count) in pieces of `grain`.
template <class Body> void parallel_ranges(int64_t count, int64_t grain, const Body &body) {
    parallel((count + grain - 1) / grain, [&](int64_t i) {
        const int64_t begin = i * grain;
        body(begin, begin + grain < count ? begin + grain : count);
    });
}

// Memory for the length of a block of code, aligned to a cache line.
template <class T> class Scratch {
public:
    explicit Scratch(int64_t count) : bytes_(static_cast<size_t>(count) * sizeof(T)), data_(static_cast<T *>(mytorch_take_scratch(bytes_))) {
        if (data_ == nullptr) {
            lack_memory();
        }
    }
    ~Scratch() { mytorch_give_scratch(data_, bytes_); }
    Scratch(const Scratch &) = delete;
    Scratch &operator=(const Scratch &) = delete;
    operator T *() const { return data_; }

private:
    size_t bytes_;
    T *data_;
};

inline int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

template <class T> constexpr T least(T a, T b) { return a < b ? a : b; }
template <class T> constexpr T greatest(T a, T b) { return a > b ? a : b; }

}  // namespace MYTORCH_VECTORS
}  // namespace mytorch

#endif
