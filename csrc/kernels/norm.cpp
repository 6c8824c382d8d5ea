// Batch, layer, group and root-mean-square norm, and their gradients: y = (x - mean) / sqrt(var + eps) * weight + bias.
//
// Statistics are joined from chunks (reduce.h), each of which is read from the cache when it is read again.
#include "reduce.h"

namespace mytorch {
namespace MYTORCH_ISA {

namespace {

template <class T> double inverse_root(T var, double eps) { return 1.0 / std::sqrt(static_cast<double>(var) + eps); }

// A parameter of n numbers, or None, which stands for a number.
template <class T> const T *parameter(const mytorch_array &x, int64_t n) {
    require(x.data == nullptr || count_of(x) == n, "weight and bias have one number per channel or column");
    return elements<T>(x);
}
template <class T> MYTORCH_INLINE T number(const T *parameter, int64_t i, T otherwise) { return parameter == nullptr ? otherwise : parameter[i]; }

// Sum of g and of g * (x - mean).
struct Against {
    double slope = 0.0;
    double product = 0.0;
};
template <class T, class... Sizes> MYTORCH_INLINE Against against(const T *g, const T *x, Number<T> mean, Sizes... sizes) {
    Against all;
    each_chunk([&](int64_t begin, const Piece &piece) {
        double sum[2];
        add_chunk<T, 2>(piece, sum, [&](Vec<T> slope, Vec<T> v) { return Terms<T, 2>{{slope, slope * (v - mean)}}; }, g + begin, x + begin);
        all.slope += sum[0];
        all.product += sum[1];
    }, sizes...);
    return all;
}

// y = (x - mean) * scale + shift
template <class T> MYTORCH_INLINE void normalise(int64_t n, T *y, const T *x, Number<T> mean, Number<T> scale, Number<T> shift, int64_t next = SOON) {
    map_toward(next, n, y, [&](Vec<T> v) { return (v - mean) * scale + shift; }, x);
}

// dx = (g - level - (x - mean) * tilt) * scale
template <class T> MYTORCH_INLINE void normalise_grad(int64_t n, T *dx, const T *g, const T *x, Number<T> mean, Number<T> level, Number<T> tilt,
                                                   Number<T> scale, int64_t next) {
    map_toward(next, n, dx, [&](Vec<T> slope, Vec<T> v) { return (slope - level - (v - mean) * tilt) * scale; }, g, x);
}

// ---- batch norm: (N, C, *), statistics of each channel -------------------------------------------------------------------------

struct Images {
    int64_t samples, channels, length, stride;

