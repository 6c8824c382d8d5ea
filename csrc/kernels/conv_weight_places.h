// The gradient of a convolution's weight on AMX (tiles.h), for as many images as a step of the unit's depth: the depth runs over 32
// images at one place.
//
// dw[o, c, tap] = sum over outputs q of the product of x[c, place of (q, tap), images] and g[o, q, images]
//
// Every place of the image is then a tile of 16 channels, every output one of 16 output channels, and all taps read the same tiles,
// whatever the stride and the dilation. A row of a tile, the 32 numbers of one channel at one place, is followed by those of the next
// place, which is how they are packed. Each task packs some rows of outputs, and the rows of the image that they see, and multiplies them
// while they are in its cache; then it goes on to the next rows, for which it keeps what both see.
#ifndef MYTORCH_KERNELS_CONV_WEIGHT_PLACES_H
#define MYTORCH_KERNELS_CONV_WEIGHT_PLACES_H

#include "conv.h"
#include "tiles.h"

namespace mytorch {
namespace MYTORCH_ISA {

#if defined(__AMX_BF16__)

// What a block of the result is the sum over: lines of places, one address per line and factor, and distances in floats.
struct PlaceSteps {
    int64_t lines, width;
    const float *const *a, *const *b;
    int64_t a_place, a_tap, a_lane;  // of the image: from one place to the next, tap of a line to the next, row of a tile to the next
    int64_t b_lane, b_half;          // of g: from one row of a tile to the next, and from 16 output channels to the next
};

// DOWN taps x ACROSS halves of 16 output channels: tiles of c, one after the other, = the sums of products of a and b.
template <int DOWN, int ACROSS>
__attribute__((noinline)) void weights_of_places(const PlaceSteps &along, int64_t first_tap, float *c) {
    before_tiles();
    constexpr int64_t SIZE = sizeof(float);
    const int64_t a_lane = along.a_lane * SIZE, b_lane = along.b_lane * SIZE, a_tap = along.a_tap, b_half = along.b_half;
    // Numbers of tiles are part of the instruction: tap t and half s have number 2 t + s.
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(4);
    _tile_zero(5);
    const float *a = nullptr, *b = nullptr;
    const auto product = [&](int left, int right) {  // of two parts
        const float *const from = a + left * SIDE;
        _tile_loadd(7, b + right * SIDE, b_lane);
        _tile_loadd(6, from, a_lane);
        _tile_dpbf16ps(0, 6, 7);
        if constexpr (DOWN > 1) {
            _tile_loadd(6, from + a_tap, a_lane);
            _tile_dpbf16ps(2, 6, 7);
        }
        if constexpr (DOWN > 2) {
            _tile_loadd(6, from + 2 * a_tap, a_lane);
            _tile_dpbf16ps(4, 6, 7);
        }
        if constexpr (ACROSS > 1) {  // backwards, since the last tap is loaded
            _tile_loadd(7, b + b_half + right * SIDE, b_lane);
            if constexpr (DOWN > 2) {
                _tile_dpbf16ps(5, 6, 7);
                _tile_loadd(6, from + a_tap, a_lane);
            }
            if constexpr (DOWN > 1) {
                _tile_dpbf16ps(3, 6, 7);
                _tile_loadd(6, from, a_lane);
            }
            _tile_dpbf16ps(1, 6, 7);
        }
    };
    for (int64_t line = 0; line < along.lines; ++line) {
        a = along.a[line] + first_tap * a_tap;
        b = along.b[line];
        for (int64_t i = 0; i < along.width; ++i, a += along.a_place, b += 3 * SIDE) {
            product(0, 2);  // smaller ones first, as in products_of_step
            product(0, 1);
            product(1, 1);
            product(1, 0);
            product(2, 0);
            product(0, 0);
        }
    }
#define MYTORCH_PUT(NUMBER, TAP, HALF)                              \
    if constexpr (TAP < DOWN && HALF < ACROSS) {                    \
        _tile_stored(NUMBER, c + (TAP * ACROSS + HALF) * TILE, 64); \
    }
    MYTORCH_PUT(0, 0, 0)
    MYTORCH_PUT(1, 0, 1)
    MYTORCH_PUT(2, 1, 0)
    MYTORCH_PUT(3, 1, 1)
    MYTORCH_PUT(4, 2, 0)
    MYTORCH_PUT(5, 2, 1)
#undef MYTORCH_PUT
    before_tiles();
}

struct PlacesWeightGradient {
    Axes axes;
    int64_t images, groups, channels, rows;  // channels of the image and output channels of one group
    const float *g, *x;
    float *dw;

