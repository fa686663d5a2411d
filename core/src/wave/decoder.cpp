#include "narrows/lifting.hpp"
#include "wave/blocks.hpp"
#include "wave/format.hpp"
#include "wave/parallel.hpp"

namespace narrows {

using namespace wave;

struct WaveDecoder::Impl {
    std::shared_ptr<const WaveModel> model;
    Params params;
    Geometry g{};
    int colors = 0, bit_depth = 8, scale = 0;
    bool partial = false;

    Symbols symbols;
    std::vector<int8_t> offsets;
    std::vector<int32_t> low[3];  // LL at level `at`
    int at = -1;                  // -1 before layer 0
    int next_strip[kMaxLevels + 1] = {};  // of each level of layers 1..3
    int layer = -1;                       // being read

    // Level 1 passes through here: rows [kept, kept_end) of each detail band.
    struct Rows {
        int width = 0, first = 0;
        std::vector<int32_t> v;
        int end() const { return width ? first + static_cast<int>(v.size() / static_cast<size_t>(width)) : first; }
    } rows[3][3];
    int detail_rows = 0;  // rows of level 1 received
    int written = 0;      // picture rows written

    uint8_t* out = nullptr;
    size_t out_channels = 0;
    bool out_wide = false;

    const Model& tables_model() const { return params.lossless ? model->sets->lossless : model->sets->lossy; }
    Wavelet wavelet() const { return params.lossless ? Wavelet::cdf53 : Wavelet::cdf97; }

    BandTask task(Band (*local)[3], int level, int c, int o, int strip) {
        BandTask t = band_task(params, g, symbols, local, level, c, o, strip);
        if (params.block_map) {
            const BlockGrid grid(static_cast<size_t>(g.width), static_cast<size_t>(g.height));
            t.block_offsets = offsets.data();
            t.block_columns = grid.columns;
            t.block_rows = grid.rows;
        }
        return t;
    }

    // Symbols to coefficients, in place.
    void dequantize(Band& band, int level, int c, int o) {
        if (params.lossless) return;
        const Quantizer quant = quantizer(params.step, level, o);
        const BandTask t = task(nullptr, level, c, o, 0);
        for (int y = band.first; y < band.first + band.height; ++y) {
            int32_t* q = band.row(y);
            for (int x = 0; x < band.width; ++x)
                if (q[x]) q[x] = quant.dequantize(q[x], step_offset(t, x, y));
        }
    }

    Status read_first(std::span<const uint8_t> payload) {
        for (int c = 0; c < colors; ++c) symbols.ll[c].reset(g.w(g.levels), g.h(g.levels), 0);
        for (int level = g.levels; level > std::min(3, g.levels); --level) allocate(level);
        ChunkTables tables(tables_model());
        RangeDecoder in(payload);
        if (params.block_map &&
            !decode_blocks(in, BlockGrid(static_cast<size_t>(g.width), static_cast<size_t>(g.height)), offsets))
            return Status::corrupt;
        for (int c = 0; c < colors; ++c) decode_band(tables_model(), tables, in, task(nullptr, g.levels, c, kLL, 0));
        for (int level = g.levels; level > 3; --level)
            for (int c = 0; c < colors; ++c)
                for (int o = 0; o < 3; ++o) {
                    if (in.padded() > 4) return Status::corrupt;
                    decode_band(tables_model(), tables, in, task(nullptr, level, c, o, 0));
                }
        return in.finished() ? Status::ok : Status::corrupt;
    }

    void allocate(int level) {
        for (int c = 0; c < colors; ++c)
            for (int o = 0; o < 3; ++o) symbols.detail[level][c][o].reset(g.band_width(level, o), g.band_height(level, o), 0);
    }

