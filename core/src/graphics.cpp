#include "narrows/graphics.hpp"

#include <memory>

#include "graphics_model.hpp"

namespace narrows {
namespace {

using graphics::Color;

// First byte of a payload: stored samples, or coded with these choices.
constexpr uint8_t kStored = 0;
constexpr uint8_t kCoded = 1;
constexpr uint8_t kPalette = 2;
constexpr uint8_t kRepeats = 4;
constexpr size_t kMaxColors = 256;

bool sound(const GraphicsShape& shape, size_t num_samples, uint32_t max_depth) {
    constexpr uint32_t kMaxSize = 1u << 20;
    return shape.width >= 1 && shape.width <= kMaxSize && shape.height >= 1 && shape.height <= kMaxSize &&
           shape.channels >= 1 && shape.channels <= 4 && shape.bit_depth >= 1 && shape.bit_depth <= max_depth &&
           uint64_t{shape.width} * shape.height * shape.channels == num_samples;
}

// Channels by weight in sorting and coding: green, the closest to luminance, first.
constexpr uint8_t kChannelOrder[4][4] = {{0}, {0, 1}, {1, 0, 2}, {1, 0, 2, 3}};

template <class Sample>
void pack(const Sample* samples, uint32_t width, uint32_t channels, Color* colors) {
    for (uint32_t x = 0; x < width; ++x) {
        Color color = 0;
        for (uint32_t c = 0; c < channels; ++c) color |= Color{samples[x * channels + c]} << (16 * c);
        colors[x] = color;
    }
}
template <class Sample>
void unpack(const Color* colors, uint32_t width, uint32_t channels, Sample* samples) {
    for (uint32_t x = 0; x < width; ++x)
        for (uint32_t c = 0; c < channels; ++c)
            samples[x * channels + c] = static_cast<Sample>(graphics::channel_of(colors[x], c));
}

// Up to kMaxColors colors with their numbers: a hash table that says when there are more.
class Palette {
   public:
    Palette() { slots_.fill(kEmpty); }
    // False if the palette is full; then nothing is added.
    bool add(Color color) {
        const size_t i = place(color);
        if (slots_[i] != kEmpty) return true;
        if (colors_.size() == kMaxColors) return false;
        slots_[i] = static_cast<uint16_t>(colors_.size());
        colors_.push_back(color);
        return true;
    }
    uint32_t number(Color color) const noexcept { return slots_[place(color)]; }
    const std::vector<Color>& colors() const noexcept { return colors_; }
    // Renumbers by the channels in `order`.
    void sort(uint32_t channels) {
        const auto key = [&](Color color) {
            uint64_t k = 0;
            for (uint32_t c = 0; c < channels; ++c)
                k = k << 16 | graphics::channel_of(color, kChannelOrder[channels - 1][c]);
            return k;
        };
        std::sort(colors_.begin(), colors_.end(), [&](Color a, Color b) { return key(a) < key(b); });
        slots_.fill(kEmpty);
        for (size_t i = 0; i < colors_.size(); ++i) slots_[place(colors_[i])] = static_cast<uint16_t>(i);
    }