    static constexpr int64_t NUMBERS = 3 * SIDE;  // words of 32 images at a place, in three parts
    static constexpr int64_t TAPS = 3;            // at a time: with 32 output channels six tiles, two are left for the factors
    static constexpr int64_t CACHE = 1 << 20;     // bytes that a task multiplies at a time

    int64_t taps() const { return axes.taps(); }
    int64_t lots() const { return (images + STEP - 1) / STEP; }
    // The sums: tiles [of the rows][of the channels][tap].
    int64_t size() const { return tiles_of(rows) * tiles_of(channels) * taps() * TILE; }

    // Places of an axis are counted from the first one that an output sees, with the padding. How many some neighbouring outputs see:
    static int64_t places(const Axis &a, int64_t outputs) { return (outputs - 1) * a.step + (a.taps - 1) * a.delta + 1; }

    // Is it quicker than the vector units? In cycles of a core, measured: a product takes 22, packing a number 1.6, and the vector units do
    // 30 multiplications.
    bool worth() const {
        const int64_t products = 6 * tiles_of(rows) * tiles_of(channels) * taps();
        const int64_t packed = axes.outputs() * tiles_of(rows) + axes.image_size() * tiles_of(channels);
        return lots() * (axes.outputs() * products * 22 + packed * SIDE * STEP * 8 / 5) < images * axes.outputs() * rows * channels * taps() / 30;
    }

    // The places of the image that a task keeps: [channel][sheet][row][column][part], words of 32 images each. On the axis along which
    // outputs are cut there are as many as the largest part sees, and places that far apart take each other's room.
    struct Strip {
        int64_t kept[3], channel;
        int cut;

        Strip(const Axes &axes, int64_t parts) : cut(axes.long_axis()) {
            for (int i = 0; i < 3; ++i) {
                const Axis &a = axes.axis[i];
                kept[i] = places(a, i == cut ? (a.out + parts - 1) / parts : a.out);
            }
            channel = lane(kept[0] * kept[1] * kept[2]);
        }
        int64_t line(int64_t sheet, int64_t row) const { return (sheet % kept[0] * kept[1] + row % kept[1]) * kept[2] * NUMBERS; }
        // The first place of a line.
        int64_t column(const Axis &width) const { return cut == 2 ? width.begin * width.step : 0; }
    };
    // The length of a row of so many places; an odd number of cache lines, since addresses a power of two apart share a few places there.
    static int64_t lane(int64_t count) { return count * NUMBERS + (count % 2 == 0 ? SIDE : 0); }

    // False, with nothing of worth written, if the numbers do not suit the unit.
    bool run() const {
        const int64_t length = axes.axis[axes.long_axis()].out;
        const Strip whole(axes, 1);
        const int64_t bytes = (axes.outputs() * tiles_of(rows) * NUMBERS + whole.channel * tiles_of(channels)) * SIDE *
                              static_cast<int64_t>(sizeof(float));
        const int64_t parts = least(length, greatest(least((7 + lots()) / lots(), (length + 1) / 2), bytes / CACHE));
        const int64_t units = lots() * parts, few = least<int64_t>(8, greatest<int64_t>(1, (1 << 22) / (groups * size())));
        const int64_t chunks = least(units, few);
        const int64_t blocks = least(tiles_of(channels), (3 + chunks * groups) / (chunks * groups));  // of channels, where chunks are few
        const Strip strip(axes, parts);
        Scratch<float> sums(chunks * groups * size());
        std::atomic<bool> fine{true};
        const int64_t work = images * groups * axes.outputs() * channels * taps() * rows;
        each_task(work, chunks * groups * blocks, [&](int64_t index) {
            const int64_t block = index % blocks, group = index / blocks % groups, chunk = index / blocks / groups;
            const int64_t first = tiles_of(channels) * block / blocks, last = tiles_of(channels) * (block + 1) / blocks;
            float *const sum = sums + (chunk * groups + group) * size();
            for (int64_t row = 0; row < tiles_of(rows); ++row) {
                zero(sum + (row * tiles_of(channels) + first) * taps() * TILE, (last - first) * taps() * TILE);
            }
            Scratch<float> words((last - first) * SIDE * strip.channel);
            const int64_t begin = units * chunk / chunks;
            VecU largest = {};
            for (int64_t unit = begin; unit < units * (chunk + 1) / chunks && fine; ++unit) {
                const Axes part = axes.part(unit % parts, parts);
                const bool goes_on = unit > begin && unit % parts > 0;
                for (int64_t channel = first * SIDE; channel < least(last * SIDE, channels); ++channel) {
                    largest = pack_image(words + (channel - first * SIDE) * strip.channel, part, strip, group, channel, unit / parts * STEP,
                                         goes_on, largest);
                }
                if (!add(sum, part, strip, words, largest_of_bits(largest), group, first, last, unit / parts * STEP)) {
                    fine = false;
                }
            }
        });
        if (!fine) {
            return false;
        }
        each_task(chunks * groups * size(), groups * tiles_of(rows) * tiles_of(channels), [&](int64_t index) { finish(sums, chunks, index); });
        return true;
    }