    Status read_strip(int level, int s, std::span<const uint8_t> payload, Band (*local)[3]) {
        ChunkTables tables(tables_model());
        RangeDecoder in(payload);
        for (int c = 0; c < colors; ++c)
            for (int o = 0; o < 3; ++o) {
                // A stream that has run out is refused before more work is done on it.
                if (in.padded() > 4) return Status::corrupt;
                BandTask t = task(local, level, c, o, s);
                if (params.lossless) t.low = {low[c].data(), g.w(level), g.h(level)};
                decode_band(tables_model(), tables, in, t);
            }
        return in.finished() ? Status::ok : Status::corrupt;
    }

    void begin_low() {
        for (int c = 0; c < colors; ++c) {
            dequantize(symbols.ll[c], g.levels, c, kLL);
            low[c] = std::move(symbols.ll[c].q);
        }
        at = g.levels;
    }

    // LL of `at` and the details of level `at` become LL of at - 1.
    void synthesize_level() {
        const int level = at;
        for (int c = 0; c < colors; ++c) {
            Bands b{};
            b.ll = low[c].data();
            b.ll_stride = static_cast<size_t>(g.w(level));
            Band(&d)[3] = symbols.detail[level][c];
            for (int o = 0; o < 3; ++o) dequantize(d[o], level, c, o);
            b.hl = d[kHL].q.data(), b.hl_stride = static_cast<size_t>(d[kHL].width);
            b.lh = d[kLH].q.data(), b.lh_stride = static_cast<size_t>(d[kLH].width);
            b.hh = d[kHH].q.data(), b.hh_stride = static_cast<size_t>(d[kHH].width);
            const size_t w = static_cast<size_t>(g.w(level - 1)), h = static_cast<size_t>(g.h(level - 1));
            std::vector<int32_t> finer(w * h);
            synthesize(wavelet(), b, finer.data(), w, h, w);
            low[c] = std::move(finer);
            for (int o = 0; o < 3; ++o) std::vector<int32_t>().swap(d[o].q);
        }
        if (level + 1 <= kMaxLevels)
            for (int c = 0; c < colors; ++c)
                for (int o = 0; o < 3; ++o)
                    if (level + 1 > 3) std::vector<int32_t>().swap(symbols.detail[level + 1][c][o].q);
        at = level - 1;
    }

    uint8_t* out_row(int y) const {
        const size_t width = static_cast<size_t>(g.w(scale));
        return out + static_cast<size_t>(y) * width * out_channels * (out_wide ? 2 : 1);
    }

    void write_row(int y, const int32_t* const* planes) {
        const size_t width = static_cast<size_t>(g.w(scale));
        if (params.lossless) {
            inverse_reversible_color(planes, static_cast<size_t>(colors), width, params.transform, bit_depth, out_wide, out_row(y), out_channels);
            return;
        }
        uint64_t factor = 65536;
        for (int i = 0; i < scale; ++i) factor = (factor * 65536 + kDcGain97 / 2) / kDcGain97;
        inverse_color(planes, static_cast<size_t>(colors), width, params.matrix, static_cast<uint32_t>(factor), bit_depth, out_wide,
                      out_row(y), out_channels);
    }

    void write_reduced() {
        const size_t w = static_cast<size_t>(g.w(scale));
        for (int y = 0; y < g.h(scale); ++y) {
            const int32_t* planes[3];
            for (int c = 0; c < colors; ++c) planes[c] = low[c].data() + static_cast<size_t>(y) * w;
            write_row(y, planes);
        }
    }