    explicit Images(const mytorch_array &x) {
        require(x.ndim >= 2, "expected (N, C, *)");
        samples = x.shape[0];
        channels = x.shape[1];
        length = 1;
        for (int i = 2; i < x.ndim; ++i) {
            length *= x.shape[i];
        }
        stride = channels * length;
    }
    double count() const { return static_cast<double>(samples) * static_cast<double>(length); }
    template <class T> int64_t bytes() const { return stride * static_cast<int64_t>(sizeof(T)); }  // from a sample to the next
};

// Channels without extent are columns. A vector of them is worked on at a time; the last one may hold fewer.
template <class T> struct Strip {
    int64_t rows, stride, lanes;

    template <class M> Vec<T> read(const M *x, int64_t r = 0) const { return lanes == WIDTH<T> ? load(x + r * stride) : load_some(x + r * stride, lanes); }
    template <class M> void write(M *y, Vec<T> v, int64_t row = 0) const {
        if (lanes == WIDTH<T>) {
            store(y + row * stride, v);
        } else {
            store_some(y + row * stride, v, lanes);
        }
    }
};

// The lanes f(i) as a vector.
template <class T, class Body> MYTORCH_INLINE Vec<T> lanes_of(const Body &f) {
    Vec<T> v{};
    for (int i = 0; i < WIDTH<T>; ++i) {
        v[i] = static_cast<Number<T>>(f(i));
    }
    return v;
}

// Mean and variance of the columns of a strip, as `moments_of_chunk` finds them.
template <class T> void moments_of_strip(const Strip<T> &strip, const T *x, Number<T> *mean, Number<T> *var) {
    constexpr int W = WIDTH<T>;
    const double share = 1.0 / static_cast<double>(strip.rows);
    double sum[1][W], distance[2][W];
    add_strip<T, 1>(strip.rows, sum, [&](int64_t row) { return Terms<T, 1>{{strip.read(x, row)}}; });
    const Vec<T> near = lanes_of<T>([&](int i) { return sum[0][i] * share; });
    add_strip<T, 2>(strip.rows, distance, [&](int64_t row) {
        const Vec<T> d = strip.read(x, row) - near;
        return Terms<T, 2>{{d, d * d}};
    });
    strip.write(mean, lanes_of<T>([&](int i) { return static_cast<double>(near[i]) + distance[0][i] * share; }));
    strip.write(var, lanes_of<T>([&](int i) {
        return greatest(distance[1][i] - distance[0][i] * (distance[0][i] * share), distance[1][i] * 0.0) * share;
    }));
}

// x, weight, bias, y, mean, var, eps; mean and var are written in training, else read. Beside bfloat16 parameters are float32.
template <class T> struct BatchNorm {
    using N = Number<T>;
    Images s;
    const T *x;
    const N *weight, *bias;
    T *y;
    N *mean, *var;
    double eps;

    explicit BatchNorm(const mytorch_argument *arguments) : s(arguments[0].array) {
        require(same_shape(arguments[0].array, arguments[3].array), "x and y have one shape");
        require(count_of(arguments[4].array) == s.channels && count_of(arguments[5].array) == s.channels, "mean and var have a number per channel");
        x = elements<T>(arguments[0].array);
        weight = parameter<N>(arguments[1].array, s.channels);
        bias = parameter<N>(arguments[2].array, s.channels);
        y = elements<T>(arguments[3].array);
        mean = elements<N>(arguments[4].array);
        var = elements<N>(arguments[5].array);
        eps = arguments[6].number;
    }

    void channel(int64_t c, bool training) const {
        if (training) {
            const Moments found = moments(x + c * s.length, s.samples, s.length, s.stride);
            mean[c] = static_cast<N>(found.mean);
            var[c] = static_cast<N>(found.variance());
        }
        const N scale = static_cast<N>(inverse_root(var[c], eps) * number(weight, c, N(1)));
        for (int64_t i = 0; i < s.samples; ++i) {
            const int64_t at = i * s.stride + c * s.length;
            normalise(s.length, y + at, x + at, mean[c], scale, number(bias, c, N(0)), s.bytes<T>());
        }
    }

    void columns(int64_t c, int64_t lanes, bool training) const {
        const Strip<T> strip{s.samples, s.channels, lanes};
        if (training) {
            moments_of_strip(strip, x + c, mean + c, var + c);
        }
        const Vec<T> middle = strip.read(mean + c);
        const Vec<T> scale = lanes_of<T>([&](int i) { return i < lanes ? inverse_root(var[c + i], eps) * number(weight, c + i, N(1)) : 0.0; });
        const Vec<T> shift = bias != nullptr ? strip.read(bias + c) : Vec<T>{};
        for (int64_t row = 0; row < s.samples; ++row) {
            strip.write(y + c, (strip.read(x + c, row) - middle) * scale + shift, row);
        }
    }
};

// body(channel) for all channels, or body(first, lanes) for strips of them where they have no extent. A task has GRAIN numbers or more.
template <class T, class Channel, class Columns> void each_channel(const Images &s, const Channel &channel, const Columns &columns) {
    const bool strips = s.length == 1;
    const int64_t wide = strips ? WIDTH<T> : 1, numbers = greatest<int64_t>(1, wide * s.samples * s.length);
    parallel_ranges(s.channels, wide * ((GRAIN + numbers - 1) / numbers), [&](int64_t begin, int64_t end) {
        for (int64_t c = begin; c < end; c += wide) {
            if (strips) {
                columns(c, least(wide, end - c));
            } else {
                channel(c);
            }
        }
    });
}

template <class T> int batch_norm_typed(const mytorch_argument *arguments, bool training) {
    const BatchNorm<T> norm(arguments);
    each_channel<T>(norm.s, [&](int64_t c) { norm.channel(c, training); }, [&](int64_t c, int64_t lanes) { norm.columns(c, lanes, training); });
    return 1;
}

// g, x, weight, mean, var, dx, dweight, dbias, training, eps
template <class T> struct BatchNormGrad {
    using N = Number<T>;
    Images s;
    const T *g, *x;
    const N *weight, *mean, *var;
    T *dx;
    N *dweight, *dbias;
    bool training;
    double eps;

    explicit BatchNormGrad(const mytorch_argument *arguments) : s(arguments[1].array) {
        const mytorch_array &like = arguments[1].array;
        require(same_shape(arguments[0].array, like) && same_shape(like, arguments[5].array), "g, x and dx have one shape");
        for (int i : {3, 4, 6, 7}) {
            require(count_of(arguments[i].array) == s.channels, "mean, var, dweight and dbias have a number per channel");
        }
        g = elements<T>(arguments[0].array);
        x = elements<T>(like);
        weight = parameter<N>(arguments[2].array, s.channels);
        mean = elements<N>(arguments[3].array);
        var = elements<N>(arguments[4].array);
        dx = elements<T>(arguments[5].array);
        dweight = elements<N>(arguments[6].array);
        dbias = elements<N>(arguments[7].array);
        training = arguments[8].integer != 0;
        eps = arguments[9].number;
    }

    // What each element of channel c needs: dx = (g - level - (x - mean) * tilt) * scale.
    struct Slope {
        N level, tilt, scale;
    };
    Slope slope(int64_t c, const Against &sums) const {
        const double rstd = inverse_root(var[c], eps), share = training ? 1.0 / s.count() : 0.0;
        dweight[c] = static_cast<N>(sums.product * rstd);
        dbias[c] = static_cast<N>(sums.slope);
        return {static_cast<N>(sums.slope * share), static_cast<N>(sums.product * rstd * rstd * share),
                static_cast<N>(rstd * number(weight, c, N(1)))};
    }

    void channel(int64_t c) const {
        const Slope of = slope(c, against(g + c * s.length, x + c * s.length, mean[c], s.samples, s.length, s.stride));
        for (int64_t i = 0; i < s.samples; ++i) {
            const int64_t at = i * s.stride + c * s.length;
            if (training) {
                normalise_grad(s.length, dx + at, g + at, x + at, mean[c], of.level, of.tilt, of.scale, s.bytes<T>());
            } else {
                map_toward(s.bytes<T>(), s.length, dx + at, [&](Vec<T> v) { return v * of.scale; }, g + at);
            }
        }
    }

    void columns(int64_t c, int64_t lanes) const {
        const Strip<T> strip{s.samples, s.channels, lanes};
        const Vec<T> middle = strip.read(mean + c);
        double sum[2][WIDTH<T>];
        add_strip<T, 2>(s.samples, sum, [&](int64_t row) {
            const Vec<T> v = strip.read(g + c, row);
            return Terms<T, 2>{{v, v * (strip.read(x + c, row) - middle)}};
        });
        Vec<T> level{}, tilt{}, scale{};
        for (int64_t i = 0; i < lanes; ++i) {
            const Slope of = slope(c + i, Against{sum[0][i], sum[1][i]});
            level[i] = of.level;
            tilt[i] = of.tilt;
            scale[i] = of.scale;
        }
        for (int64_t row = 0; row < s.samples; ++row) {
            const Vec<T> v = strip.read(g + c, row);
            strip.write(dx + c, training ? (v - level - (strip.read(x + c, row) - middle) * tilt) * scale : v * scale, row);
        }
    }
};

template <class T> int batch_norm_grad_typed(const mytorch_argument *arguments) {
    const BatchNormGrad<T> norm(arguments);
    each_channel<T>(norm.s, [&](int64_t c) { norm.channel(c); }, [&](int64_t c, int64_t lanes) { norm.columns(c, lanes); });
    return 1;
}

// ---- layer norm and root-mean-square norm: rows --------------------------------------------------------------------------------

constexpr int64_t MOST_ROWS = 64;  // whose products a task adds up in T

int64_t rows_of_task(int64_t width) { return least(MOST_ROWS, greatest<int64_t>(8, GRAIN / greatest<int64_t>(width, 1))); }

int64_t width_of(const mytorch_array &x, int64_t rows) {
    const int64_t count = count_of(x);
    require(rows > 0 ? count % rows == 0 : count == 0, "the rows fill x");
    return rows > 0 ? count / rows : 0;
}

// x, weight, bias, y, mean, var, eps; without mean and bias: x, weight, y, rstd, eps, where nothing is subtracted.
template <class T, bool CENTRED> int layer_norm_typed(const mytorch_argument *arguments) {
    const mytorch_argument *out = arguments + (CENTRED ? 3 : 2);
    const mytorch_array &given = arguments[0].array, &statistic = out[1].array;
    const int64_t rows = count_of(statistic), width = width_of(given, rows);
    require(same_shape(given, out[0].array) && (!CENTRED || count_of(out[2].array) == rows), "x and y have one shape, mean and var as well");
    const T *x = elements<T>(given), *weight = parameter<T>(arguments[1].array, width);
    const T *bias = CENTRED ? parameter<T>(arguments[2].array, width) : nullptr;
    T *y = elements<T>(out[0].array), *first = elements<T>(statistic), *var = CENTRED ? elements<T>(out[2].array) : nullptr;
    const double eps = out[CENTRED ? 3 : 2].number;
    parallel_ranges(rows, rows_of_task(width), [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row) {
            const T *from = x + row * width;
            T *to = y + row * width;
            T mean = T(0), scale;
            if (CENTRED) {
                const Moments found = moments(from, width);
                mean = first[row] = static_cast<T>(found.mean);
                var[row] = static_cast<T>(found.variance());
                scale = static_cast<T>(inverse_root(var[row], eps));
            } else {
                scale = first[row] = static_cast<T>(inverse_root(sum_of_squares(from, width) / static_cast<double>(width), eps));
            }
            if (weight != nullptr && bias != nullptr) {
                map(width, to, [&](Vec<T> v, Vec<T> w, Vec<T> b) { return (v - mean) * scale * w + b; }, from, weight, bias);
            } else if (weight != nullptr) {
                map(width, to, [&](Vec<T> v, Vec<T> w) { return (v - mean) * scale * w; }, from, weight);
            } else if (bias != nullptr) {
                map(width, to, [&](Vec<T> v, Vec<T> b) { return (v - mean) * scale + b; }, from, bias);
            } else {
                map(width, to, [&](Vec<T> v) { return (v - mean) * scale; }, from);
            }
        }
    });
    return 1;
}

// One row: dx = (g w - level - (x - mean) * tilt) * rstd, and its part of dweight and dbias.
template <class T, bool CENTRED>
MYTORCH_INLINE void row_grad(int64_t width, const T *g, const T *x, const T *weight, T mean, double rstd, T *dx, T *dweight, T *dbias) {
    double slope = 0.0, product = 0.0;
    each_chunk([&](int64_t begin, const Piece &piece) {
        double sum[2];
        if (weight != nullptr) {
            add_chunk<T, 2>(piece, sum, [&](Vec<T> a, Vec<T> v, Vec<T> w) { return Terms<T, 2>{{a * w, a * w * (v - mean)}}; },
                            g + begin, x + begin, weight + begin);
        } else {
            add_chunk<T, 2>(piece, sum, [&](Vec<T> a, Vec<T> v) { return Terms<T, 2>{{a, a * (v - mean)}}; }, g + begin, x + begin);
        }
        slope += sum[0];
        product += sum[1];
    }, width);
    const double share = 1.0 / static_cast<double>(width);
    const T level = CENTRED ? static_cast<T>(slope * share) : T(0);
    const T scale = static_cast<T>(rstd), tilt = static_cast<T>(product * rstd * rstd * share);
    constexpr int W = WIDTH<T>;
    const auto step = [&](int64_t i, const auto &read, const auto &write) {
        const Vec<T> slopes = read(g + i), distance = read(x + i) - mean;
        const Vec<T> weighted = weight != nullptr ? slopes * read(weight + i) : slopes;
        fetch<true>(dx + i);
        write(dx + i, (weighted - level - distance * tilt) * scale);
        write(dweight + i, read(dweight + i) + slopes * (distance * scale));
        if (CENTRED) {
            write(dbias + i, read(dbias + i) + slopes);
        }
    };
    int64_t i = 0;
    for (; i + W <= width; i += W) {
        step(i, [](const T *from) { return load(from); }, [](T *to, Vec<T> v) { store(to, v); });
    }
    if (i < width) {
        const int64_t left = width - i;
        step(i, [&](const T *from) { return load_some(from, left); }, [&](T *to, Vec<T> v) { store_some(to, v, left); });
    }
}

// g, x, weight, mean, var, dx, dweight, dbias, eps; without a mean: g, x, weight, rstd, dx, dweight.
template <class T, bool CENTRED> int layer_norm_grad_typed(const mytorch_argument *arguments) {
    const mytorch_argument *out = arguments + (CENTRED ? 5 : 4);
    const mytorch_array &given = arguments[1].array, &statistic = arguments[3].array;
    const int64_t rows = count_of(statistic), width = width_of(given, rows);
    require(same_shape(arguments[0].array, given) && same_shape(given, out[0].array), "g, x and dx have one shape");
    require(!CENTRED || count_of(arguments[4].array) == rows, "mean and var have a number per row");
    require(rows == 0 || (count_of(out[1].array) == width && (!CENTRED || count_of(out[2].array) == width)), "dweight and dbias have a number per column");
    const T *g = elements<T>(arguments[0].array), *x = elements<T>(given), *weight = parameter<T>(arguments[2].array, width);
    const T *first = elements<T>(statistic), *var = CENTRED ? elements<T>(arguments[4].array) : nullptr;
    T *dx = elements<T>(out[0].array);
    T *const sums[2] = {elements<T>(out[1].array), CENTRED ? elements<T>(out[2].array) : nullptr};
    const double eps = CENTRED ? out[3].number : 0.0;
    constexpr int SUMS = CENTRED ? 2 : 1;
    const int64_t share = rows_of_task(width), tasks = (rows + share - 1) / share;
    Scratch<T> partial(greatest<int64_t>(tasks * SUMS * width, 1));
    parallel(tasks, [&](int64_t task) {
        T *products = partial + task * SUMS * width;
        for (int64_t i = 0; i < SUMS * width; ++i) {
            products[i] = T(0);
        }
        for (int64_t row = task * share; row < least(rows, (task + 1) * share); ++row) {
            const double rstd = CENTRED ? inverse_root(var[row], eps) : static_cast<double>(first[row]);
            row_grad<T, CENTRED>(width, g + row * width, x + row * width, weight, CENTRED ? first[row] : T(0), rstd, dx + row * width,
                                 products, products + width);
        }
    });
    for (int s = 0; s < SUMS; ++s) {
        parallel_ranges(rows == 0 ? 0 : width, 256, [&](int64_t begin, int64_t end) {
            alignas(64) double total[256] = {};
            add_rows<T>(tasks, end - begin, partial + s * width + begin, SUMS * width, total);
            for (int64_t i = begin; i < end; ++i) {
                sums[s][i] = static_cast<T>(total[i - begin]);
            }
        });
    }
    return rows > 0;
}

// ---- group norm: (N, C, *), statistics of groups of channels of a sample -------------------------------------------------------

// x, weight, bias, y, mean, var, eps
template <class T> int group_norm_typed(const mytorch_argument *arguments) {
    const Images s(arguments[0].array);
    const int64_t parts = count_of(arguments[4].array), groups = s.samples > 0 ? parts / s.samples : 1;
    require(same_shape(arguments[0].array, arguments[3].array) && count_of(arguments[5].array) == parts, "x and y have one shape, mean and var as well");
    require(groups > 0 && parts == groups * s.samples && s.channels % groups == 0, "groups share the channels");
    const int64_t share = s.channels / groups;
    const T *x = elements<T>(arguments[0].array), *weight = parameter<T>(arguments[1].array, s.channels);
    const T *bias = parameter<T>(arguments[2].array, s.channels);
    T *y = elements<T>(arguments[3].array), *mean = elements<T>(arguments[4].array), *var = elements<T>(arguments[5].array);
    const double eps = arguments[6].number;
    parallel_ranges(parts, greatest<int64_t>(1, GRAIN / greatest<int64_t>(1, share * s.length)), [&](int64_t begin, int64_t end) {
        for (int64_t part = begin; part < end; ++part) {
            const int64_t from = part * share * s.length;
            const Moments found = moments(x + from, share * s.length);
            mean[part] = static_cast<T>(found.mean);
            var[part] = static_cast<T>(found.variance());
            const double rstd = inverse_root(var[part], eps);
            for (int64_t i = 0; i < share; ++i) {
                const int64_t channel = part % groups * share + i, at = from + i * s.length;
                normalise(s.length, y + at, x + at, mean[part], static_cast<T>(rstd * number(weight, channel, T(1))), number(bias, channel, T(0)));
            }
        }
    });
    return 1;
}

// g, x, weight, mean, var, dx, dweight, dbias, eps
template <class T> int group_norm_grad_typed(const mytorch_argument *arguments) {
    const Images s(arguments[1].array);
    const int64_t parts = count_of(arguments[3].array), groups = s.samples > 0 ? parts / s.samples : 1;
    require(same_shape(arguments[0].array, arguments[1].array) && same_shape(arguments[1].array, arguments[5].array), "g, x and dx have one shape");
    require(groups > 0 && parts == groups * s.samples && s.channels % groups == 0, "groups share the channels");
    require(count_of(arguments[4].array) == parts, "mean and var have a number per group");
    require(count_of(arguments[6].array) == s.channels && count_of(arguments[7].array) == s.channels, "dweight and dbias have a number per channel");
    const int64_t share = s.channels / groups;
    const T *g = elements<T>(arguments[0].array), *x = elements<T>(arguments[1].array), *weight = parameter<T>(arguments[2].array, s.channels);
    const T *mean = elements<T>(arguments[3].array), *var = elements<T>(arguments[4].array);
    T *dx = elements<T>(arguments[5].array), *dweight = elements<T>(arguments[6].array), *dbias = elements<T>(arguments[7].array);
    const double eps = arguments[8].number;
    Scratch<double> sums(greatest<int64_t>(1, 2 * s.samples * s.channels));  // of each plane: g * xhat, and g
    double *products = sums, *slopes = sums + s.samples * s.channels;
    parallel_ranges(parts, greatest<int64_t>(1, GRAIN / greatest<int64_t>(1, share * s.length)), [&](int64_t begin, int64_t end) {
        for (int64_t part = begin; part < end; ++part) {
            const double rstd = inverse_root(var[part], eps), count = static_cast<double>(share * s.length);
            const int64_t plane = part * share;
            double slope = 0.0, product = 0.0;
            for (int64_t i = 0; i < share; ++i) {
                const int64_t at = (plane + i) * s.length;
                const Against found = against(g + at, x + at, mean[part], s.length);
                const double w = number(weight, (plane + i) % s.channels, T(1));
                products[plane + i] = found.product * rstd;
                slopes[plane + i] = found.slope;
                slope += w * found.slope;
                product += w * found.product;
            }
            for (int64_t i = 0; i < share; ++i) {
                const int64_t at = (plane + i) * s.length;
                const double w = number(weight, (plane + i) % s.channels, T(1));
                const T level = static_cast<T>(slope / count), tilt = static_cast<T>(product * rstd * rstd / count);
                const T scale = static_cast<T>(rstd), factor = static_cast<T>(w), middle = mean[part];
                map(s.length, dx + at, [&](Vec<T> a, Vec<T> v) { return (a * factor - level - (v - middle) * tilt) * scale; }, g + at, x + at);
            }
        }
    });
    for (int64_t c = 0; c < s.channels; ++c) {
        double product = 0.0, slope = 0.0;
        for (int64_t i = 0; i < s.samples; ++i) {
            product += products[i * s.channels + c];
            slope += slopes[i * s.channels + c];
        }
        dweight[c] = static_cast<T>(product);
        dbias[c] = static_cast<T>(slope);
    }
    return 1;
}

// ---- which of them -------------------------------------------------------------------------------------------------------------

int batch_norm(const mytorch_argument *x) {
    return by_type(x[0].array, [&](auto *type) { return batch_norm_typed<std::remove_pointer_t<decltype(type)>>(x, true); });
}
int batch_norm_by(const mytorch_argument *x) {  // by given statistics: they come before y
    mytorch_argument sorted[7] = {x[0], x[1], x[2], x[5], x[3], x[4], x[6]};
    return by_type(x[0].array, [&](auto *type) { return batch_norm_typed<std::remove_pointer_t<decltype(type)>>(sorted, false); });
}
int batch_norm_grad(const mytorch_argument *x) {
    return by_type(x[0].array, [&](auto *type) { return batch_norm_grad_typed<std::remove_pointer_t<decltype(type)>>(x); });
}
template <bool CENTRED> int layer_norm(const mytorch_argument *x) {
    return holds<float>(x[0].array) ? layer_norm_typed<float, CENTRED>(x) : holds<double>(x[0].array) ? layer_norm_typed<double, CENTRED>(x) : 0;
}
template <bool CENTRED> int layer_norm_grad(const mytorch_argument *x) {
    return holds<float>(x[0].array) ? layer_norm_grad_typed<float, CENTRED>(x) : holds<double>(x[0].array) ? layer_norm_grad_typed<double, CENTRED>(x) : 0;
}
int group_norm(const mytorch_argument *x) {
    return holds<float>(x[0].array) ? group_norm_typed<float>(x) : holds<double>(x[0].array) ? group_norm_typed<double>(x) : 0;
}
int group_norm_grad(const mytorch_argument *x) {
    return holds<float>(x[0].array) ? group_norm_grad_typed<float>(x) : holds<double>(x[0].array) ? group_norm_grad_typed<double>(x) : 0;
}

}  // namespace

extern const mytorch_kernel norm_kernels[] = {
    {"batch_norm", "rRRwwwf", batch_norm},
    {"batch_norm_by", "rRRrrwf", batch_norm_by},
    {"batch_norm_grad", "rrRrrwwwif", batch_norm_grad},
    {"layer_norm", "rRRwwwf", layer_norm<true>},
    {"layer_norm_grad", "rrRrrwwwf", layer_norm_grad<true>},
    {"rms_norm", "rRwwf", layer_norm<false>},
    {"rms_norm_grad", "rrRrww", layer_norm_grad<false>},
    {"group_norm", "rRRwwwf", group_norm},
    {"group_norm_grad", "rrRrrwwwf", group_norm_grad},
    {nullptr, nullptr, nullptr},
};

}  // namespace MYTORCH_ISA
}  // namespace mytorch
