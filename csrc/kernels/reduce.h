// Sums that stay accurate however long they are: vectors add up a chunk of numbers, float64 adds up the chunks.
#ifndef MYTORCH_KERNELS_REDUCE_H
#define MYTORCH_KERNELS_REDUCE_H

#include "bfloat16.h"

namespace mytorch {
namespace MYTORCH_VECTORS {

constexpr int64_t CHUNK = 1024;  // numbers that are added in their own precision; two arrays of them fit into the fastest cache

template <class T> MYTORCH_INLINE Mask<T> first_lanes(int64_t count) {
    Mask<T> lane;
    for (int i = 0; i < WIDTH<T>; ++i) {
        lane[i] = i;
    }
    return lane < static_cast<typename Vectors<T>::Scalar>(count);
}

// Terms of several sums that are made of the same numbers.
template <class T, int SUMS> struct Terms {
    Vec<T> of[SUMS];
};

// Numbers of a chunk: `rows` pieces of `length`, `stride` apart; the next chunk begins `next` numbers after this one.
struct Piece {
    int64_t rows, length, stride, next;
};

// total[s] = the sum of terms(x...).of[s] over one chunk. Four partial sums side by side hide how long one addition takes.
template <class T, int SUMS, class Body, class... In>
MYTORCH_INLINE void add_chunk(const Piece &piece, double (&total)[SUMS], const Body &terms, const In *...x) {
    constexpr int W = WIDTH<T>;
    constexpr int SIDE = SUMS == 1 ? 4 : 2;
    Vec<T> part[SIDE][SUMS] = {};
    for (int64_t row = 0; row < piece.rows; ++row) {
        const int64_t begin = row * piece.stride;
        const int64_t end = begin + piece.length;
        int64_t i = begin;
        for (; i + SIDE * W <= end; i += SIDE * W) {
            unroll<SIDE>([&](auto k) {
                (fetch(x + i + k * W, piece.next * static_cast<int64_t>(sizeof(T))), ...);
                const Terms<T, SUMS> found = terms(load(x + i + k * W)...);
                unroll<SUMS>([&](auto s) { part[k][s] += found.of[s]; });
            });
        }
        for (; i + W <= end; i += W) {
            const Terms<T, SUMS> found = terms(load(x + i)...);
            unroll<SUMS>([&](auto s) { part[0][s] += found.of[s]; });
        }
        if (i < end) {
            const Terms<T, SUMS> found = terms(load_some(x + i, end - i)...);
            const Mask<T> real = first_lanes<T>(end - i);
            unroll<SUMS>([&](auto s) { part[SIDE - 1][s] += real ? found.of[s] : Vec<T>{}; });
        }
    }
    unroll<SUMS>([&](auto s) {
        unroll<SIDE - 1>([&](auto k) { part[0][s] += part[k + 1][s]; });
        total[s] = sum_of(part[0][s]);
    });
}

// body(begin, piece) for the chunks of one row: its parts.
template <class Body> MYTORCH_INLINE void each_chunk(const Body &body, int64_t length) {
    for (int64_t begin = 0; begin < length; begin += CHUNK) {
        body(begin, Piece{1, least(CHUNK, length - begin), 0, CHUNK});
    }
}

// Of several rows, `stride` apart: parts of one row, or several short ones.
template <class Body> MYTORCH_INLINE void each_chunk(const Body &body, int64_t rows, int64_t length, int64_t stride) {
    const bool several = length * 2 <= CHUNK && length > 0;
    const int64_t together = several ? CHUNK / length : 1, part = several ? length : CHUNK;
    for (int64_t row = 0; row < rows; row += together) {
        for (int64_t begin = 0; begin < length; begin += part) {
            const int64_t next = begin + part < length ? part : together * stride - begin;
            body(row * stride + begin, Piece{least(together, rows - row), least(part, length - begin), stride, next});
        }
    }
}

// A sum in float64 that keeps what each addition rounds away (Neumaier 1974): of many float64 chunks no digit is lost.
class Total {
public:
    void add(double x) {
        const double next = sum_ + x;
        rest_ += std::fabs(sum_) >= std::fabs(x) ? (sum_ - next) + x : (x - next) + sum_;
        sum_ = next;
    }
    double value() const {
        const double whole = sum_ + rest_;
        return whole == whole ? whole : sum_;  // infinities leave NaN in the rest
    }

private:
    double sum_ = 0.0;
    double rest_ = 0.0;
};

// Mean and sum of squared distances from it, of chunks that are joined (Chan, Golub, LeVeque 1979, eq. 2.1).
struct Moments {
    double count = 0.0;
    double mean = 0.0;
    double squares = 0.0;

