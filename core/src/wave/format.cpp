#include "wave/format.hpp"

namespace narrows {

using namespace wave;

namespace {

// Tables come as costs in 1/16 bit; 2^15 x 2^(-i/16), rounded.
constexpr uint16_t kExp2[16] = {32768, 31379, 30048, 28774, 27554, 26386, 25268, 24196,
                                23170, 22188, 21247, 20347, 19484, 18658, 17867, 17109};
// A first table weighs as much as this many symbols, and settles at steps of 2^-9. Tuned on validation pictures.
constexpr uint32_t kTableWeight = 100, kTableShift = 9;

Status start_table(std::span<const uint8_t> costs, Table& table) {
    std::array<uint16_t, kTokens> frequencies;
    int32_t sum = 0;
    size_t largest = 0;
    for (size_t i = 0; i < kTokens; ++i) {
        frequencies[i] = static_cast<uint16_t>(std::max(1, kExp2[costs[i] & 15] >> (costs[i] >> 4)));
        sum += frequencies[i];
        if (frequencies[i] > frequencies[largest]) largest = i;
    }
    // What rounding left over goes to the likeliest token.
    const int32_t rest = frequencies[largest] + (32768 - sum);
    if (rest < 1) return Status::bad_argument;
    frequencies[largest] = static_cast<uint16_t>(rest);
    return table.start(frequencies, kTableWeight, kTableShift);
}

}  // namespace

Status WaveModel::load(const WaveWeights& lossy, const WaveWeights& lossless, std::shared_ptr<const WaveModel>& out) {
    auto sets = std::make_shared<Sets>();
    const auto fill = [](const WaveWeights& w, Model& model) {
        constexpr size_t inputs = kStaticInputs + 4;
        if (w.w1.size() != kNets * kHidden1 * inputs || w.w2.size() != kNets * kHidden2 * kHidden1 ||
            w.w3.size() != kNets * 2 * kHidden2 || w.b1.size() != kNets * kMaxLevels * kHidden1 ||
            w.b2.size() != kNets * kHidden2 || w.b3.size() != kNets * 2 || w.m1.size() != kNets * kHidden1 ||
            w.m2.size() != kNets * kHidden2 || w.m3.size() != kNets * 2 || w.costs.size() != kNets * kTables * kTokens)
            return Status::bad_argument;
        for (size_t n = 0; n < kNets; ++n) {
            Net& net = model.nets[n];
            for (size_t o = 0; o < kHidden1; ++o)
                for (size_t i = 0; i < inputs; ++i) net.w1[i / 4][o][i % 4] = w.w1[(n * kHidden1 + o) * inputs + i];
            for (size_t o = 0; o < kHidden2; ++o)
                for (size_t i = 0; i < kHidden1; ++i) net.w2[i / 4][o][i % 4] = w.w2[(n * kHidden2 + o) * kHidden1 + i];
            for (size_t o = 0; o < 2; ++o)
                for (size_t i = 0; i < kHidden2; ++i) net.w3[o][i] = w.w3[(n * 2 + o) * kHidden2 + i];
            for (size_t l = 0; l < kMaxLevels; ++l)
                for (size_t o = 0; o < kHidden1; ++o) net.b1[l][o] = w.b1[(n * kMaxLevels + l) * kHidden1 + o];
            for (size_t o = 0; o < kHidden2; ++o) net.b2[o] = w.b2[n * kHidden2 + o], net.m2[o] = w.m2[n * kHidden2 + o];
            for (size_t o = 0; o < 2; ++o) net.b3[o] = w.b3[n * 2 + o], net.m3[o] = w.m3[n * 2 + o];
            for (size_t o = 0; o < kHidden1; ++o) net.m1[o] = w.m1[n * kHidden1 + o];
            if (!valid(net)) return Status::bad_argument;
            for (size_t t = 0; t < kTables; ++t) {
                const auto costs = w.costs.subspan((n * kTables + t) * kTokens, kTokens);
                if (start_table(costs, model.tables[n][t]) != Status::ok) return Status::bad_argument;
            }
        }
        return Status::ok;
    };
    if (Status s = fill(lossy, sets->lossy); s != Status::ok) return s;
    if (Status s = fill(lossless, sets->lossless); s != Status::ok) return s;
    auto model = std::make_shared<WaveModel>();
    model->sets = std::move(sets);
    out = std::move(model);
    return Status::ok;
}

namespace wave {

std::vector<uint8_t> Params::serialize(size_t colors) const {
    std::vector<uint8_t> out;
    out.push_back(lossless ? 1 : 0);
    out.push_back(static_cast<uint8_t>(levels));
    if (lossless) {
        out.push_back(static_cast<uint8_t>(transform));
        return out;
    }
    out.push_back(static_cast<uint8_t>((block_map ? 1 : 0) | finer[0] << 2 | finer[1] << 5));
    for (int i = 0; i < 3; ++i) out.push_back(static_cast<uint8_t>(step >> (8 * i)));
    if (colors == 3)
        for (int16_t v : matrix) {
            out.push_back(static_cast<uint8_t>(static_cast<uint16_t>(v) & 255));
            out.push_back(static_cast<uint8_t>(static_cast<uint16_t>(v) >> 8));
        }
    return out;
}

Status Params::parse(std::span<const uint8_t> b, size_t colors, Params& out) {
    if (b.size() < 3) return Status::corrupt;
    if (b[0] > 1) return Status::unsupported;
    out.lossless = b[0] == 1;
    out.levels = b[1];
    if (out.levels < 3 || out.levels > kMaxLevels) return Status::corrupt;
    if (out.lossless) {
        out.transform = b[2];
        return b.size() == 3 && out.transform < kReversibleColors && (colors == 3 || out.transform == 0) ? Status::ok : Status::corrupt;
    }
    if (b[2] & 2) return Status::unsupported;
    out.block_map = b[2] & 1;
    out.finer[0] = b[2] >> 2 & 7;
    out.finer[1] = b[2] >> 5;
    if (b.size() != 6 + (colors == 3 ? 18u : 0u)) return Status::corrupt;
    out.step = b[3] | static_cast<uint32_t>(b[4]) << 8 | static_cast<uint32_t>(b[5]) << 16;
    if (out.step == 0 || out.step > kMaxStep) return Status::corrupt;
    if (colors == 3)
        for (size_t i = 0; i < 9; ++i)
            out.matrix[i] = static_cast<int16_t>(static_cast<uint16_t>(b[6 + 2 * i] | b[7 + 2 * i] << 8));
    return Status::ok;
}

Quantizer quantizer(uint32_t step, int level, int orientation) {
    // L2 norms of the 9/7 synthesis functions without scaling, in 1/4096: a unit of error in a band costs this
    // much in the picture, so bands share one step in pixels. Measured on impulses.
    static constexpr uint32_t kDetail[kMaxLevels] = {4142, 5406, 7487, 10098, 13428, 17781};
    static constexpr uint32_t kDiagonal[kMaxLevels] = {3224, 3961, 5629, 7697, 10278, 13625};
    static constexpr uint32_t kLowPass[kMaxLevels] = {5322, 7378, 9959, 13247, 17543, 23206};
    // 2^(i/4) for i = 0..3, in 1/65536.
    static constexpr uint64_t kQuarter[4] = {65536, 77936, 92682, 110218};
    const size_t l = static_cast<size_t>(level - 1);
    const uint64_t norm = orientation == kLL ? kLowPass[l] : orientation == kHH ? kDiagonal[l] : kDetail[l];
    Quantizer out;
    for (int i = 0; i < 32; ++i) {
        // 1/256 level = 32/256 working unit = 32 in 1/256 of it; i - 16 quarter octaves.
        const uint64_t base = (static_cast<uint64_t>(step) * 32 * 4096 * 16 / norm) * kQuarter[i & 3];  // 2^20 x
        const uint64_t scaled = base >> (24 - (i >> 2));  // 2^20 down, and i / 4 - 4 octaves
        out.step[i] = static_cast<uint32_t>(std::clamp<uint64_t>(scaled, 16, uint64_t{1} << 31));
        out.inverse[i] = (uint64_t{1} << 40) / out.step[i];
    }
    return out;
}

uint8_t step_feature(uint32_t step) {
    const int f = (10 * (static_cast<int>(log2_256(step)) - 6 * 256) + 128) >> 8;
    return static_cast<uint8_t>(std::clamp(f, 0, 127));
}

BandTask band_task(const Params& params, const Geometry& g, Symbols& symbols, Band (*local)[3], int level, int channel,
                   int orientation, int strip) {
    BandTask task;
    Surroundings& s = task.where;
    const size_t c = static_cast<size_t>(channel);
    s.net = channel * 4 + orientation;
    s.level = level;
    task.coding = params.lossless ? Coding::lossless : Coding::lossy;
    task.step_feature = params.lossless ? 0 : step_feature(params.step);
    task.block_shift = kBlockLog2 - level;
    task.level_offset = level <= 2 && orientation != kLL ? params.finer[level - 1] : 0;
    if (orientation == kLL) {
        task.predicted = true;
        s.self = &symbols.ll[c];
        for (size_t k = 0; k < 2 && k < c; ++k) s.channel[k] = &symbols.ll[k];
        s.begin = 0;
        s.end = s.self->height;
        return task;
    }
    const auto band = [&](size_t ch, int o) -> Band* {
        return local ? &local[ch][o] : &symbols.detail[level][ch][o];
    };
    s.self = band(c, orientation);
    if (orientation == kLH) s.sibling[0] = band(c, kHL);
    if (orientation == kHH) s.sibling[0] = band(c, kHL), s.sibling[1] = band(c, kLH);
    for (size_t k = 0; k < 2 && k < c; ++k) s.channel[k] = band(k, orientation);
    if (level < g.levels) s.parent = &symbols.detail[level + 1][c][orientation];
    if (level + 1 < g.levels) s.grandparent = &symbols.detail[level + 2][c][orientation];
    if (level > 3) {
        s.begin = 0;
        s.end = s.self->height;
    } else {
        s.begin = g.strip_begin(level, orientation, strip);
        s.end = g.strip_end(level, orientation, strip);
    }
    return task;
}

}  // namespace wave
}  // namespace narrows
