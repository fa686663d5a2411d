#include "narrows/lifting.hpp"
#include "wave/blocks.hpp"
#include "wave/format.hpp"
#include "wave/parallel.hpp"

namespace narrows {

using namespace wave;

namespace {

struct Plane {
    size_t width = 0, height = 0;
    std::vector<int32_t> v;
    void reset(int w, int h) {
        width = static_cast<size_t>(w);
        height = static_cast<size_t>(h);
        v.assign(width * height, 0);
    }
    int32_t* row(size_t y) { return v.data() + y * width; }
    const int32_t* row(size_t y) const { return v.data() + y * width; }
};

// Detail rows [first, ...) of level 1 for one strip.
struct Strip {
    Plane detail[3][3];
};

Bands bands_of(Plane& ll, Plane (&d)[3]) {
    return {ll.v.data(), d[kHL].v.data(), d[kLH].v.data(), d[kHH].v.data(), ll.width, d[kHL].width, d[kLH].width, d[kHH].width};
}

}  // namespace

struct WaveEncoder::Impl {
    std::shared_ptr<const WaveModel> model;
    Pixels pixels;
    bool lossless;
    int colors;
    Geometry g;
    ColorMatrix matrix{};
    int transform = 0;
    Plane ll[3];
    Plane low[4][3];  // lossless: the low-pass pictures of levels 1 to 3, for prediction
    Plane detail[kMaxLevels + 1][3][3];  // level 1 only if the picture is one strip
    Wavelet wavelet() const { return lossless ? Wavelet::cdf53 : Wavelet::cdf97; }

    Impl(std::shared_ptr<const WaveModel> m, const Pixels& p, bool exact)
        : model(std::move(m)), pixels(p), lossless(exact), colors(p.channels >= 3 ? 3 : 1),
          g{static_cast<int>(p.width), static_cast<int>(p.height), levels_for(p.width, p.height)} {
        if (lossless)
            transform = best_reversible_color(pixels);
        else if (colors == 3)
            matrix = principal_colors(pixels);
        for (int c = 0; c < colors; ++c) ll[c].reset(g.w(1), g.h(1));
        for (int s = 0; s < g.strips(); ++s) {
            Strip strip;
            analyze_strip(s, strip, true);
            if (g.strips() == 1)
                for (int c = 0; c < colors; ++c)
                    for (int o = 0; o < 3; ++o) detail[1][c][o] = std::move(strip.detail[c][o]);
        }
        for (int level = 2; level <= g.levels; ++level)
            for (int c = 0; c < colors; ++c) {
                if (lossless && level <= 4) low[level - 1][c] = ll[c];
                Plane coarser;
                coarser.reset(g.w(level), g.h(level));
                for (int o = 0; o < 3; ++o) detail[level][c][o].reset(g.band_width(level, o), g.band_height(level, o));
                analyze(wavelet(), ll[c].v.data(), ll[c].width, ll[c].height, ll[c].width, bands_of(coarser, detail[level][c]));
                ll[c] = std::move(coarser);
            }
        if (lossless && g.levels == 3)
            for (int c = 0; c < colors; ++c) low[3][c] = ll[c];
    }