    void join(const Moments &other) {
        if (count == 0.0) {
            *this = other;
            return;
        }
        const double both = count + other.count;
        const double distance = other.mean - mean;
        mean += distance * (other.count / both);
        squares += other.squares + distance * distance * (count * other.count / both);
        count = both;
    }
    double variance() const { return squares / count; }
};

// Distances are taken from the mean as T rounds it; their sum tells how far that is from the mean itself.
template <class T> MYTORCH_INLINE Moments moments_of_chunk(const Piece &piece, const T *x) {
    Moments found;
    found.count = static_cast<double>(piece.rows * piece.length);
    const double share = 1.0 / found.count;
    double sum[1];
    add_chunk<T, 1>(piece, sum, [](Vec<T> v) { return Terms<T, 1>{{v}}; }, x);
    const Number<T> near = static_cast<Number<T>>(sum[0] * share);
    double distance[2];
    add_chunk<T, 2>({piece.rows, piece.length, piece.stride, 0}, distance, [&](Vec<T> v) {
        const Vec<T> d = v - near;
        return Terms<T, 2>{{d, d * d}};
    }, x);
    found.mean = static_cast<double>(near) + distance[0] * share;
    found.squares = greatest(distance[1] - distance[0] * (distance[0] * share), distance[1] * 0.0);  // NaN stays NaN
    return found;
}

// Of a row (length), or of several (rows, length, stride).
template <class T, class... Sizes> MYTORCH_INLINE Moments moments(const T *x, Sizes... sizes) {
    Moments all;
    each_chunk([&](int64_t begin, const Piece &piece) { all.join(moments_of_chunk(piece, x + begin)); }, sizes...);
    return all;
}

template <class T> MYTORCH_INLINE double sum_of_squares(const T *x, int64_t length) {
    double all = 0.0;
    each_chunk([&](int64_t begin, const Piece &piece) {
        double sum[1];
        add_chunk<T, 1>(piece, sum, [](Vec<T> v) { return Terms<T, 1>{{v * v}}; }, x + begin);
        all += sum[0];
    }, length);
    return all;
}

// total[i] += v[i]
template <class T> MYTORCH_INLINE void add_lanes(double *total, Vec<T> v) {
    if constexpr (sizeof(T) == 8) {
        store(total, load(total) + v);
    } else {
        constexpr int HALF = WIDTH<T> / 2;
        typedef float Half __attribute__((vector_size(REGISTER_BYTES / 2)));
        Half halves[2];
        std::memcpy(halves, &v, sizeof(v));
        store(total, load(total) + __builtin_convertvector(halves[0], VecD));
        store(total + HALF, load(total + HALF) + __builtin_convertvector(halves[1], VecD));
    }
}

// total[s][i] = the sum over rows of terms(row).of[s][i]: eight rows in T, then in float64.
template <class T, int SUMS, class Body> MYTORCH_INLINE void add_strip(int64_t rows, double (&total)[SUMS][WIDTH<T>], const Body &terms) {
    for (int s = 0; s < SUMS; ++s) {
        for (int i = 0; i < WIDTH<T>; ++i) {
            total[s][i] = 0.0;
        }
    }
    for (int64_t row = 0; row < rows; row += 8) {
        Terms<T, SUMS> part = terms(row);
        for (int64_t next = row + 1; next < least(rows, row + 8); ++next) {
            const Terms<T, SUMS> found = terms(next);
            for (int s = 0; s < SUMS; ++s) {
                part.of[s] += found.of[s];
            }
        }
        for (int s = 0; s < SUMS; ++s) {
            add_lanes<T>(total[s], part.of[s]);
        }
    }
}

// What is added up: the numbers themselves or their squares.
struct Itself {
    template <class T> static Vec<T> at(Vec<T> v) { return v; }
};
struct ItsSquare {
    template <class T> static Vec<T> at(Vec<T> v) { return v * v; }
};

// The same of whole rows: total[i] += the sum of F(x[row][i]).
template <class T, class F = Itself> void add_rows(int64_t rows, int64_t width, const T *x, int64_t stride, double *total) {
    constexpr int W = WIDTH<T>;
    int64_t row = 0;
    for (; row + 8 <= rows; row += 8, x += 8 * stride) {
        const auto sum = [&](const auto &at) {
            return ((at(0) + at(1)) + (at(2) + at(3))) + ((at(4) + at(5)) + (at(6) + at(7)));
        };
        int64_t i = 0;
        for (; i + W <= width; i += W) {
            add_lanes<T>(total + i, sum([&](int k) {
                fetch(x + k * stride + i, 8 * stride * static_cast<int64_t>(sizeof(T)));
                return F::template at<Number<T>>(load(x + k * stride + i));
            }));
        }
        for (; i < width; ++i) {
            total[i] += sum([&](int k) -> Number<T> { return F::template at<Number<T>>(all(Number<T>(x[k * stride + i])))[0]; });
        }
    }
    for (; row < rows; ++row, x += stride) {
        int64_t i = 0;
        for (; i + W <= width; i += W) {
            add_lanes<T>(total + i, F::template at<Number<T>>(load(x + i)));
        }
        for (; i < width; ++i) {
            total[i] += F::template at<Number<T>>(all(Number<T>(x[i])))[0];
        }
    }
}

// An array of four dimensions, of which a and c are summed over: y[b, d] = sum of x[a, b, c, d] / divisor.
struct Dims {
    int64_t a, b, c, d;
};

// Across rows of d numbers: each task adds up some rows, or a part of their columns.
template <class T, class F = Itself> void sum_across(const Dims &n, const T *x, T *y, double divisor) {
    constexpr int64_t WIDE = 2048;
    const int64_t columns = least(n.d, WIDE), strips = (n.d + WIDE - 1) / WIDE;
    const int64_t share = least(n.c, greatest<int64_t>(64, (1 << 15) / columns));  // rows of a task
    const int64_t parts = (n.c + share - 1) / share * n.a;
    Scratch<double> partial(n.b * parts * n.d);
    parallel(n.b * parts * strips, [&](int64_t task) {
        const int64_t begin = task % strips * WIDE, part = task / strips % parts, b = task / strips / parts;
        const int64_t a = part % n.a, first = part / n.a * share, width = least(WIDE, n.d - begin);
        double *total = partial + (b * parts + part) * n.d + begin;
        for (int64_t i = 0; i < width; ++i) {
            total[i] = 0.0;
        }
        add_rows<T, F>(least(share, n.c - first), width, x + ((a * n.b + b) * n.c + first) * n.d + begin, n.d, total);
    });
    parallel(n.b * strips, [&](int64_t task) {
        const int64_t begin = task % strips * WIDE, b = task / strips, width = least(WIDE, n.d - begin);
        double *total = partial + b * parts * n.d + begin;
        for (int64_t part = 1; part < parts; ++part) {
            const double *more = total + part * n.d;
            for (int64_t i = 0; i < width; ++i) {
                total[i] += more[i];
            }
        }
        for (int64_t i = 0; i < width; ++i) {
            y[b * n.d + begin + i] = static_cast<T>(total[i] / divisor);
        }
    });
}

}  // namespace MYTORCH_VECTORS
}  // namespace mytorch

#endif