    // Takes over a strip of level 1 and writes the picture rows that are complete: synthesis reaches four rows
    // of a band to each side.
    void push_strip(Band (*local)[3], int s) {
        constexpr int reach = static_cast<int>(kStripMargin) / 2;
        for (int c = 0; c < colors; ++c)
            for (int o = 0; o < 3; ++o) {
                Rows& r = rows[c][o];
                Band& band = local[c][o];
                r.width = band.width;
                dequantize(band, 1, c, o);
                const int keep = std::max(0, written / 2 - reach);
                if (keep > r.first && r.width) {
                    const size_t drop = std::min(r.v.size(), static_cast<size_t>(keep - r.first) * static_cast<size_t>(r.width));
                    r.v.erase(r.v.begin(), r.v.begin() + static_cast<ptrdiff_t>(drop));
                }
                r.first = std::max(r.first, keep);
                r.v.insert(r.v.end(), band.q.begin(), band.q.end());
                std::vector<int32_t>().swap(band.q);
            }
        detail_rows = g.strip_end(1, kHL, s);
        const bool last = s + 1 == g.strips();
        const int available = last ? g.height : 2 * (detail_rows - reach);
        const size_t w = static_cast<size_t>(g.width);
        std::vector<int32_t> block[3];
        while (written < available) {
            const int end = std::min(written + 256, available);
            const int s0 = std::max(0, written / 2 - reach), s1 = std::min(g.h(1), (end + 1) / 2 + reach);
            const int r0 = 2 * s0, r1 = s1 == g.h(1) ? g.height : 2 * s1;
            for (int c = 0; c < colors; ++c) {
                const auto at_row = [&](int o) {
                    Rows& r = rows[c][o];
                    return r.v.data() + static_cast<size_t>(s0 - r.first) * static_cast<size_t>(r.width);
                };
                Bands b{low[c].data() + static_cast<size_t>(s0) * static_cast<size_t>(g.w(1)), at_row(kHL), at_row(kLH), at_row(kHH),
                        static_cast<size_t>(g.w(1)), static_cast<size_t>(rows[c][kHL].width), static_cast<size_t>(rows[c][kLH].width),
                        static_cast<size_t>(rows[c][kHH].width)};
                block[c].resize(w * static_cast<size_t>(r1 - r0));
                synthesize(wavelet(), b, block[c].data(), w, static_cast<size_t>(r1 - r0), w);
            }
            for (int y = written; y < end; ++y) {
                const int32_t* planes[3];
                for (int c = 0; c < colors; ++c) planes[c] = block[c].data() + static_cast<size_t>(y - r0) * w;
                write_row(y, planes);
            }
            written = end;
        }
    }

    void reset_local(Band (*local)[3], int s) {
        for (int c = 0; c < colors; ++c)
            for (int o = 0; o < 3; ++o) {
                const int b = g.strip_begin(1, o, s), e = g.strip_end(1, o, s);
                local[c][o].reset(g.band_width(1, o), e - b, b);
            }
    }

    // Everything before level `level` is read: bring LL down to that level.
    void settle(int level) {
        if (at < 0) begin_low();
        while (at > level) synthesize_level();
    }

