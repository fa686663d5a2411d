#include "wave/coder.hpp"

#include <bit>
#include <optional>

namespace narrows::wave {
namespace {

constexpr int kTile = 64;

int channel(int net) { return net / 4; }
int orientation(int net) { return net % 4; }

// ---- magnitudes as tokens -----------------------------------------------------------------------------------
// Lossy: 0..15 are tokens, 16 escapes. Lossless residuals are larger: 0..7 are tokens, then two tokens an octave
// up to 127 whose low bits follow, 16 escapes.

struct Token {
    uint32_t token, low, low_bits, beyond;
};

template <Coding coding>
Token split(uint32_t a) {
    if constexpr (coding == Coding::lossy) {
        return a < 16 ? Token{a, 0, 0, 0} : Token{16, 0, 0, a - 16};
    } else {
        if (a < 8) return {a, 0, 0, 0};
        if (a >= 128) return {16, 0, 0, a - 128};
        const uint32_t octave = static_cast<uint32_t>(std::bit_width(a)) - 1;
        return {8 + (octave - 3) * 2 + ((a >> (octave - 1)) & 1), a & ((1u << (octave - 1)) - 1), octave - 1, 0};
    }
}

void put_beyond(RangeEncoder& out, ChunkTables& t, int level, int channel, uint32_t beyond) {
    const uint64_t v = static_cast<uint64_t>(beyond) + 1;
    const uint32_t exponent = static_cast<uint32_t>(std::bit_width(v)) - 1;
    Table& table = t.exponents[static_cast<size_t>(level)][static_cast<size_t>(channel)];
    const uint32_t token = std::min(exponent, 16u);
    table.encode(out, token);
    if (token == 16) out.encode_raw(exponent - 16, 5);
    if (exponent == 0) return;
    Bit& top = t.tops[static_cast<size_t>(level)][std::min(exponent, 15u)];
    const uint32_t bit = static_cast<uint32_t>(v >> (exponent - 1)) & 1;
    top.encode(out, bit);
    if (exponent > 1) out.encode_raw(static_cast<uint32_t>(v & ((uint64_t{1} << (exponent - 1)) - 1)), exponent - 1);
}

uint32_t get_beyond(RangeDecoder& in, ChunkTables& t, int level, int channel) {
    Table& table = t.exponents[static_cast<size_t>(level)][static_cast<size_t>(channel)];
    const uint32_t token = table.decode(in);
    uint32_t exponent = token;
    if (token == 16) exponent = std::min(16 + in.decode_raw(5), 32u);
    if (exponent == 0) return 0;
    Bit& top = t.tops[static_cast<size_t>(level)][std::min(exponent, 15u)];
    const uint32_t bit = top.decode(in);
    uint64_t v = 2 | bit;
    if (exponent > 1) v = (v << (exponent - 1)) | in.decode_raw(exponent - 1);
    return static_cast<uint32_t>(v - 1);
}

void put_weights(RangeEncoder& out, ChunkTables& t, const Weights& w) {
    out.encode_raw(w.num_taps != 0, 1);
    for (int k = 0; k < w.num_taps; ++k) {
        const uint32_t a = static_cast<uint32_t>(w.tap[k] < 0 ? -w.tap[k] : w.tap[k]);
        put_beyond(out, t, 0, 0, a);
        if (a) out.encode_raw(w.tap[k] < 0, 1);
    }
}

Weights get_weights(RangeDecoder& in, ChunkTables& t, int num_taps) {
    Weights w;
    if (!in.decode_raw(1)) return w;
    w.num_taps = num_taps;
    for (int k = 0; k < num_taps; ++k) {
        const uint32_t a = std::min(get_beyond(in, t, 0, 0), 1u << 20);
        w.tap[k] = a && in.decode_raw(1) ? -static_cast<int32_t>(a) : static_cast<int32_t>(a);
    }
    return w;
}

template <Coding coding>
void put_residual(RangeEncoder& out, ChunkTables& t, Table& table, const BandTask& task, int32_t r) {
    const uint32_t a = r < 0 ? 0u - static_cast<uint32_t>(r) : static_cast<uint32_t>(r);
    const Token s = split<coding>(a);
    table.encode(out, s.token);
    if (s.token == 16) put_beyond(out, t, task.where.level, channel(task.where.net), s.beyond);
    if (coding == Coding::lossless && s.low_bits) {
        Bit& top = t.tops[0][s.token & 15];
        const uint32_t bit = s.low >> (s.low_bits - 1);
        top.encode(out, bit);
        if (s.low_bits > 1) out.encode_raw(s.low & ((1u << (s.low_bits - 1)) - 1), s.low_bits - 1);
    }
    if (a) out.encode_raw(r < 0, 1);
}

template <Coding coding>
int32_t get_residual(RangeDecoder& in, ChunkTables& t, Table& table, const BandTask& task) {
    const uint32_t token = table.decode(in);
    uint32_t a = token;
    if (token == 16) {
        a = (coding == Coding::lossy ? 16 : 128) + get_beyond(in, t, task.where.level, channel(task.where.net));
    } else if (coding == Coding::lossless && token >= 8) {
        const uint32_t octave = 3 + (token - 8) / 2;
        Bit& top = t.tops[0][token & 15];
        uint32_t bits = top.decode(in);
        if (octave > 2) bits = (bits << (octave - 2)) | in.decode_raw(octave - 2);
        a = (1u << octave) | ((token & 1) << (octave - 1)) | bits;
    }
    if (a == 0) return 0;
    return in.decode_raw(1) ? static_cast<int32_t>(0u - a) : static_cast<int32_t>(a);
}

// ---- choice of the quantized value ----------------------------------------------------------------------------

uint32_t token_cost(const Table& table, uint32_t a) {
    const uint32_t token = std::min(a, 16u);
    uint32_t c = table.cost(token);
    if (a) c += 256;
    if (token == 16) c += 512 * static_cast<uint32_t>(std::bit_width(a - 15) - 1) + 256;
    return c;
}

// Rate-distortion optimal among ceil, floor and 0 of |t| (in 1/256 step), given what each costs now.
int32_t choose(const Table& table, int64_t t, uint32_t lambda) {
    const uint64_t size = static_cast<uint64_t>(t < 0 ? -t : t);
    if (size < 72) return 0;
    const uint64_t low = size >> 8;
    if (low > 0x3FFFFFFF) return t < 0 ? -0x3FFFFFFF : 0x3FFFFFFF;
    const auto total = [&](uint64_t a) {
        const int64_t d = static_cast<int64_t>(size) - static_cast<int64_t>(a << 8);
        return static_cast<uint64_t>(d * d) * 16 + static_cast<uint64_t>(lambda) * token_cost(table, static_cast<uint32_t>(a));
    };
    uint64_t best = low + 1, least = total(low + 1);
    if (const uint64_t c = total(low); c <= least) best = low, least = c;
    if (low > 0 && low <= 3 && total(0) <= least) best = 0;
    return t < 0 ? -static_cast<int32_t>(best) : static_cast<int32_t>(best);
}

// ---- the walk ---------------------------------------------------------------------------------------------------

// `code(table, x, y, prediction, offset)` gives the residual of each position in raster order.
template <class Code>
void walk(const Model& model, ChunkTables& tables, const BandTask& task, const Weights& weights, Code&& code) {
    const Surroundings& s = task.where;
    Band& self = *s.self;
    const int width = self.width;
    if (width == 0 || s.begin >= s.end) return;
    const size_t net_index = static_cast<size_t>(s.net);
    const Net& net = model.nets[net_index];
    auto& bank = tables.tables[net_index];
    const Kernels& k = kernels(current_isa());
    const int32_t* bias = net.b1[std::clamp(s.level, 1, kMaxLevels) - 1];

    Inputs inputs(width);
    std::vector<uint8_t> features(inputs.stride() + 64, task.step_feature);
    std::vector<int8_t> offsets(static_cast<size_t>(width), 0);
    alignas(64) int32_t acc[kTile * kHidden1];
    int16_t quiet[128];  // the table of an all-zero neighborhood, by step feature
    std::fill(std::begin(quiet), std::end(quiet), int16_t{-1});

    std::optional<Prediction> linear;
    std::vector<int32_t> sums;
    if (weights.num_taps) {
        linear.emplace(s, task.low, orientation(s.net));
        sums.resize(static_cast<size_t>(width));
    }

    for (int y = s.begin; y < s.end; ++y) {
        if (linear) {
            linear->begin_row(y);
            linear->sum_row(weights, sums.data());
        }
        if (task.block_offsets || (task.level_offset && y == s.begin))
            for (int x = 0; x < width; ++x) {
                const int o = step_offset(task, x, y);
                offsets[static_cast<size_t>(x)] = static_cast<int8_t>(o);
                features[static_cast<size_t>(x)] = local_feature(task.step_feature, o);
            }
        inputs.build(s, y, features.data());
        int32_t* q = self.row(y);
        const int32_t* above = y > s.begin ? self.row(y - 1) : nullptr;
        uint8_t* m = self.magnitudes(y);
        uint32_t left = 0;
        for (int tile = 0; tile < width; tile += kTile) {
            const int count = std::min(kTile, width - tile);
            k.first_layer(inputs.groups() + tile, inputs.stride(), static_cast<size_t>(count), net, bias, acc);
            for (int i = 0; i < count; ++i) {
                const int x = tile + i;
                int t;
                if (inputs.any()[x] | left) {
                    t = k.table(acc + i * kHidden1, left, net);
                } else {
                    int16_t& cached = quiet[features[static_cast<size_t>(x)]];
                    if (cached < 0) cached = static_cast<int16_t>(k.table(acc + i * kHidden1, 0, net));
                    t = cached;
                }
                int32_t prediction = 0;
                if (task.predicted) {
                    const int32_t w = x ? q[x - 1] : above ? above[0] : 0;
                    const int32_t n = above ? above[x] : w;
                    const int32_t nw = above ? (x ? above[x - 1] : n) : w;
                    prediction = median_edge(w, n, nw);
                } else if (linear) {
                    prediction = predict(sums[static_cast<size_t>(x)], weights, x > 0 ? q[x - 1] : 0, x > 1 ? q[x - 2] : 0);
                }
                const int32_t r = code(bank[static_cast<size_t>(t)], x, y, prediction, offsets[static_cast<size_t>(x)]);
                q[x] = static_cast<int32_t>(static_cast<uint32_t>(prediction) + static_cast<uint32_t>(r));
                m[x] = magnitude(r);
                if (task.residuals) task.residuals[static_cast<size_t>(y - s.begin) * static_cast<size_t>(width) + static_cast<size_t>(x)] = r;
                left = left << 8 | m[x];
            }
        }
    }
}

}  // namespace

void encode_band(const Model& model, ChunkTables& tables, RangeEncoder& out, const BandTask& task) {
    const size_t width = static_cast<size_t>(task.where.self->width);
    const auto at = [&](int x, int y) {
        return task.coefficients[static_cast<size_t>(y - task.where.begin) * width + static_cast<size_t>(x)];
    };
    if (task.coding == Coding::lossless) {
        Weights weights;
        if (task.low.data) {
            weights = fit(task.where, task.low, orientation(task.where.net), task.coefficients);
            put_weights(out, tables, weights);
        }
        walk(model, tables, task, weights, [&](Table& table, int x, int y, int32_t prediction, int) {
            const int32_t r = static_cast<int32_t>(static_cast<uint32_t>(at(x, y)) - static_cast<uint32_t>(prediction));
            put_residual<Coding::lossless>(out, tables, table, task, r);
            return r;
        });
    } else {
        walk(model, tables, task, {}, [&](Table& table, int x, int y, int32_t prediction, int offset) {
            const int32_t c = at(x, y);
            const uint64_t size = c < 0 ? 0u - static_cast<uint32_t>(c) : static_cast<uint32_t>(c);
            const int64_t scaled = static_cast<int64_t>((size * task.quantizer->inverse[offset + 16]) >> 24);
            const int64_t t = (c < 0 ? -scaled : scaled) - (static_cast<int64_t>(prediction) << 8);
            const int32_t r = choose(table, t, task.lambda);
            put_residual<Coding::lossy>(out, tables, table, task, r);
            return r;
        });
    }
}

void decode_band(const Model& model, ChunkTables& tables, RangeDecoder& in, const BandTask& task) {
    if (task.coding == Coding::lossless) {
        Weights weights;
        if (task.low.data) weights = get_weights(in, tables, num_taps(task.where));
        walk(model, tables, task, weights, [&](Table& table, int, int, int32_t, int) {
            return get_residual<Coding::lossless>(in, tables, table, task);
        });
    } else {
        walk(model, tables, task, {}, [&](Table& table, int, int, int32_t, int) {
            return get_residual<Coding::lossy>(in, tables, table, task);
        });
    }
}

}  // namespace narrows::wave
