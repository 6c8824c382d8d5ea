// A correlation (conv.h) on AMX (tiles.h): rows of a tile of the left factor are output channels, its depth is 16 pairs of channels at
// one tap, and a tile of the right factor is read from the strip as it lies there.
//
// For that the strip holds pairs of channels, split in parts, in words: word[part][pair][place]. The outputs of a sheet are worked off
// as one long row, from one row of the strip into the next: what is computed behind the end of a row is not used. Where there are at
// most 16 channels, a tile covers two taps of the width: its lower half is a copy of the strip, moved by their distance.
#ifndef MYTORCH_KERNELS_CONV_TILES_H
#define MYTORCH_KERNELS_CONV_TILES_H

#include "conv_vectors.h"
#include "tiles.h"

namespace mytorch {
namespace MYTORCH_ISA {

#if defined(__AMX_BF16__)

// c (+)= a b over steps of the depth: a block of 2 x 2 tiles, or, where there are at most 16 rows, of 1 x 4. The words of a step begin
// at from + offset[step]; its 16 rows are `row` words apart, its parts `part` words.
template <bool narrow, int PARTS = 3>
__attribute__((noinline)) void correlate_block(int64_t steps, const float *a, const float *from, const int64_t *offset, int64_t row,
                                               int64_t part, float *c, int64_t c_step, Start start) {
    before_tiles();
    const int64_t line = c_step * static_cast<int64_t>(sizeof(float)), words = row * static_cast<int64_t>(sizeof(float));
    float *const second = narrow ? c + 2 * SIDE : c + SIDE * c_step;
    if (start == Start::keep) {
        _tile_loadd(0, c, line);
        _tile_loadd(1, c + SIDE, line);
        _tile_loadd(2, second, line);
        _tile_loadd(3, second + SIDE, line);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    for (int64_t step = 0; step < steps; ++step, a += PARTS * 2 * TILE) {
        const float *const b = from + offset[step];
        if constexpr (narrow && PARTS == 1) {
            _tile_loadd(4, a, 64);
            _tile_loadd(5, b, words);
            _tile_dpbf16ps(0, 4, 5);
            _tile_loadd(6, b + SIDE, words);
            _tile_dpbf16ps(1, 4, 6);
            _tile_loadd(7, b + 2 * SIDE, words);
            _tile_dpbf16ps(2, 4, 7);
            _tile_loadd(5, b + 3 * SIDE, words);
            _tile_dpbf16ps(3, 4, 5);
        } else if constexpr (narrow) {  // all parts of a, and one tile of b after the other
            _tile_loadd(4, a, 64);
            _tile_loadd(5, a + 2 * TILE, 64);
            _tile_loadd(6, a + 4 * TILE, 64);
            const auto third = [&] {
                _tile_loadd(7, b + 2 * part, words);
                _tile_dpbf16ps(0, 4, 7);
                _tile_loadd(7, b + 2 * part + SIDE, words);
                _tile_dpbf16ps(1, 4, 7);
                _tile_loadd(7, b + 2 * part + 2 * SIDE, words);
                _tile_dpbf16ps(2, 4, 7);
                _tile_loadd(7, b + 2 * part + 3 * SIDE, words);
                _tile_dpbf16ps(3, 4, 7);
            };
            const auto second_part = [&] {
                _tile_loadd(7, b + part, words);
                _tile_dpbf16ps(0, 4, 7);
                _tile_dpbf16ps(0, 5, 7);
                _tile_loadd(7, b + part + SIDE, words);
                _tile_dpbf16ps(1, 4, 7);
                _tile_dpbf16ps(1, 5, 7);
                _tile_loadd(7, b + part + 2 * SIDE, words);
                _tile_dpbf16ps(2, 4, 7);
                _tile_dpbf16ps(2, 5, 7);
                _tile_loadd(7, b + part + 3 * SIDE, words);
                _tile_dpbf16ps(3, 4, 7);
                _tile_dpbf16ps(3, 5, 7);
            };
            third();
            second_part();
            _tile_loadd(7, b, words);
            _tile_dpbf16ps(0, 5, 7);
            _tile_dpbf16ps(0, 6, 7);
            _tile_dpbf16ps(0, 4, 7);
            _tile_loadd(7, b + SIDE, words);
            _tile_dpbf16ps(1, 5, 7);
            _tile_dpbf16ps(1, 6, 7);
            _tile_dpbf16ps(1, 4, 7);
            _tile_loadd(7, b + 2 * SIDE, words);
            _tile_dpbf16ps(2, 5, 7);
            _tile_dpbf16ps(2, 6, 7);
            _tile_dpbf16ps(2, 4, 7);
            _tile_loadd(7, b + 3 * SIDE, words);
            _tile_dpbf16ps(3, 5, 7);
            _tile_dpbf16ps(3, 6, 7);
            _tile_dpbf16ps(3, 4, 7);
        } else {
            const auto left = [&](int64_t number) {
                _tile_loadd(4, a + number * 2 * TILE, 64);
                _tile_loadd(5, a + number * 2 * TILE + TILE, 64);
            };
            const auto right = [&](int64_t number) {
                _tile_loadd(6, b + number * part, words);
                _tile_loadd(7, b + number * part + SIDE, words);
            };
            const auto multiply = [] {
                _tile_dpbf16ps(0, 4, 6);
                _tile_dpbf16ps(1, 4, 7);
                _tile_dpbf16ps(2, 5, 6);
                _tile_dpbf16ps(3, 5, 7);
            };
            products_of_step<PARTS>(left, right, multiply);
        }
    }
    _tile_stored(0, c, line);
    _tile_stored(1, c + SIDE, line);
    _tile_stored(2, second, line);
    _tile_stored(3, second + SIDE, line);
}

// M: float, or bfloat16, which is one part.
template <class M> struct TileCorrelation : Correlation<M> {
    using Correlation<M>::axes, Correlation<M>::groups, Correlation<M>::channels, Correlation<M>::rows, Correlation<M>::x,
        Correlation<M>::bias, Correlation<M>::y, Correlation<M>::weight, Correlation<M>::group_step, Correlation<M>::row_step,
        Correlation<M>::channel_step, Correlation<M>::depth;
    static constexpr int PARTS = parts_of(static_cast<M *>(nullptr));
    static constexpr int64_t CHUNK = 64;                                          // channels at a time
    using Stored = std::conditional_t<PARTS == 1, uint16_t, float>;               // of the strip, where numbers are only moved
    uint32_t largest = 0;                                                         // of the weight's numbers, as bits

    bool narrow() const { return rows <= SIDE; }
    int64_t panel_rows() const { return narrow() ? SIDE : BLOCK; }
    int64_t panels() const { return (rows + panel_rows() - 1) / panel_rows(); }
    int64_t across() const { return narrow() ? 4 * SIDE : BLOCK; }  // places of a block
    // Taps of the width in one tile: two where the channels leave half of it free, and neighbours are one distance apart.
    int64_t joined() const { return channels <= SIDE && axes.axis[2].step == 1 && axes.axis[2].taps > 1 ? 2 : 1; }
    int64_t shift() const { return joined() == 2 ? axes.axis[2].delta : 0; }
    int64_t taps_across() const { return (axes.axis[2].taps + joined() - 1) / joined(); }
    int64_t tap_groups() const { return axes.axis[0].taps * axes.axis[1].taps * taps_across(); }
    int64_t steps() const { return tap_groups() * blocks_of(channels); }
    int64_t channels_at_once() const { return least(channels, CHUNK) * (2 + PARTS) / 2; }  // in floats per place: a number and its parts
    int64_t packed_size() const { return panels() * steps() * STEP_SIZE<M>; }
    int64_t sheet_size(const Axes &part, const Layout &layout) const { return round_up(part.axis[1].extent() * layout.row, across()); }

    // Is it quicker than on the vector units? In cycles of a core, measured: a multiplication takes 1/55 and the splitting of a number
    // 3, where the vector units need 1/25 for a multiplication. bfloat16 takes a sixth, and the vector units would have to widen it.
    bool worth() const {
        const Axes whole = axes.part(0, 1);
        const int64_t outputs = whole.axis[1].extent() * whole.axis[2].extent();
        const int64_t multiplications = steps() * STEP * panels() * panel_rows();
        const int64_t area = sheet_size(whole, Layout(whole));
        return PARTS == 3 ? (multiplications / 55 + 3 * channels) * area < depth() * rows * outputs / 25
                          : (multiplications / 330 + channels) * area < (depth() * rows / 25 + 4 * channels + 2 * rows) * outputs;
    }

    // For each group, panel and step: tiles of rows, as tiles.h has them.
    void pack_weight(float *to) {
        Scratch<uint32_t> found(groups * panels());
        each_task(groups * rows * depth() << 5, groups * panels(), [&](int64_t index) {
            const int64_t group = index / panels(), panel = index % panels();
            const M *from = weight + group * group_step + panel * panel_rows() * row_step;
            found[index] = pack_rows_of_weight(to + index * steps() * STEP_SIZE<M>, from, least(panel_rows(), rows - panel * panel_rows()));
        });
        for (int64_t i = 0; i < groups * panels(); ++i) {
            largest = greatest<uint32_t>(largest, found[i]);
        }
    }

    uint32_t pack_rows_of_weight(float *to, const M *from, int64_t height) const {
        const int64_t width_taps = axes.axis[2].taps;
        VecU most = {};
        for (int64_t chunk = 0; chunk < channels; chunk += CHUNK) {
            const int64_t some = least(CHUNK, channels - chunk);
            for (int64_t group = 0; group < tap_groups(); ++group) {
                const int64_t column = group % taps_across() * joined(), tap = group / taps_across() * width_taps + column;
                const int64_t first = axes.kernel_index(tap), second = column + 1 < width_taps ? axes.kernel_index(tap + 1) : 0;
                for (int64_t tile = 0; tile < blocks_of(some); ++tile, to += STEP_SIZE<M>) {
                    for (int64_t r = 0; r < panel_rows(); ++r) {
                        float pairs[2][SIDE] = {};
                        for (int64_t i = 0; i < BLOCK && r < height; ++i) {  // number i of the row: the pair's i % 2, of pair i / 2
                            const bool lower = joined() == 2 && i >= SIDE;
                            const int64_t channel = chunk + tile * BLOCK + (lower ? i - SIDE : i);
                            if (channel < channels && (!lower || column + 1 < width_taps)) {
                                pairs[i % 2][i / 2] = from[r * row_step + channel * channel_step + (lower ? second : first)];
                            }
                        }
                        most = split_pair<PARTS>(load(pairs[0]), load(pairs[1]), to + r / SIDE * TILE + r % SIDE * SIDE, most);
                    }
                }
            }
        }
        return largest_of_bits(most);
    }

    // Two numbers into a word of each part, `step` words apart.
    static VecU split_apart(VecF x, VecF y, float *to, int64_t step, VecU most) {
        if constexpr (PARTS == 3) {
            return split_words(x, y, to, step, most);
        } else {
            return split_pair<1>(x, y, to, most);
        }
    }

    // The words of one image's strip for `some` channels from `from` on. Places outside the image, which are zero already, stay so.
    // Returns the bits of the largest number.
    uint32_t fill_words(float *words, const M *from, const Axes &part, const Layout &layout, int64_t some, int64_t row, int64_t step) const {
        const int64_t image_size = axes.image_size(), line = axes.axis[2].size, plane = axes.axis[1].size * line;
        const Axis &depth = part.axis[0], &height = part.axis[1], &width = part.axis[2];
        const auto first = [](const Axis &axis) { return axis.first_inside(axis.phase_begin(0)); };
        const auto end = [](const Axis &axis) { return axis.end_inside(axis.phase_begin(0)); };
        const int64_t left = first(width), count = end(width) - left;
        VecU most = {};
        for (int64_t channel = 0; channel < some; channel += 2) {
            const M *const image = from + channel * image_size + width.phase_begin(0) + left;
            const int64_t second = channel + 1 < some ? image_size : 0;
            for (int64_t z = first(depth); z < end(depth); ++z) {
                for (int64_t u = first(height); u < end(height); ++u) {
                    const M *const source = image + (depth.phase_begin(0) + z) * plane + (height.phase_begin(0) + u) * line;
                    float *const to = words + channel / 2 * row + z * layout.sheet + u * layout.row + left;
                    for (int64_t w = 0; w < count; w += SIDE) {  // the last vector ends in zeros, where the next row begins
                        const VecF x = load_numbers(source + w, count - w);
                        const VecF y = second == 0 ? VecF{} : load_numbers(source + second + w, count - w);
                        most = split_apart(x, y, to + w, step, most);
                    }
                }
            }
        }
        return largest_of_bits(most);
    }

    // The same where the places of an axis are not neighbours in the image: from a strip of numbers.
    uint32_t fill_words_by_strip(float *words, const M *from, Stored *strip, const Axes &part, const Layout &layout, int64_t some, int64_t row,
                                 int64_t step) const {
        fill_strip<Stored>(strip, reinterpret_cast<const Stored *>(from), some, part, layout);
        VecU most = {};
        for (int64_t channel = 0; channel < some; channel += 2) {
            const M *const first = reinterpret_cast<const M *>(strip) + channel * layout.channel;
            for (int64_t place = 0; place < layout.channel; place += SIDE) {
                const int64_t count = layout.channel - place;
                const VecF x = load_numbers(first + place, count);
                const VecF y = channel + 1 < some ? load_numbers(first + layout.channel + place, count) : VecF{};
                most = split_apart(x, y, words + channel / 2 * row + place, step, most);
            }
        }
        return largest_of_bits(most);
    }

    // The lower half of a tile for the next tap of the width.
    void copy_for_next_tap(float *words, int64_t some, int64_t row, int64_t step) const {
        for (int64_t i = 0; i < PARTS; ++i) {
            for (int64_t pair = 0; pair < (some + 1) / 2; ++pair) {
                float *const from = words + i * step + pair * row;
                std::memcpy(from + SIDE / 2 * row, from + shift(), static_cast<size_t>(row - shift()) * sizeof(float));
            }
        }
    }

    // The outputs of one part of `count` images.
    void product(const float *a, Axes part, int64_t group, int64_t first, int64_t count) const {
        if (part.extent() == 0) {
            return;
        }
        const Layout layout(part);
        const int64_t image_size = axes.image_size(), sheets = part.axis[0].extent(), sheet = sheet_size(part, layout);
        const int64_t once = least(channels, CHUNK), planes = blocks_of(once) * SIDE;
        const int64_t row = round_up(layout.channel + shift() + SIDE, SIDE) | SIDE;  // an odd number of cache lines
        const int64_t words_of_part = planes * row, all_words = PARTS * words_of_part + sheet + 2 * across();
        const int64_t c_step = sheets * sheet + SIDE;
        const int64_t height = part.axis[1].extent();
        const float *const added = bias == nullptr ? nullptr : bias + group * rows;
        const bool by_strip = axes.axis[0].step * axes.axis[1].step * axes.axis[2].step > 1;
        Scratch<Stored> strip(by_strip ? once * layout.channel : 1);
        Scratch<float> words(all_words);
        const int64_t kept = channels > once ? count : 1;  // images whose sums wait for the next channels, so that a weight is read once
        const int64_t block_size = panels() * panel_rows() * c_step;
        Scratch<float> blocks(kept * block_size);
        Scratch<int64_t> offset(tap_groups() * blocks_of(once));
        Scratch<bool> given_up(count);  // to the vector units
        zero<Stored>(strip, by_strip ? once * layout.channel : 0);
        zero<float>(words, all_words);
        for (int64_t i = 0; i < count; ++i) {
            given_up[i] = false;
        }
        int64_t done = 0;  // steps
        for (int64_t channel = 0; channel < channels; channel += once) {
            const int64_t some = least(once, channels - channel), tiles = blocks_of(some), steps_now = tap_groups() * tiles;
            for (int64_t step = 0; step < steps_now; ++step) {
                const int64_t taps_before = step / tiles;
                const int64_t tap = taps_before / taps_across() * axes.axis[2].taps + taps_before % taps_across() * joined();
                offset[step] = layout.of_tap(part, tap, false) + step % tiles * SIDE * row;
            }
            for (int64_t i = 0; i < count; ++i) {
                if (given_up[i]) {
                    continue;
                }
                const M *const from = x + (((first + i) * groups + group) * channels + channel) * image_size;
                const uint32_t most = by_strip ? fill_words_by_strip(words, from, strip, part, layout, some, row, words_of_part)
                                               : fill_words(words, from, part, layout, some, row, words_of_part);
                if constexpr (PARTS == 3) {
                    if (!fits(most, largest)) {
                        on_vectors(part, group, first + i);
                        given_up[i] = true;
                        continue;
                    }
                }
                if (joined() == 2) {
                    copy_for_next_tap(words, some, row, words_of_part);
                }
                M *const to = y + ((first + i) * groups + group) * rows * axes.result_size();
                float *const block = blocks + i % kept * block_size;
                const Amx unit;
                const auto correlate = narrow() ? correlate_block<true, PARTS> : correlate_block<false, PARTS>;
                for (int64_t d = 0; d < sheets; ++d) {
                    int64_t line = 0;
                    for (int64_t place = 0; place < sheet; place += across()) {
                        for (int64_t panel = 0; panel < panels(); ++panel) {
                            correlate(steps_now, a + (panel * steps() + done) * STEP_SIZE<M>, words + d * layout.sheet + place, offset, row,
                                      words_of_part, block + panel * panel_rows() * c_step + d * sheet + place, c_step,
                                      channel == 0 ? Start::zero : Start::keep);
                        }
                        // Lines that are complete, while the unit works on the next block.
                        for (; channel + some == channels && line < height && (line + 1) * layout.row <= place + across(); ++line) {
                            for (int64_t r = 0; r < rows; ++r) {
                                this->put_line(to, block, {c_step, sheet, layout.row}, part, d, line, r, added);
                            }
                        }
                    }
                }
            }
            done += steps_now;
        }
    }

    void on_vectors(const Axes &part, int64_t group, int64_t image) const {
        const VectorCorrelation<M> same{*this};
        Scratch<float> packed(groups * same.packed_size());
        same.pack_weight(packed);
        same.product(packed + group * same.packed_size(), part, group, image, 1);
    }
};

#endif

}  // namespace MYTORCH_ISA
}  // namespace mytorch

#endif