    // First level of the rows of strip `s`, with enough rows around it that the strip's own are those of the whole.
    void analyze_strip(int s, Strip& out, bool keep_low) {
        const size_t rows = kStripRows, h = pixels.height, w = pixels.width;
        const size_t begin = static_cast<size_t>(s) * rows, end = std::min(begin + rows, h);
        const size_t first = begin >= kStripMargin ? begin - kStripMargin : 0, last = std::min(end + kStripMargin, h);
        std::vector<Plane> block(static_cast<size_t>(colors));
        for (Plane& p : block) p.reset(static_cast<int>(w), static_cast<int>(last - first));
        for (size_t y = first; y < last; ++y) {
            int32_t* planes[3];
            for (int c = 0; c < colors; ++c) planes[c] = block[static_cast<size_t>(c)].row(y - first);
            lossless ? forward_reversible_color(pixels, transform, y, planes) : forward_color(pixels, matrix, y, planes);
        }
        for (int c = 0; c < colors; ++c) {
            Plane& p = block[static_cast<size_t>(c)];
            Plane low, d[3];
            const int bw = static_cast<int>(w), bh = static_cast<int>(last - first);
            low.reset((bw + 1) / 2, (bh + 1) / 2);
            d[kHL].reset(bw / 2, (bh + 1) / 2);
            d[kLH].reset((bw + 1) / 2, bh / 2);
            d[kHH].reset(bw / 2, bh / 2);
            analyze(wavelet(), p.v.data(), w, p.height, w, bands_of(low, d));
            const size_t skip = (begin - first) / 2;
            if (keep_low)
                for (size_t y = begin / 2; y < (end + 1) / 2; ++y)
                    std::copy_n(low.row(y - begin / 2 + skip), low.width, ll[c].row(y));
            if (!keep_low || g.strips() == 1)
                for (int o = 0; o < 3; ++o) {
                    const int b = g.strip_begin(1, o, s), e = g.strip_end(1, o, s);
                    out.detail[c][o].reset(static_cast<int>(d[o].width), e - b);
                    for (int y = b; y < e; ++y)
                        std::copy_n(d[o].row(static_cast<size_t>(y - b) + skip), d[o].width, out.detail[c][o].row(static_cast<size_t>(y - b)));
                }
        }
    }
};

WaveEncoder::WaveEncoder(std::shared_ptr<const WaveModel> model, const Pixels& pixels, bool lossless)
    : impl_(std::make_unique<Impl>(std::move(model), pixels, lossless)) {}
WaveEncoder::~WaveEncoder() = default;

namespace {

// Draws the inputs of about one in `every` coefficients of level 1, twice as often each level up, quiet
// neighborhoods sixteen times less often; `weight` makes up for it.
void sample_band(const BandTask& task, WaveSamples& out, uint64_t& state, uint32_t finest_every) {
    const Surroundings& s = task.where;
    Band& self = *s.self;
    if (self.width == 0 || s.begin >= s.end) return;
    Inputs inputs(self.width);
    std::vector<uint8_t> features(inputs.stride() + 64, task.step_feature);
    const uint32_t every = std::max(1u, finest_every >> (s.level - 1 + (task.predicted ? 2 : 0)));
    for (int y = s.begin; y < s.end; ++y) {
        inputs.build(s, y, features.data());
        const int32_t* residuals = task.residuals + static_cast<size_t>(y - s.begin) * static_cast<size_t>(self.width);
        const uint8_t* m = self.magnitudes(y);
        for (int x = 0; x < self.width; ++x) {
            const bool quiet = !(inputs.any()[x] | m[x - 1] | m[x - 2] | m[x - 3] | m[x - 4]);
            state = state * 6364136223846793005ull + 1442695040888963407ull;
            const uint32_t rarity = every * (quiet ? 16 : 1);
            if (static_cast<uint32_t>(state >> 33) % rarity) continue;
            for (int i = 0; i < kStaticInputs; ++i) out.inputs.push_back(inputs.input(i)[x]);
            for (int i = 1; i <= 4; ++i) out.inputs.push_back(m[x - i]);
            out.residual.push_back(residuals[x]);
            out.net.push_back(static_cast<uint8_t>(s.net));
            out.level.push_back(static_cast<uint8_t>(s.level));
            out.weight.push_back(static_cast<uint16_t>(std::min(rarity, 65535u)));
        }
    }
}

}  // namespace

Status WaveEncoder::encode(const WaveOptions& options, std::vector<uint8_t>& params_out, std::vector<WaveChunk>& chunks,
                           WaveSamples* samples, uint32_t sample_seed, uint32_t sample_every) {
    Impl& self = *impl_;
    const Geometry& g = self.g;
    if (!self.lossless && (options.step == 0 || options.step > kMaxStep)) return Status::bad_argument;
    Params params;
    params.lossless = self.lossless;
    params.levels = g.levels;
    params.step = options.step;
    params.matrix = self.matrix;
    params.transform = self.transform;
    for (int i = 0; i < 2; ++i) {
        if (options.finer[i] < 0 || options.finer[i] > 7) return Status::bad_argument;
        params.finer[i] = options.finer[i];
    }
    params.block_map = !self.lossless && !options.block_offsets.empty();
    const BlockGrid grid(self.pixels.width, self.pixels.height);
    if (params.block_map && options.block_offsets.size() != grid.size()) return Status::bad_argument;
    params_out = params.serialize(static_cast<size_t>(self.colors));
    chunks.clear();

    const Model& model = self.lossless ? self.model->sets->lossless : self.model->sets->lossy;
    Quantizer quantizers[kMaxLevels + 1][4];
    if (!self.lossless)
        for (int level = 1; level <= g.levels; ++level)
            for (int o = 0; o < 4; ++o) quantizers[level][o] = quantizer(params.step, level, o);

    Symbols symbols;
    for (int c = 0; c < self.colors; ++c) symbols.ll[c].reset(g.w(g.levels), g.h(g.levels), 0);
    for (int level = 2; level <= g.levels; ++level)
        for (int c = 0; c < self.colors; ++c)
            for (int o = 0; o < 3; ++o) symbols.detail[level][c][o].reset(g.band_width(level, o), g.band_height(level, o), 0);

    uint64_t state = sample_seed * 0x9E3779B97F4A7C15ull + 1;
    const auto code = [&](ChunkTables& tables, RangeEncoder& out, BandTask task, const int32_t* coefficients, int o) {
        task.coefficients = coefficients;
        task.quantizer = &quantizers[task.where.level][o];
        task.lambda = options.lambda;
        if (params.block_map) {
            task.block_offsets = options.block_offsets.data();
            task.block_columns = grid.columns;
            task.block_rows = grid.rows;
        }
        std::vector<int32_t> residuals;
        if (samples) {
            residuals.resize(task.where.self->q.size());
            task.residuals = residuals.data();
        }
        encode_band(model, tables, out, task);
        if (samples) sample_band(task, *samples, state, sample_every);
    };

    {
        ChunkTables tables(model);
        RangeEncoder out;
        if (params.block_map) encode_blocks(out, grid, options.block_offsets);
        for (int c = 0; c < self.colors; ++c)
            code(tables, out, band_task(params, g, symbols, nullptr, g.levels, c, kLL, 0), self.ll[c].v.data(), kLL);
        for (int level = g.levels; level > 3; --level)
            for (int c = 0; c < self.colors; ++c)
                for (int o = 0; o < 3; ++o)
                    code(tables, out, band_task(params, g, symbols, nullptr, level, c, o, 0), self.detail[level][c][o].v.data(), o);
        chunks.push_back({0, 0, self.pixels.height, out.finish()});
    }
    for (int level = 3; level >= 1; --level) {
        const size_t base = chunks.size();
        chunks.resize(base + static_cast<size_t>(g.strips()));
        parallel(g.strips(), samples ? 1 : options.threads, [&](int s) {
            Band local[3][3];
            Strip strip;
            if (level == 1) {
                if (g.strips() > 1) self.analyze_strip(s, strip, false);
                for (int c = 0; c < self.colors; ++c)
                    for (int o = 0; o < 3; ++o) {
                        const int b = g.strip_begin(1, o, s), e = g.strip_end(1, o, s);
                        local[c][o].reset(g.band_width(1, o), e - b, b);
                    }
            }
            ChunkTables tables(model);
            RangeEncoder out;
            for (int c = 0; c < self.colors; ++c)
                for (int o = 0; o < 3; ++o) {
                    BandTask task = band_task(params, g, symbols, level == 1 ? local : nullptr, level, c, o, s);
                    if (self.lossless) {
                        const Plane& low = self.low[level][c];
                        task.low = {low.v.data(), static_cast<int>(low.width), static_cast<int>(low.height)};
                    }
                    const Plane& plane = level == 1 && g.strips() > 1 ? strip.detail[c][o] : self.detail[level][c][o];
                    const size_t skip = level == 1 ? 0 : static_cast<size_t>(task.where.begin);
                    code(tables, out, task, plane.v.data() + skip * plane.width, o);
                }
            const size_t first = static_cast<size_t>(s) * kStripRows;
            chunks[base + static_cast<size_t>(s)] = {Geometry::layer(level), first, std::min(kStripRows, self.pixels.height - first), out.finish()};
        });
    }
    return Status::ok;
}

}  // namespace narrows