   private:
    static constexpr uint16_t kEmpty = 0xFFFF;
    size_t place(Color color) const noexcept {
        size_t i = static_cast<size_t>(color * 0x9E3779B97F4A7C15u >> 54);
        while (slots_[i] != kEmpty && colors_[slots_[i]] != color) i = (i + 1) & 1023;
        return i;
    }
    std::array<uint16_t, 1024> slots_;
    std::vector<Color> colors_;
};

// What a look at all pixels tells.
struct Survey {
    uint64_t num_pixels = 0;
    uint64_t num_repeats = 0;  // equal to the pixel to the left or above
    bool few_colors = true;
    Palette palette;
};

template <class Sample>
void survey(std::span<const Sample> pixels, const GraphicsShape& shape, Survey& result) {
    std::vector<Color> rows(size_t{shape.width} * 2);
    Color* above = rows.data();
    Color* now = above + shape.width;
    for (uint32_t y = 0; y < shape.height; ++y) {
        pack(&pixels[size_t{y} * shape.width * shape.channels], shape.width, shape.channels, now);
        uint64_t repeats = 0;
        for (uint32_t x = 0; x < shape.width; ++x) {
            const bool same = (x > 0 && now[x] == now[x - 1]) || (y > 0 && now[x] == above[x]);
            repeats += same;
            if (!same && result.few_colors) result.few_colors = result.palette.add(now[x]);
        }
        result.num_repeats += repeats;
        std::swap(above, now);
    }
    result.num_pixels = uint64_t{shape.width} * shape.height;
}

// Whether indices say more than samples: always for few colors of several channels, else if most values are unused.
bool worth_palette(const Survey& survey, const GraphicsShape& shape) {
    return survey.few_colors &&
           (shape.channels > 1 || survey.palette.colors().size() <= (size_t{1} << shape.bit_depth) / 4 ||
            shape.bit_depth <= 4);
}

template <class Coder>
void code_palette(Coder& coder, std::vector<Color>& colors, const GraphicsShape& shape) {
    graphics::NumberCoder numbers;
    const int peak = (1 << shape.bit_depth) - 1;
    colors.resize(numbers.code(coder, static_cast<uint32_t>(colors.size() - 1), 0, 8) + 1u);
    Color before = 0;
    for (Color& color : colors) {
        Color result = 0;
        int first_step = 0;
        for (uint32_t i = 0; i < shape.channels; ++i) {
            const uint32_t c = kChannelOrder[shape.channels - 1][i];
            const int guess = static_cast<int>(graphics::channel_of(before, c)) + first_step;
            const int step = static_cast<int>(graphics::channel_of(color, c)) - guess;
            const uint32_t folded = step < 0 ? static_cast<uint32_t>(-step) * 2 - 1 : static_cast<uint32_t>(step) * 2;
            const uint32_t coded = numbers.code(coder, folded, 1 + i, 18);
            const int value =
                (guess + (coded & 1 ? -static_cast<int>((coded + 1) / 2) : static_cast<int>(coded / 2))) & peak;
            if (i == 0 && shape.channels >= 3) first_step = value - static_cast<int>(graphics::channel_of(before, c));
            result |= Color{static_cast<uint32_t>(value)} << (16 * c);
        }
        color = before = result;
    }
}

graphics::Profile profile_of(uint8_t mode, const GraphicsShape& shape, size_t num_colors) {
    const bool palette = mode & kPalette;
    return {palette ? 1 : shape.channels,
            palette ? static_cast<uint32_t>(std::bit_width(num_colors - 1)) : shape.bit_depth, palette,
            (mode & kRepeats) != 0};
}

// The payload in one mode, or nothing if its coded part would not stay below `budget` bytes.
template <class Sample>
std::vector<uint8_t> encode_as(std::span<const Sample> pixels, const GraphicsShape& shape, uint8_t mode,
                               const Survey& seen, size_t budget) {
    graphics::BitWriter writer;
    std::vector<Color> colors = seen.palette.colors();
    if (mode & kPalette) code_palette(writer, colors, shape);
    const auto coder = std::make_unique<graphics::PixelCoder<graphics::BitWriter>>(
        writer, profile_of(mode, shape, colors.size()), shape.width, seen.num_pixels);
    std::vector<Color> row(shape.width);
    for (uint32_t y = 0; y < shape.height; ++y) {
        pack(&pixels[size_t{y} * shape.width * shape.channels], shape.width, shape.channels, row.data());
        if (mode & kPalette)
            for (Color& color : row) color = seen.palette.number(color);
        coder->row(row.data());
        if (writer.encoder.bytes_so_far() >= budget) return {};
    }
    std::vector<uint8_t> payload = writer.encoder.finish();
    if (payload.size() >= budget) return {};
    payload.insert(payload.begin(), mode);
    return payload;
}

// Whether to guess whole pixels first: where most repeat it pays, among photographs it does not, and in between
// the middle rows are tried both ways.
template <class Sample>
bool repeats_pay(std::span<const Sample> pixels, const GraphicsShape& shape, uint8_t mode, const Survey& seen) {
    // Of two colors "not this one" says all: guesses would only cost time.
    if ((mode & kPalette) && seen.palette.colors().size() <= 2) return false;
    const uint64_t share = seen.num_repeats * 16 / seen.num_pixels;
    if (share < 4 || share >= 15) return share >= 15;
    GraphicsShape middle = shape;
    middle.height = std::min(shape.height, std::max(shape.height / 8, 32u));
    const size_t row_samples = size_t{shape.width} * shape.channels;
    const auto rows = pixels.subspan((shape.height - middle.height) / 2 * row_samples, middle.height * row_samples);
    const size_t without = encode_as(rows, middle, mode, seen, SIZE_MAX).size();
    return !encode_as(rows, middle, mode | kRepeats, seen, without).empty();
}

template <class Sample>
Status encode(std::span<const Sample> pixels, const GraphicsShape& shape, std::vector<uint8_t>& payload) {
    if (!sound(shape, pixels.size(), 8 * sizeof(Sample))) return Status::bad_argument;
    for (const Sample s : pixels)
        if (s >> shape.bit_depth) return Status::bad_argument;
    const auto seen = std::make_unique<Survey>();
    survey(pixels, shape, *seen);
    uint8_t mode = kCoded;
    if (worth_palette(*seen, shape)) {
        mode |= kPalette;
        seen->palette.sort(shape.channels);
    }
    if (repeats_pay(pixels, shape, mode, *seen)) mode |= kRepeats;
    payload = encode_as(pixels, shape, mode, *seen, pixels.size_bytes());
    if (!payload.empty()) return Status::ok;
    payload.push_back(kStored);
    for (const Sample s : pixels)
        for (size_t i = 0; i < sizeof(Sample); ++i) payload.push_back(static_cast<uint8_t>(s >> (8 * i)));
    return Status::ok;
}

template <class Sample>
Status decode(std::span<const uint8_t> payload, const GraphicsShape& shape, std::span<Sample> pixels) {
    if (!sound(shape, pixels.size(), 8 * sizeof(Sample))) return Status::bad_argument;
    if (payload.empty()) return Status::truncated;
    const uint8_t mode = payload[0];
    payload = payload.subspan(1);
    if (mode == kStored) {
        if (payload.size() != pixels.size_bytes())
            return payload.size() < pixels.size_bytes() ? Status::truncated : Status::corrupt;
        for (size_t i = 0; i < pixels.size(); ++i) {
            uint32_t s = 0;
            for (size_t j = 0; j < sizeof(Sample); ++j) s |= uint32_t{payload[i * sizeof(Sample) + j]} << (8 * j);
            if (s >> shape.bit_depth) return Status::corrupt;
            pixels[i] = static_cast<Sample>(s);
        }
        return Status::ok;
    }
    if (!(mode & kCoded) || mode > (kCoded | kPalette | kRepeats) || payload.size() >= pixels.size_bytes())
        return Status::corrupt;

    graphics::BitReader reader(payload);
    std::vector<Color> colors(1);
    if (mode & kPalette) code_palette(reader, colors, shape);
    const auto coder = std::make_unique<graphics::PixelCoder<graphics::BitReader>>(
        reader, profile_of(mode, shape, colors.size()), shape.width, uint64_t{shape.width} * shape.height);
    std::vector<Color> row(shape.width);
    for (uint32_t y = 0; y < shape.height; ++y) {
        coder->row(row.data());
        if (reader.decoder.padded() > 4) return Status::truncated;
        if (mode & kPalette) {
            for (Color& color : row) {
                if (color >= colors.size()) return Status::corrupt;
                color = colors[static_cast<size_t>(color)];
            }
        }
        unpack(row.data(), shape.width, shape.channels, &pixels[size_t{y} * shape.width * shape.channels]);
    }
    return reader.decoder.finished() ? Status::ok : Status::corrupt;
}

template <class Sample>
uint32_t score(std::span<const Sample> pixels, const GraphicsShape& shape) {
    if (!sound(shape, pixels.size(), 8 * sizeof(Sample))) return 0;
    const auto seen = std::make_unique<Survey>();
    survey(pixels, shape, *seen);
    if (worth_palette(*seen, shape)) return 1024;
    return static_cast<uint32_t>(seen->num_repeats * 1024 / seen->num_pixels);
}

}  // namespace

Status graphics_encode(std::span<const uint8_t> pixels, const GraphicsShape& shape, std::vector<uint8_t>& payload) {
    return encode(pixels, shape, payload);
}
Status graphics_encode(std::span<const uint16_t> pixels, const GraphicsShape& shape, std::vector<uint8_t>& payload) {
    return encode(pixels, shape, payload);
}
Status graphics_decode(std::span<const uint8_t> payload, const GraphicsShape& shape, std::span<uint8_t> pixels) {
    return decode(payload, shape, pixels);
}
Status graphics_decode(std::span<const uint8_t> payload, const GraphicsShape& shape, std::span<uint16_t> pixels) {
    return decode(payload, shape, pixels);
}
uint32_t graphics_score(std::span<const uint8_t> pixels, const GraphicsShape& shape) { return score(pixels, shape); }
uint32_t graphics_score(std::span<const uint16_t> pixels, const GraphicsShape& shape) { return score(pixels, shape); }

}  // namespace narrows
