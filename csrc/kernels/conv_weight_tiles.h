// The gradient of a convolution's weight in bfloat16 on AMX (tiles.h): rows of a tile of the left factor are output channels, its depth
// is 32 neighbouring outputs, and a tile of the right factor has 16 channels of the image as columns.
//
// The unit wants pairs of outputs: so the strip (conv.h) is turned into words of two neighbouring places, channels within pairs, twice:
// with pairs that begin at even places, and at odd ones. A tile of any tap is then 16 rows of words that follow each other. g is copied
// with rows as long as the strip's; what it lacks is zero. Zero times Inf would be NaN: an image that has such numbers is declined.
#ifndef MYTORCH_KERNELS_CONV_WEIGHT_TILES_H
#define MYTORCH_KERNELS_CONV_WEIGHT_TILES_H

#include "conv.h"
#include "tiles.h"

namespace mytorch {
namespace MYTORCH_ISA {

#if defined(__AMX_BF16__)

// N tiles of c, one after the other, (+)= a times the tiles at b[0 .. N): over `steps` steps of 32 outputs of `count` images.
struct WeightSteps {
    int64_t count, steps, a_line, a_image, b_image;  // distances: of a in numbers of bfloat16, of b in words
};
template <int N>
__attribute__((noinline)) void weights_of_tiles(const WeightSteps &along, const uint16_t *a, const float *const *b, float *c, Start start) {
    before_tiles();
    const int64_t line = along.a_line * static_cast<int64_t>(sizeof(uint16_t));
    // Numbers of tiles are part of the instruction, so every one is spelled out.
#define MYTORCH_EACH_TILE(DO) \
    DO(0)                     \
    if constexpr (N > 1) {    \
        DO(1)                 \
    }                         \
    if constexpr (N > 2) {    \
        DO(2)                 \
    }                         \
    if constexpr (N > 3) {    \
        DO(3)                 \
    }                         \
    if constexpr (N > 4) {    \
        DO(4)                 \
    }                         \
    if constexpr (N > 5) {    \
        DO(5)                 \
    }
#define MYTORCH_BEGIN(I) _tile_loadd(I, c + (I)*TILE, 64);
#define MYTORCH_ZERO(I) _tile_zero(I);
#define MYTORCH_STEP(I)                  \
    _tile_loadd(7, b[I] + at, 64);       \
    _tile_dpbf16ps(I, 6, 7);
#define MYTORCH_END(I) _tile_stored(I, c + (I)*TILE, 64);
    if (start == Start::keep) {
        MYTORCH_EACH_TILE(MYTORCH_BEGIN)
    } else {
        MYTORCH_EACH_TILE(MYTORCH_ZERO)
    }
    for (int64_t image = 0; image < along.count; ++image) {
        for (int64_t step = 0; step < along.steps; ++step) {
            const int64_t at = image * along.b_image + step * TILE;
            _tile_loadd(6, a + image * along.a_image + step * STEP, line);
            MYTORCH_EACH_TILE(MYTORCH_STEP)
        }
    }
    MYTORCH_EACH_TILE(MYTORCH_END)
#undef MYTORCH_EACH_TILE
#undef MYTORCH_BEGIN
#undef MYTORCH_ZERO
#undef MYTORCH_STEP
#undef MYTORCH_END
}

struct TileWeightGradient {
    Axes axes;
    int64_t images, groups, channels, rows;  // channels of the image and output channels of one group
    const bfloat16 *g, *x;
    bfloat16 *dw;

    static constexpr int64_t MOST = 6;  // tiles of the result at a time: two registers are left for the factors

    int64_t taps() const { return axes.taps(); }
    // The sums: tiles [of the rows][of the channels][tap].
    int64_t size() const { return tiles_of(rows) * tiles_of(channels) * taps() * TILE; }

    // Is it quicker than on the vector units, which would have to widen? In cycles of a core, measured: a tile takes 16, a step of
    // packing 300 for 16 channels and 40 for 16 rows, and the vector units do 25 multiplications.
    bool worth() const {
        const Axes whole = axes.part(0, 1);
        const int64_t steps = (whole.axis[1].extent() * Layout(whole).row + STEP - 1) / STEP * whole.axis[0].extent();
        const int64_t tiles = tiles_of(rows) * tiles_of(channels) * taps();
        return steps * (tiles * 16 + tiles_of(channels) * 300 + tiles_of(rows) * 40) <
               axes.outputs() * (rows * channels * taps() / 25 + 2 * channels + 2 * rows);
    }

