// Codes the symbols of one subband inside one range-coder stream.
#pragma once

#include "wave/bands.hpp"
#include "wave/predictor.hpp"

namespace narrows::wave {

// Steps of one band, one for each step offset -16..15 (quarter octaves) of a block map.
struct Quantizer {
    uint32_t step[32];   // in 1/256 of a coefficient unit
    uint64_t inverse[32];  // 2^40 / step, for the encoder
    int32_t dequantize(int32_t q, int offset) const {
        const uint64_t a = q < 0 ? 0u - static_cast<uint32_t>(q) : static_cast<uint32_t>(q);
        const uint64_t c = (a * step[offset + 16] + 128) >> 8;
        const int32_t wide = static_cast<int32_t>(c > 0x3FFFFFFF ? 0x3FFFFFFF : c);
        return q < 0 ? -wide : wide;
    }
};

// Tables of one chunk, adapting while it is coded.
struct ChunkTables {
    std::array<std::array<Table, kTables>, kNets> tables;
    std::array<std::array<Table, 3>, kMaxLevels + 1> exponents;
    std::array<std::array<Bit, 16>, kMaxLevels + 1> tops;
    explicit ChunkTables(const Model& model) : tables(model.tables) {
        for (auto& level : exponents)
            for (Table& t : level) t = uniform_table(16, 7);
    }
};

enum class Coding { lossy, lossless };

// One band as it is coded. `coefficients` (encoder only) [end - begin][width]: transform coefficients, or the
// integers themselves when lossless. `block_offsets` (may be null): the map of blocks.hpp.
struct BandTask {
    Surroundings where;
    Coding coding = Coding::lossy;
    bool predicted = false;      // LL: median edge prediction inside the band
    LowPass low;                 // lossless: where given, the band may be predicted from it
    const int32_t* coefficients = nullptr;
    int32_t* residuals = nullptr;  // where given, receives what is coded, for training
    const Quantizer* quantizer = nullptr;
    uint8_t step_feature = 0;
    uint32_t lambda = 0;         // in 1/4096 of squared step a bit
    int level_offset = 0;        // step offset of the whole band
    const int8_t* block_offsets = nullptr;  // [block rows][block columns]
    int block_columns = 0, block_rows = 0;
    int block_shift = 0;         // coefficients of a block side, log2; negative: several blocks a coefficient
};

void encode_band(const Model& model, ChunkTables& tables, RangeEncoder& out, const BandTask& task);
void decode_band(const Model& model, ChunkTables& tables, RangeDecoder& in, const BandTask& task);

inline int32_t median_edge(int32_t w, int32_t n, int32_t nw) {
    const int32_t low = std::min(w, n), high = std::max(w, n);
    if (nw >= high) return low;
    if (nw <= low) return high;
    return static_cast<int32_t>(static_cast<uint32_t>(w) + static_cast<uint32_t>(n) - static_cast<uint32_t>(nw));
}

// The step offset of coefficient (x, y): its level's and its block's.
inline int step_offset(const BandTask& t, int x, int y) {
    if (!t.block_offsets) return t.level_offset;
    int bx = t.block_shift >= 0 ? x >> t.block_shift : x << -t.block_shift;
    int by = t.block_shift >= 0 ? y >> t.block_shift : y << -t.block_shift;
    bx = std::min(bx, t.block_columns - 1);
    by = std::min(by, t.block_rows - 1);
    return std::min(t.level_offset + t.block_offsets[by * t.block_columns + bx], 15);
}

inline uint8_t local_feature(uint8_t feature, int offset) {
    const int f = feature + offset * 5 / 2;
    return static_cast<uint8_t>(std::clamp(f, 0, 127));
}

}  // namespace narrows::wave