    // Add a part of the 32 images from `image` on to the sums of the channels' tiles [first, last), from the words of the image. False if
    // the numbers do not suit the unit.
    bool add(float *sum, const Axes &part, const Strip &strip, const float *words, uint32_t of_image, int64_t group, int64_t first,
             int64_t last, int64_t image) const {
        const Axis &depth = part.axis[0], &height = part.axis[1], &width = part.axis[2];
        const int64_t slope_lane = lane(part.extent());
        Scratch<float> slope(tiles_of(rows) * SIDE * slope_lane);
        VecU largest = {};
        for (int64_t tile = 0; tile < tiles_of(rows); ++tile) {
            largest = pack_slope(slope + tile * SIDE * slope_lane, slope_lane, part, group, tile * SIDE, image, largest);
        }
        if (!fits(of_image, largest_of_bits(largest))) {
            return false;
        }
        const Amx unit;
        alignas(64) float block[TAPS * 2 * TILE];
        Scratch<const float *> lines(2 * depth.extent() * height.extent());
        const float **const a = lines, **const b = a + depth.extent() * height.extent();
        for (int64_t row = 0; row < tiles_of(rows); row += 2) {
            const int64_t across = least<int64_t>(2, tiles_of(rows) - row);
            for (int64_t tile = first; tile < last; ++tile) {
                const float *const from = words + (tile - first) * SIDE * strip.channel;
                for (int64_t line = 0; line < depth.taps * height.taps; ++line) {
                    PlaceSteps along = {0, width.extent(), a, b, width.step * NUMBERS, width.delta * NUMBERS, strip.channel, slope_lane,
                                        SIDE * slope_lane};
                    for (int64_t d = 0; d < depth.extent(); ++d) {
                        for (int64_t h = 0; h < height.extent(); ++h) {
                            const int64_t sheet = (depth.begin + d) * depth.step + line / height.taps * depth.delta;
                            const int64_t row_of_image = (height.begin + h) * height.step + line % height.taps * height.delta;
                            if (inside(depth, sheet) && inside(height, row_of_image)) {
                                a[along.lines] = from + strip.line(sheet, row_of_image);
                                b[along.lines++] = slope + row * SIDE * slope_lane + (d * height.extent() + h) * width.extent() * NUMBERS;
                            }
                        }
                    }
                    for (int64_t w = 0; w < width.taps && along.lines > 0; w += TAPS) {
                        const int64_t down = least(TAPS, width.taps - w);
                        multiply(down, across, along, w, block);
                        for (int64_t i = 0; i < down * across; ++i) {
                            const int64_t tap = line * width.taps + w + i / across;
                            float *const to = sum + (((row + i % across) * tiles_of(channels) + tile) * taps() + tap) * TILE;
                            map(TILE, to, [](VecF all, VecF more) { return all + more; }, to, block + i * TILE);
                        }
                    }
                }
            }
        }
        return true;
    }

    // Is a place no padding?
    static bool inside(const Axis &a, int64_t place) { return place + a.low >= 0 && place + a.low < a.size; }

    static void multiply(int64_t down, int64_t across, const PlaceSteps &along, int64_t tap, float *c) {
        const auto some = across == 1 ? (down == 1   ? weights_of_places<1, 1>
                                         : down == 2 ? weights_of_places<2, 1>
                                                     : weights_of_places<3, 1>)
                                      : (down == 1   ? weights_of_places<1, 2>
                                         : down == 2 ? weights_of_places<2, 2>
                                                     : weights_of_places<3, 2>);
        some(along, tap, c);
    }

    // 16 numbers of each of 16 rows, turned: whole ones without a question for each.
    static void load_turned(VecF *block, const float *from, int64_t step, int64_t count, int64_t length) {
        if (count >= SIDE && length >= SIDE) {
            load_block<true>(block, from, step, SIDE, SIDE);
        } else {
            load_block<true>(block, from, step, count, length);
        }
    }