    Status start_layer(int wanted) {
        while (layer < wanted) {
            if (layer >= 1 && next_strip[4 - layer] < g.strips() && !partial) return Status::corrupt;
            ++layer;
            if (layer == 0) continue;
            const int level = 4 - layer;
            settle(level);
            if (level > 1) allocate(level);
        }
        return Status::ok;
    }
};

WaveDecoder::WaveDecoder(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
WaveDecoder::~WaveDecoder() = default;

Status WaveDecoder::levels(std::span<const uint8_t> params, int& out) {
    if (params.size() < 2 || params[1] < 3 || params[1] > kMaxLevels) return Status::corrupt;
    out = params[1];
    return Status::ok;
}

Status WaveDecoder::create(std::shared_ptr<const WaveModel> model, std::span<const uint8_t> params, size_t width, size_t height,
                           size_t colors, int bit_depth, int scale_log2, bool partial, std::unique_ptr<WaveDecoder>& out) {
    auto impl = std::make_unique<Impl>();
    if (width == 0 || height == 0 || width > (1u << 30) || height > (1u << 30) || (colors != 1 && colors != 3) || bit_depth < 1 ||
        bit_depth > 16)
        return Status::bad_argument;
    if (Status s = Params::parse(params, colors, impl->params); s != Status::ok) return s;
    if (impl->params.levels != levels_for(width, height)) return Status::corrupt;
    if (scale_log2 < 0 || scale_log2 > impl->params.levels) return Status::bad_argument;
    impl->model = std::move(model);
    impl->g = {static_cast<int>(width), static_cast<int>(height), impl->params.levels};
    impl->colors = static_cast<int>(colors);
    impl->bit_depth = bit_depth;
    impl->scale = scale_log2;
    impl->partial = partial;
    out.reset(new WaveDecoder(std::move(impl)));
    return Status::ok;
}

Status WaveDecoder::add(int layer, std::span<const WavePart> parts, int threads) {
    Impl& d = *impl_;
    if (layer < 0 || layer >= kLayers || layer > last_layer() || layer < d.layer || !d.out) return Status::corrupt;
    if (layer > 0 && d.layer < 0) return Status::corrupt;
    if (layer == 0) {
        if (d.layer >= 0 || parts.size() != 1 || parts[0].first != 0) return Status::corrupt;
        d.layer = 0;
        return d.read_first(parts[0].payload);
    }
    if (Status s = d.start_layer(layer); s != Status::ok) return s;
    const int level = 4 - layer;
    int& next = d.next_strip[level];
    std::vector<int> strips(parts.size());
    int expected = next;
    for (size_t i = 0; i < parts.size(); ++i) {
        const size_t strip = parts[i].first / kStripRows;
        if (parts[i].first % kStripRows || strip >= static_cast<size_t>(d.g.strips())) return Status::corrupt;
        strips[i] = static_cast<int>(strip);
        if (strips[i] < expected || (strips[i] > expected && !d.partial)) return Status::corrupt;
        expected = strips[i] + 1;
    }
    std::vector<Status> results(parts.size(), Status::ok);
    if (level > 1) {
        parallel(static_cast<int>(parts.size()), threads, [&](int i) {
            const size_t k = static_cast<size_t>(i);
            results[k] = d.read_strip(level, strips[k], parts[k].payload, nullptr);
        });
        next = expected;
    } else {
        struct Local {
            Band bands[3][3];
        };
        std::vector<Local> locals(parts.size());
        parallel(static_cast<int>(parts.size()), threads, [&](int i) {
            const size_t k = static_cast<size_t>(i);
            d.reset_local(locals[k].bands, strips[k]);
            results[k] = d.read_strip(1, strips[k], parts[k].payload, locals[k].bands);
        });
        for (size_t i = 0; i < parts.size(); ++i) {
            if (results[i] != Status::ok) return results[i];
            for (; next < strips[i]; ++next) {
                Band empty[3][3];
                d.reset_local(empty, next);
                d.push_strip(empty, next);
            }
            d.push_strip(locals[i].bands, next++);
        }
    }
    for (Status s : results)
        if (s != Status::ok) return s;
    return Status::ok;
}

void WaveDecoder::set_output(void* out, size_t channels, bool wide) {
    impl_->out = static_cast<uint8_t*>(out);
    impl_->out_channels = channels;
    impl_->out_wide = wide;
}

Status WaveDecoder::finish() {
    Impl& d = *impl_;
    if (!d.out) return Status::bad_argument;
    if (d.layer < 0) return Status::truncated;
    if (!d.partial) {
        if (d.layer < last_layer()) return Status::truncated;
        if (d.layer >= 1 && d.next_strip[4 - d.layer] < d.g.strips()) return Status::truncated;
    }
    if (d.scale > 0) {
        if (Status s = d.start_layer(last_layer()); s != Status::ok) return s;
        d.settle(d.scale);
        d.write_reduced();
        return Status::ok;
    }
    if (Status s = d.start_layer(3); s != Status::ok) return s;
    for (int& next = d.next_strip[1]; next < d.g.strips(); ++next) {
        Band empty[3][3];
        d.reset_local(empty, next);
        d.push_strip(empty, next);
    }
    return Status::ok;
}

size_t WaveDecoder::out_width() const { return static_cast<size_t>(impl_->g.w(impl_->scale)); }
size_t WaveDecoder::out_height() const { return static_cast<size_t>(impl_->g.h(impl_->scale)); }
int WaveDecoder::last_layer() const { return impl_->scale >= 3 ? 0 : 3 - impl_->scale; }

}  // namespace narrows
