// Arrays moved within a larger or smaller one (padding, cropping) and around in a circle. Elements of any type: nothing is computed.
#include "vec.h"

namespace mytorch {
namespace MYTORCH_ISA {

namespace {

template <class T> void fill(int64_t n, T value, T *to) {
    for (int64_t i = 0; i < n; ++i) {
        to[i] = value;
    }
}

template <class T> MYTORCH_INLINE void move(int64_t n, const T *from, T *to) {
    if constexpr (sizeof(T) >= sizeof(float)) {  // rows are often short, and memcpy is a call
        map(n, to, [](Vec<T> v) { return v; }, from);
    } else {
        std::memcpy(to, from, static_cast<size_t>(n) * sizeof(T));
    }
}

// y[i, j, ...] = x[i - before[0], j - before[1], ...] where x has such an element, else the value
template <class T> int pad_typed(const mytorch_array &x, const int64_t *before, T value, const mytorch_array &y) {
    const T *from = static_cast<const T *>(x.data);
    T *to = static_cast<T *>(y.data);
    int last = y.ndim - 1;
    int64_t inner = 1;  // numbers behind the last dimension that changes
    for (; last > 0 && before[last] == 0 && x.shape[last] == y.shape[last]; --last) {
        inner *= x.shape[last];
    }
    const int64_t length = y.shape[last] * inner, whole = x.shape[last] * inner, rows = count_of(y) / length;
    const int64_t left = least(length, greatest<int64_t>(0, before[last] * inner));  // filled before and after the row of x
    const int64_t cut = greatest<int64_t>(0, -before[last] * inner);
    const int64_t kept = greatest<int64_t>(0, least(whole - cut, length - left));
    const int64_t height = last > 0 ? y.shape[last - 1] : 1, height_x = last > 0 ? x.shape[last - 1] : 1, above = last > 0 ? before[last - 1] : 0;
    parallel_ranges(rows, greatest<int64_t>(1, GRAIN / length), [&](int64_t begin, int64_t end) {
        while (begin < end) {  // rows that differ in their last number alone
            int64_t rest = begin / height, at = 0, size = whole * height_x;
            bool inside = kept > 0;
            for (int i = last - 2; i >= 0; --i) {
                const int64_t place = rest % y.shape[i] - before[i];
                rest /= y.shape[i];
                inside &= place >= 0 && place < x.shape[i];
                at += place * size;
                size *= x.shape[i];
            }
            const int64_t stop = least(end, (begin / height + 1) * height);
            for (int64_t place = begin % height - above; begin < stop; ++begin, ++place) {
                T *line = to + begin * length;
                if (inside && place >= 0 && place < height_x) {
                    fill(left, value, line);
                    move(kept, from + at + place * whole + cut, line + left);
                    fill(length - left - kept, value, line + left + kept);
                } else {
                    fill(length, value, line);
                }
            }
        }
    });
    return 1;
}

// x, how much comes before it in each dimension, the value, y
int pad(const mytorch_argument *arguments) {
    const mytorch_array &x = arguments[0].array, &before = arguments[1].array, &value = arguments[2].array, &y = arguments[3].array;
    require(x.ndim == y.ndim && x.ndim > 0 && count_of(before) == x.ndim && count_of(value) == 1, "one number for each dimension, and one value");
    require(x.itemsize == y.itemsize && value.itemsize == y.itemsize && is_contiguous(y), "all are of one type");
    if (!is_contiguous(x)) {
        return 0;
    }
    const int64_t *widths = elements<int64_t>(before);
    for (int i = 0; i < x.ndim; ++i) {
        require(widths[i] < (int64_t{1} << 40) && widths[i] > -(int64_t{1} << 40), "widths are small");
    }
    if (count_of(y) == 0) {
        return 1;
    }
    return y.itemsize == 4   ? pad_typed<float>(x, widths, *static_cast<const float *>(value.data), y)
           : y.itemsize == 8 ? pad_typed<double>(x, widths, *static_cast<const double *>(value.data), y)
           : y.itemsize == 2 ? pad_typed<uint16_t>(x, widths, *static_cast<const uint16_t *>(value.data), y)
           : y.itemsize == 1 ? pad_typed<uint8_t>(x, widths, *static_cast<const uint8_t *>(value.data), y) : 0;
}

// memcpy in vectors: the C library's takes fifteen times as long on AMD's processors where both addresses are alike modulo 4096 but for
// a few bytes, as they are here.
void copy_bytes(char *to, const char *from, int64_t n) {
    constexpr int64_t W = REGISTER_BYTES;
    const auto block = [&](int64_t at) {
        VecI v;
        std::memcpy(&v, from + at, W);
        std::memcpy(to + at, &v, W);
    };
    if (n < W) {
        for (int64_t i = 0; i < n; ++i) {
            to[i] = from[i];
        }
        return;
    }
    for (int64_t i = 0; i + W <= n; i += W) {
        fetch(from + i);
        fetch<true>(to + i);
        block(i);
    }
    block(n - W);
}

// Each row of x moved on by `shift` elements, those at its end to its beginning: x, y, rows, shift
int rotate(const mytorch_argument *arguments) {
    const mytorch_array &x = arguments[0].array, &y = arguments[1].array;
    const int64_t rows = arguments[2].integer, count = count_of(y);
    require(same_shape(x, y) && x.itemsize == y.itemsize && is_contiguous(y) && rows > 0 && count % rows == 0, "x and y are rows of one shape");
    if (!is_contiguous(x)) {
        return 0;
    }
    if (count == 0) {
        return 1;
    }
    const int64_t length = count / rows * x.itemsize, shift = arguments[3].integer * x.itemsize;  // in bytes
    require(shift >= 0 && shift < length, "the shift is shorter than a row");
    const char *from = static_cast<const char *>(x.data);
    char *to = static_cast<char *>(y.data);
    const int64_t piece = least(length, 4 * GRAIN), pieces = (length + piece - 1) / piece;
    parallel_ranges(rows * pieces, greatest<int64_t>(1, 4 * GRAIN / piece), [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; ++i) {
            const int64_t row = i / pieces * length, begin = i % pieces * piece, end = least(length, begin + piece);
            const int64_t middle = least(end, greatest(begin, shift));  // before it lies what was at the end
            copy_bytes(to + row + begin, from + row + (begin + length - shift), middle - begin);
            copy_bytes(to + row + middle, from + row + (middle - shift), end - middle);
        }
    });
    return 1;
}

}  // namespace

extern const mytorch_kernel arrange_kernels[] = {
    {"pad", "rrrw", pad},
    {"rotate", "rwii", rotate},
    {nullptr, nullptr, nullptr},
};

}  // namespace MYTORCH_ISA
}  // namespace mytorch