    // False, with nothing written, if the image has infinities or NaN.
    bool run() const {
        const int64_t bytes = channels * 10 + rows * 2;
        const Cut cut(axes, images, channels * taps() * rows, bytes);
        const int64_t units = (images + cut.together - 1) / cut.together * cut.parts;
        const int64_t few = least<int64_t>(size() > 1 << 14 ? 8 : 16, greatest<int64_t>(1, (1 << 22) / (groups * size())));
        const int64_t chunks = least(units, few);
        const int64_t blocks = least(tiles_of(channels), (7 + chunks * groups) / (chunks * groups));  // of channels, where chunks are few
        Scratch<float> sums(chunks * groups * size());
        std::atomic<bool> finite{true};
        each_task(images * groups * axes.outputs() * channels * taps() * rows, chunks * groups * blocks, [&](int64_t index) {
            const int64_t block = index % blocks, group = index / blocks % groups, chunk = index / blocks / groups;
            const int64_t first = tiles_of(channels) * block / blocks, last = tiles_of(channels) * (block + 1) / blocks;
            for (int64_t unit = units * chunk / chunks, end = units * (chunk + 1) / chunks, begin = unit; unit < end; ++unit) {
                const int64_t image = unit / cut.parts * cut.together;
                if (!add(sums + (chunk * groups + group) * size(), axes.part(unit % cut.parts, cut.parts), group, first, last, image,
                         least(cut.together, images - image), unit == begin ? Start::zero : Start::keep)) {
                    finite = false;
                }
            }
        });
        if (!finite) {
            return false;
        }
        each_task(chunks * groups * size(), groups * tiles_of(rows) * tiles_of(channels), [&](int64_t index) { finish(sums, chunks, index); });
        return true;
    }

    // Add a part of `count` images from `image` on to the sums of the channels' tiles [first, last).
    bool add(float *sum, const Axes &part, int64_t group, int64_t first, int64_t last, int64_t image, int64_t count, Start start) const {
        const Layout layout(part);
        const int64_t sheets = part.axis[0].extent(), image_size = axes.image_size(), some = least(channels - first * SIDE, (last - first) * SIDE);
        const int64_t steps = (part.axis[1].extent() * layout.row + STEP - 1) / STEP;
        const int64_t pairs = round_up((layout.channel + layout.row) / 2 + STEP, SIDE);  // of a channel, and what the last step reads behind them
        const int64_t line = count * sheets * steps * STEP + STEP;  // of g: no power of two
        const int64_t strip_size = (last - first) * SIDE * layout.channel + 2 * pairs + STEP;
        Scratch<uint16_t> strip(strip_size), slope(tiles_of(rows) * SIDE * line);
        Scratch<float> words(count * 2 * (last - first) * pairs * SIDE);
        zero<uint16_t>(strip, strip_size);
        zero<uint16_t>(slope, tiles_of(rows) * SIDE * line);
        for (int64_t i = 0; i < count; ++i) {
            const bfloat16 *const from = x + (((image + i) * groups + group) * channels + first * SIDE) * image_size;
            fill_strip<uint16_t>(strip, reinterpret_cast<const uint16_t *>(from), some, part, layout);
            if (!is_finite(strip, strip_size)) {
                return false;
            }
            for (int64_t parity = 0; parity < 2; ++parity) {
                for (int64_t tile = 0; tile < last - first; ++tile) {
                    pack_words(words + ((i * 2 + parity) * (last - first) + tile) * pairs * SIDE, strip + tile * SIDE * layout.channel + parity,
                               layout.channel, pairs);
                }
            }
            copy_slope(slope + i * sheets * steps * STEP, line, steps * STEP, part, layout.row, group, image + i);
        }
        const int64_t tiles = taps() * (last - first), of_parity = (last - first) * pairs * SIDE;
        const Amx unit;
        for (int64_t d = 0; d < sheets; ++d) {
            for (int64_t row = 0; row < tiles_of(rows); ++row) {
                float *const to = sum + (row * tiles_of(channels) + first) * taps() * TILE;
                for (int64_t begin = 0; begin < tiles; begin += MOST) {
                    const float *b[MOST];
                    const int64_t now = least(MOST, tiles - begin);
                    for (int64_t i = 0; i < now; ++i) {
                        const int64_t place = d * layout.sheet + layout.of_tap(part, (begin + i) % taps(), false);
                        b[i] = words + place % 2 * of_parity + (begin + i) / taps() * pairs * SIDE + place / 2 * SIDE;
                    }
                    multiply(now, {count, steps, line, sheets * steps * STEP, 2 * of_parity}, slope + row * SIDE * line + d * steps * STEP, b,
                             to + begin * TILE, d > 0 ? Start::keep : start);
                }
            }
        }
        return true;
    }

