#include "bind.hpp"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <optional>

#include "narrows/lifting.hpp"
#include "narrows/wave.hpp"

using namespace narrows;

namespace {

using PixelArray = nb::ndarray<nb::ro, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
using OutputArray = nb::ndarray<nb::ndim<3>, nb::c_contig, nb::device::cpu>;

template <class T>
using Flat = nb::ndarray<const T, nb::c_contig, nb::device::cpu>;

template <class Array>
Pixels pixels_of(const Array& a, int bit_depth) {
    const bool wide = a.dtype() == nb::dtype<uint16_t>();
    if (!wide && a.dtype() != nb::dtype<uint8_t>()) throw nb::type_error("pixels are uint8 or uint16");
    if (bit_depth < 1 || bit_depth > (wide ? 16 : 8)) throw nb::value_error("bit depth does not fit the pixels' dtype");
    if (a.shape(0) == 0 || a.shape(1) == 0 || a.shape(2) == 0 || a.shape(2) > 4) throw nb::value_error("pixels are [height, width, 1..4]");
    return {a.data(), a.shape(1), a.shape(0), a.shape(2), bit_depth, wide};
}

template <class T>
std::span<const T> field(const nb::dict& d, const char* name) {
    const auto a = nb::cast<Flat<T>>(d[name]);
    return {a.data(), a.size()};
}

WaveWeights weights_of(const nb::dict& d) {
    return {field<int8_t>(d, "w1"),  field<int8_t>(d, "w2"),  field<int8_t>(d, "w3"),  field<int16_t>(d, "b1"), field<int16_t>(d, "m1"),
            field<int16_t>(d, "m2"), field<int16_t>(d, "m3"), field<int32_t>(d, "b2"), field<int32_t>(d, "b3"), field<uint8_t>(d, "costs")};
}

struct ModelHandle {
    std::shared_ptr<const WaveModel> model;
};

struct EncoderHandle {
    nb::object keep;  // the array that the encoder reads
    std::unique_ptr<WaveEncoder> encoder;
};

template <class T>
nb::ndarray<nb::numpy, T> to_array(std::vector<T>&& v, std::vector<size_t> shape) {
    auto* held = new std::vector<T>(std::move(v));
    nb::capsule owner(held, [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
    return nb::ndarray<nb::numpy, T>(held->data(), shape.size(), shape.data(), owner);
}

}  // namespace

namespace {

using Plane = nb::ndarray<int32_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

// Band arrays beside a plane, checked against its size.
Bands bands_of(const Plane& rows, const Plane& ll, const Plane& hl, const Plane& lh, const Plane& hh) {
    const size_t h = rows.shape(0), w = rows.shape(1);
    const auto is = [](const Plane& p, size_t height, size_t width) { return p.shape(0) == height && p.shape(1) == width; };
    if (!is(ll, (h + 1) / 2, (w + 1) / 2) || !is(hl, (h + 1) / 2, w / 2) || !is(lh, h / 2, (w + 1) / 2) || !is(hh, h / 2, w / 2))
        throw nb::value_error("bands are not the halves of the plane");
    return {ll.data(), hl.data(), lh.data(), hh.data(), ll.shape(1), hl.shape(1), lh.shape(1), hh.shape(1)};
}

}  // namespace

void bind_wave(nb::module_& m) {
    m.def(
        "lifting_analyze",
        [](bool reversible, Plane rows, Plane ll, Plane hl, Plane lh, Plane hh) {
            const Bands bands = bands_of(rows, ll, hl, lh, hh);
            analyze(reversible ? Wavelet::cdf53 : Wavelet::cdf97, rows.data(), rows.shape(1), rows.shape(0), rows.shape(1), bands);
        },
        "Split int32 `rows` (destroyed) into the four bands given.");
    m.def(
        "lifting_synthesize",
        [](bool reversible, Plane ll, Plane hl, Plane lh, Plane hh, Plane rows) {
            const Bands bands = bands_of(rows, ll, hl, lh, hh);
            synthesize(reversible ? Wavelet::cdf53 : Wavelet::cdf97, bands, rows.data(), rows.shape(1), rows.shape(0), rows.shape(1));
        },
        "Join four int32 bands into `rows`.");

    nb::class_<ModelHandle>(m, "WaveModel")
        .def("__init__", [](ModelHandle* self, const nb::dict& lossy, const nb::dict& lossless) {
            new (self) ModelHandle();
            raise_unless_ok(WaveModel::load(weights_of(lossy), weights_of(lossless), self->model), "weights are of another shape or range");
        });

    nb::class_<EncoderHandle>(m, "WaveEncoder")
        .def("__init__",
             [](EncoderHandle* self, const ModelHandle& model, PixelArray pixels, int bit_depth, bool lossless) {
                 const Pixels p = pixels_of(pixels, bit_depth);
                 new (self) EncoderHandle();
                 self->keep = nb::cast(pixels);
                 nb::gil_scoped_release release;
                 self->encoder = std::make_unique<WaveEncoder>(model.model, p, lossless);
             })
        .def(
            "encode",
            [](EncoderHandle& self, uint32_t step, uint32_t lambda, int threads, std::vector<int8_t> block_offsets, std::pair<int, int> finer) {
                WaveOptions options{.step = step, .lambda = lambda, .threads = threads, .finer = {finer.first, finer.second},
                                    .block_offsets = std::move(block_offsets)};
                std::vector<uint8_t> params;
                std::vector<WaveChunk> chunks;
                Status status;
                {
                    nb::gil_scoped_release release;
                    status = self.encoder->encode(options, params, chunks);
                }
                raise_unless_ok(status, "step out of range or block map of another size");
                nb::list list;
                for (const WaveChunk& c : chunks) list.append(nb::make_tuple(c.layer, c.first, c.count, to_bytes(c.payload)));
                return nb::make_tuple(to_bytes(params), list);
            },
            nb::arg("step"), nb::arg("lambda_"), nb::arg("threads") = 1, nb::arg("block_offsets") = std::vector<int8_t>(),
            nb::arg("finer") = std::pair<int, int>(0, 0))
        .def(
            "samples",
            [](EncoderHandle& self, uint32_t step, uint32_t lambda, uint32_t seed, uint32_t every) {
                WaveOptions options{.step = step, .lambda = lambda};
                std::vector<uint8_t> params;
                std::vector<WaveChunk> chunks;
                WaveSamples samples;
                if (every == 0) throw nb::value_error("every is at least 1");
                Status status;
                {
                    nb::gil_scoped_release release;
                    status = self.encoder->encode(options, params, chunks, &samples, seed, every);
                }
                raise_unless_ok(status, "step out of range");
                const size_t n = samples.net.size();
                return nb::make_tuple(to_array(std::move(samples.inputs), {n, 44}), to_array(std::move(samples.net), {n}),
                                      to_array(std::move(samples.level), {n}), to_array(std::move(samples.residual), {n}),
                                      to_array(std::move(samples.weight), {n}));
            },
            nb::arg("step"), nb::arg("lambda_"), nb::arg("seed"), nb::arg("every"));

    m.def(
        "wave_activity_offsets",
        [](PixelArray pixels, int bit_depth, int strength) {
            const Pixels p = pixels_of(pixels, bit_depth);
            nb::gil_scoped_release release;
            return wave_activity_offsets(p, strength);
        },
        nb::arg("pixels"), nb::arg("bit_depth"), nb::arg("strength"));

    nb::class_<WaveDecoder>(m, "WaveDecoder")
        .def_static(
            "create",
            [](const ModelHandle& model, const nb::bytes& params, size_t width, size_t height, size_t colors, int bit_depth, int scale_log2,
               bool partial) {
                std::unique_ptr<WaveDecoder> out;
                raise_unless_ok(WaveDecoder::create(model.model, view(params), width, height, colors, bit_depth, scale_log2, partial, out),
                                "wave parameters do not fit the picture");
                return out;
            },
            nb::arg("model"), nb::arg("params"), nb::arg("width"), nb::arg("height"), nb::arg("colors"), nb::arg("bit_depth"),
            nb::arg("scale_log2") = 0, nb::arg("partial") = false)
        .def_static("levels",
                    [](const nb::bytes& params) {
                        int levels = 0;
                        raise_unless_ok(WaveDecoder::levels(view(params), levels), "wave parameters are malformed");
                        return levels;
                    })
        .def_prop_ro("last_layer", &WaveDecoder::last_layer)
        .def_prop_ro("width", &WaveDecoder::out_width)
        .def_prop_ro("height", &WaveDecoder::out_height)
        .def(
            "set_output",
            [](WaveDecoder& self, OutputArray out) {
                const Pixels p = pixels_of(out, 1);
                if (p.width != self.out_width() || p.height != self.out_height()) throw nb::value_error("output has another size");
                self.set_output(out.data(), p.channels, p.wide);
            },
            nb::keep_alive<1, 2>())
        .def(
            "add",
            [](WaveDecoder& self, int layer, const std::vector<std::pair<size_t, nb::bytes>>& parts, int threads) {
                std::vector<WavePart> views;
                for (const auto& [first, payload] : parts) views.push_back({first, view(payload)});
                Status status;
                {
                    nb::gil_scoped_release release;
                    status = self.add(layer, views, threads);
                }
                raise_unless_ok(status, "wave data does not parse");
            },
            nb::arg("layer"), nb::arg("parts"), nb::arg("threads") = 1)
        .def("finish", [](WaveDecoder& self) {
            Status status;
            {
                nb::gil_scoped_release release;
                status = self.finish();
            }
            raise_unless_ok(status, "wave data ends early");
        });
}