    // The places of one channel that a part sees; those alone that the part before did not see, if it goes on from that one.
    VecU pack_image(float *to, const Axes &part, const Strip &strip, int64_t group, int64_t channel, int64_t image, bool goes_on,
                    VecU largest) const {
        const int64_t step = groups * channels * axes.image_size(), columns = part.axis[2].size;
        int64_t first[3], last[3];  // of each axis, in the image
        for (int i = 0; i < 3; ++i) {
            const Axis &a = part.axis[i];
            const int64_t begin = a.begin * a.step, seen = goes_on && i == strip.cut && i < 2 ? (a.taps - 1) * a.delta + 1 - a.step : 0;
            first[i] = least(greatest<int64_t>(begin + greatest<int64_t>(seen, 0) + a.low, 0), a.size);
            last[i] = least(greatest(begin + places(a, a.extent()) + a.low, first[i]), a.size);
        }
        const int64_t column = strip.column(part.axis[2]) + part.axis[2].low;  // of the image, where lines begin
        const int64_t left = least(greatest<int64_t>(first[2] - column, 0), strip.kept[2]);  // padding in front, and where it begins behind
        const int64_t right = least(greatest(last[2] - column, left), strip.kept[2]);
        const float *const from = x + ((image * groups + group) * channels + channel) * axes.image_size();
        for (int64_t d = first[0]; d < last[0]; ++d) {
            const auto line_of = [&](int64_t h) { return to + strip.line(d - part.axis[0].low, h - part.axis[1].low); };
            for (int64_t h = first[1]; h < last[1]; ++h) {
                zero(line_of(h), left * NUMBERS);
                zero(line_of(h) + right * NUMBERS, (strip.kept[2] - right) * NUMBERS);
            }
            const float *const sheet = from + d * part.axis[1].size * columns;
            int64_t h = first[1], w = 0;
            float *line = line_of(h);
            for (int64_t at = first[1] * columns, end = last[1] * columns; at < end; at += SIDE) {
                const int64_t count = least(SIDE, end - at);
                VecF block[2][SIDE];
                load_turned(block[0], sheet + at, step, images - image, count);
                load_turned(block[1], sheet + SIDE * step + at, step, images - image - SIDE, count);
                for (int64_t i = 0; i < count; ++i) {
                    if (w >= first[2] && w < last[2]) {
                        largest = split_words(block[0][i], block[1][i], line + (w - column) * NUMBERS, SIDE, largest);
                    }
                    if (++w == columns) {
                        w = 0;
                        line = line_of(++h);
                    }
                }
            }
        }
        return largest;
    }

    // The outputs of 16 output channels: [pair of images][output][part], words of 16 channels.
    VecU pack_slope(float *to, int64_t length, const Axes &part, int64_t group, int64_t row, int64_t image, VecU largest) const {
        const int64_t step = groups * rows * axes.outputs(), some = least(SIDE, rows - row), extent = part.extent();
        const float *const from = g + ((image * groups + group) * rows + row) * axes.outputs() + part.first_output();
        for (int64_t pair = 0; pair < SIDE; ++pair) {
            for (int64_t at = 0; at < extent; at += SIDE) {
                const int64_t count = least(SIDE, extent - at);
                VecF block[2][SIDE];
                load_turned(block[0], from + pair * step + at, axes.outputs(), image + pair < images ? some : 0, count);
                load_turned(block[1], from + (pair + SIDE) * step + at, axes.outputs(), image + pair + SIDE < images ? some : 0, count);
                for (int64_t i = 0; i < count; ++i) {
                    largest = split_words(block[0][i], block[1][i], to + pair * length + (at + i) * NUMBERS, SIDE, largest);
                }
            }
        }
        return largest;
    }

    // The sum over chunks of one tile of rows and channels to its places in dw.
    void finish(const float *sums, int64_t chunks, int64_t index) const {
        const int64_t tile = index % (tiles_of(rows) * tiles_of(channels)), group = index / (tiles_of(rows) * tiles_of(channels));
        const int64_t row = tile / tiles_of(channels) * SIDE, channel = tile % tiles_of(channels) * SIDE;
        const int64_t some = least(SIDE, rows - row);
        float *const to = dw + ((group * rows + row) * channels + channel) * taps();
        for (int64_t c = 0; c < least(SIDE, channels - channel); ++c) {
            for (int64_t tap = 0; tap < taps(); ++tap) {
                const float *const from = sums + group * size() + (tile * taps() + tap) * TILE + c * SIDE;
                VecF sum = load(from);
                for (int64_t chunk = 1; chunk < chunks; ++chunk) {
                    sum += load(from + chunk * groups * size());
                }
                for (int64_t r = 0; r < some; ++r) {
                    to[(r * channels + c) * taps() + tap] = sum[r];
                }
            }
        }
    }
};

#endif

}  // namespace MYTORCH_ISA
}  // namespace mytorch

#endif