    static void multiply(int64_t tiles, const WeightSteps &along, const uint16_t *a, const float *const *b, float *c, Start start) {
        const auto some = tiles == 1 ? weights_of_tiles<1> : tiles == 2 ? weights_of_tiles<2> : tiles == 3 ? weights_of_tiles<3>
                        : tiles == 4 ? weights_of_tiles<4> : tiles == 5 ? weights_of_tiles<5> : weights_of_tiles<6>;
        some(along, a, b, c, start);
    }

    static bool is_finite(const uint16_t *from, int64_t n) {
        typedef uint16_t Bits __attribute__((vector_size(REGISTER_BYTES)));
        Bits largest = {};
        for (int64_t i = 0; i + STEP <= n; i += STEP) {  // what is left is none of the image's
            Bits bits;
            std::memcpy(&bits, from + i, sizeof(bits));
            bits &= 0x7fff;
            largest = bits > largest ? bits : largest;
        }
        uint16_t most = 0;
        for (int64_t i = 0; i < STEP; ++i) {
            most = greatest<uint16_t>(most, largest[i]);
        }
        return most < 0x7f80;
    }

    // to[pair][channel]: places 2 * pair and the next of 16 channels that are `step` apart.
    static void pack_words(float *to, const uint16_t *from, int64_t step, int64_t pairs) {
        for (int64_t pair = 0; pair < pairs; pair += SIDE) {
            VecF block[SIDE];
            for (int64_t i = 0; i < SIDE; ++i) {
                std::memcpy(&block[i], from + i * step + 2 * pair, sizeof(VecF));
            }
            transpose_block<float>(block);
            for (int64_t i = 0; i < SIDE; ++i) {
                store(to + (pair + i) * SIDE, block[i]);
            }
        }
    }

    // g of one image's part, each row of a sheet as long as the strip's.
    void copy_slope(uint16_t *to, int64_t line, int64_t sheet, const Axes &part, int64_t row, int64_t group, int64_t image) const {
        const Axis &height = part.axis[1], &width = part.axis[2];
        const uint16_t *const from = reinterpret_cast<const uint16_t *>(g) + (image * groups + group) * rows * axes.outputs() + part.first_output();
        for (int64_t r = 0; r < rows; ++r) {
            for (int64_t d = 0; d < part.axis[0].extent(); ++d) {
                for (int64_t h = 0; h < height.extent(); ++h) {
                    copy(to + r * line + d * sheet + h * row, from + r * axes.outputs() + (d * height.out + h) * width.out, width.extent());
                }
            }
        }
    }

    // The sum over chunks of one tile of rows and channels, rounded, to its places in dw.
    void finish(const float *sums, int64_t chunks, int64_t index) const {
        const int64_t tile = index % (tiles_of(rows) * tiles_of(channels)), group = index / (tiles_of(rows) * tiles_of(channels));
        const int64_t row = tile / tiles_of(channels) * SIDE, channel = tile % tiles_of(channels) * SIDE;
        bfloat16 *const to = dw + ((group * rows + row) * channels + channel) * taps();
        for (int64_t tap = 0; tap < taps(); ++tap) {
            for (int64_t r = 0; r < least(SIDE, rows - row); ++r) {
                const float *const from = sums + group * size() + (tile * taps() + tap) * TILE + r * SIDE;
                VecF sum = load(from);
                for (int64_t chunk = 1; chunk < chunks; ++chunk) {
                    sum += load(from + chunk * groups * size());
                }
                bfloat16 some[SIDE];
                store(some, sum);
                for (int64_t c = 0; c < least(SIDE, channels - channel); ++c) {
                    to[(r * channels + c) * taps() + tap] = some[c];
                }
            }
        }
    }
};

#endif

}  // namespace MYTORCH_ISA
}  // namespace mytorch

#endif
