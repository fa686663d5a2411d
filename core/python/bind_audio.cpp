#include "bind.hpp"

#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>

#include "narrows/audio.hpp"
#include "narrows/mdct.hpp"
#include "narrows/resampler.hpp"

using namespace narrows;

namespace {

using Logits = nb::ndarray<const int16_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Sound = nb::ndarray<nb::ro, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Integers = nb::ndarray<int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Pairs = nb::ndarray<const int32_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

std::span<const int16_t> flat(const Logits& a) { return {a.data(), a.size()}; }

AudioFormat format_of(const nb::bytes& params) {
    AudioFormat format;
    raise_unless_ok(AudioFormat::parse(view(params), format), "audio parameters do not parse");
    return format;
}

// Samples as 24-bit integers: int16 shifted, float32 rounded half up and clipped.
std::vector<int32_t> integers_of(const Sound& a) {
    const size_t size = a.shape(0) * a.shape(1);
    std::vector<int32_t> out(size);
    if (a.dtype() == nb::dtype<int16_t>()) {
        const auto* x = static_cast<const int16_t*>(a.data());
        for (size_t i = 0; i < size; ++i) out[i] = int32_t{x[i]} * 256;
    } else if (a.dtype() == nb::dtype<float>()) {
        const auto* x = static_cast<const float*>(a.data());
        int32_t* const to = out.data();
        uint32_t wrong = 0;
        for (size_t i = 0; i < size; ++i) {
            uint32_t bits;
            std::memcpy(&bits, x + i, sizeof bits);
            wrong |= (bits & 0x7F80'0000u) == 0x7F80'0000u ? 1u : 0u;
            const float clipped = std::min(std::max(-1.0f, x[i]), 1.0f);  // of NaN -1
            to[i] = std::min(static_cast<int32_t>(std::floor(double{clipped} * 8'388'608.0 + 0.5)), 8'388'607);
        }
        if (wrong) throw nb::value_error("samples must be finite, there is NaN or infinity");
    } else {
        throw nb::type_error("samples are int16 or float32");
    }
    return out;
}

nb::ndarray<nb::numpy, float> floats_of(const std::vector<int32_t>& samples, size_t channels) {
    auto* held = new std::vector<float>(samples.size());
    for (size_t i = 0; i < samples.size(); ++i) (*held)[i] = static_cast<float>(samples[i]) * (1.0f / 8'388'608.0f);
    nb::capsule owner(held, [](void* p) noexcept { delete static_cast<std::vector<float>*>(p); });
    const size_t shape[2] = {samples.size() / channels, channels};
    return nb::ndarray<nb::numpy, float>(held->data(), 2, shape, owner);
}

nb::list listed(const std::vector<AudioPacket>& packets) {
    nb::list list;
    for (const AudioPacket& p : packets) list.append(nb::make_tuple(p.seq, p.count, p.last, to_bytes(p.payload), to_bytes(p.coarse)));
    return list;
}

template <class T>
nb::ndarray<nb::numpy, T> array_of(std::vector<T>&& v, size_t columns) {
    auto* held = new std::vector<T>(std::move(v));
    nb::capsule owner(held, [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
    const size_t shape[2] = {held->size() / columns, columns};
    return nb::ndarray<nb::numpy, T>(held->data(), 2, shape, owner);
}

struct AudioModelHandle {
    std::shared_ptr<const AudioModel> model;
};

struct AudioEncoderHandle {
    std::unique_ptr<AudioEncoder> encoder;
    size_t channels;
    AudioTiming timing;
    AudioSamples samples;
};

struct AudioDecoderHandle {
    std::unique_ptr<AudioDecoder> decoder;
    size_t channels;
    AudioTiming timing;
};

}  // namespace

void bind_audio(nb::module_& m) {
    m.attr("LEAST_RATE_HZ") = kLeastRate;
    m.attr("LARGEST_RATE_HZ") = kLargestRate;
    m.attr("MAX_PACKET_FRAMES") = kMaxPacketFrames;

    m.def(
        "audio_params",
        [](uint32_t rate_hz, uint32_t packet_frames, uint32_t step, bool varying, uint32_t gamma, uint32_t fill, uint32_t floor) {
            const AudioFormat format{rate_hz, packet_frames, step, varying, gamma, fill, floor};
            if (!format.valid()) throw nb::value_error("no such audio format");
            return to_bytes(format.params());
        },
        nb::arg("rate_hz"), nb::arg("packet_frames"), nb::arg("step"), nb::arg("varying"), nb::arg("gamma"), nb::arg("fill"),
        nb::arg("floor"));
    m.def("audio_model_sizes", [] {
        const AudioSizes sizes = AudioModel::sizes();
        return nb::make_tuple(sizes.coefficients, sizes.envelope, sizes.bands, sizes.flags, sizes.steps);
    });

    nb::class_<AudioModelHandle>(m, "AudioModel").def("__init__", [](AudioModelHandle* self, Logits coefficients, Logits envelope, Logits bands, Logits flags, Logits steps) {
        new (self) AudioModelHandle();
        raise_unless_ok(AudioModel::load({flat(coefficients), flat(envelope), flat(bands), flat(flags), flat(steps)}, self->model), "tables are of another shape");
    });

    nb::class_<AudioEncoderHandle>(m, "AudioEncoder")
        .def(
            "__init__",
            [](AudioEncoderHandle* self, const AudioModelHandle& model, const nb::bytes& params, uint32_t signal_hz, size_t channels, uint32_t bytes_256,
               bool constant, bool coarse) {
                const AudioFormat format = format_of(params);
                new (self) AudioEncoderHandle();
                self->channels = channels;
                raise_unless_ok(AudioEncoder::create(model.model, format, {bytes_256, constant, coarse}, signal_hz, channels, self->encoder),
                                "no such audio session");
                self->timing = timing_of(format, signal_hz);
            },
            nb::arg("model"), nb::arg("params"), nb::arg("signal_hz"), nb::arg("channels"), nb::arg("bytes_256") = 0,
            nb::arg("constant") = false, nb::arg("coarse") = false)
        .def("push",
             [](AudioEncoderHandle& self, Sound samples) {
                 if (samples.shape(1) != self.channels) throw nb::value_error("another number of channels");
                 const auto values = integers_of(samples);
                 std::vector<AudioPacket> packets;
                 {
                     nb::gil_scoped_release release;
                     self.encoder->push(values, packets);
                 }
                 return listed(packets);
             })
        .def("finish",
             [](AudioEncoderHandle& self) {
                 std::vector<AudioPacket> packets;
                 {
                     nb::gil_scoped_release release;
                     self.encoder->finish(packets);
                 }
                 return listed(packets);
             })
        .def_prop_ro("rate_hz", [](const AudioEncoderHandle& self) { return self.timing.rate_hz; })
        .def_prop_ro("packet_frames", [](const AudioEncoderHandle& self) { return self.timing.packet_frames; })
        .def_prop_ro("frame", [](const AudioEncoderHandle& self) { return self.timing.frame; })
        .def_prop_ro("overlap", [](const AudioEncoderHandle& self) { return self.timing.overlap; })
        .def_prop_ro("lookahead", [](const AudioEncoderHandle& self) { return self.timing.reach; })
        .def("save", [](const AudioEncoderHandle& self) { return to_bytes(self.encoder->save()); })
        .def("restore", [](AudioEncoderHandle& self, const nb::bytes& state) {
            raise_unless_ok(self.encoder->restore(view(state)), "not a state of this session");
        })
        .def("sample",
             [](AudioEncoderHandle& self, uint32_t every) {
                 if (every == 0) throw nb::value_error("every is at least 1");
                 self.samples = AudioSamples{};
                 self.samples.every = every;
                 self.encoder->sample(&self.samples);
             })
        .def("samples", [](AudioEncoderHandle& self) {
            // Entries and bits of each kind of decision.
            AudioSamples s = std::move(self.samples);
            nb::list list;
            const auto add = [&list](std::vector<uint32_t>& entries, std::vector<uint8_t>& bits) {
                const size_t tables = bits.empty() ? 1 : entries.size() / bits.size();
                list.append(array_of(std::move(entries), tables));
                list.append(array_of(std::move(bits), 1));
            };
            add(s.coefficient, s.coefficient_bit);
            add(s.envelope, s.envelope_bit);
            add(s.band, s.band_bit);
            add(s.flag, s.flag_bit);
            return list;
        });

    nb::class_<AudioDecoderHandle>(m, "AudioDecoder")
        .def("__init__",
             [](AudioDecoderHandle* self, const AudioModelHandle& model, const nb::bytes& params, uint32_t signal_hz, size_t channels) {
                 const AudioFormat format = format_of(params);
                 new (self) AudioDecoderHandle();
                 self->channels = channels;
                 raise_unless_ok(AudioDecoder::create(model.model, format, signal_hz, channels, self->decoder), "no such audio session");
                 self->timing = timing_of(format, signal_hz);
             })
        .def("push",
             [](AudioDecoderHandle& self, uint64_t seq, uint64_t count, bool last, const nb::bytes& payload) {
                 const auto bytes = view(payload);
                 const AudioPacket packet{seq, count, last, {bytes.begin(), bytes.end()}};
                 std::vector<int32_t> samples;
                 Status status;
                 {
                     nb::gil_scoped_release release;
                     status = self.decoder->push(packet, samples);
                 }
                 raise_unless_ok(status, "the packet does not parse");
                 return floats_of(samples, self.channels);
             })
        .def("conceal",
             [](AudioDecoderHandle& self) {
                 std::vector<int32_t> samples;
                 self.decoder->conceal(samples);
                 return floats_of(samples, self.channels);
             })
        .def_prop_ro("rate_hz", [](const AudioDecoderHandle& self) { return self.timing.rate_hz; })
        .def_prop_ro("packet_frames", [](const AudioDecoderHandle& self) { return self.timing.packet_frames; })
        .def_prop_ro("frame", [](const AudioDecoderHandle& self) { return self.timing.frame; })
        .def_prop_ro("overlap", [](const AudioDecoderHandle& self) { return self.timing.overlap; })
        .def_prop_ro("lookahead", [](const AudioDecoderHandle& self) { return self.timing.reach; })
        .def_prop_ro("next", [](const AudioDecoderHandle& self) { return self.decoder->next(); })
        .def_prop_ro("finished", [](const AudioDecoderHandle& self) { return self.decoder->finished(); })
        .def("seek", [](AudioDecoderHandle& self, uint64_t seq) { self.decoder->seek(seq); })
        .def("samples_before", [](const AudioDecoderHandle& self, uint64_t seq) { return self.decoder->samples_before(seq); })
        .def("save", [](const AudioDecoderHandle& self) { return to_bytes(self.decoder->save()); })
        .def("restore", [](AudioDecoderHandle& self, const nb::bytes& state) {
            raise_unless_ok(self.decoder->restore(view(state)), "not a state of this session");
        });

    m.def(
        "mdct_dct4",
        [](Integers values) {
            const auto mdct = Mdct::of(values.size());
            if (!mdct) throw nb::value_error("no transform of this size");
            double energy = 0;
            for (size_t i = 0; i < values.size(); ++i) energy += static_cast<double>(values.data()[i]) * values.data()[i];
            if (energy > 0x1p58) throw nb::value_error("the root of the sum of squares is at most 2**29");
            mdct->dct4(values.data());
        },
        "Orthonormal DCT-IV of int32 values, in place.");
    m.def(
        "mdct_rotate",
        [](Integers values, bool inverse) {
            const auto mdct = Mdct::of(values.size());
            if (!mdct) throw nb::value_error("no transform of this size");
            if (inverse) mdct->unrotate(values.data());
            else mdct->rotate(values.data());
        },
        nb::arg("values"), nb::arg("inverse") = false, "Mix the halves of a block of int32 samples, in place.");
    m.def(
        "resample",
        [](Pairs samples, uint32_t in_hz, uint32_t out_hz) {
            if (in_hz < kLeastRate || in_hz > kLargestRate || out_hz < kLeastRate || out_hz > kLargestRate)
                throw nb::value_error("no such rate");
            if (samples.shape(1) == 0) throw nb::value_error("no channels");
            Resampler resampler(in_hz, out_hz, samples.shape(1));
            std::vector<int32_t> out;
            resampler.push({samples.data(), samples.size()}, out);
            resampler.finish((samples.shape(0) * uint64_t{out_hz} + in_hz - 1) / in_hz, out);
            return array_of(std::move(out), samples.shape(1));
        },
        nb::arg("samples"), nb::arg("in_hz"), nb::arg("out_hz"), "All of a signal [time, channels] at another rate.");
}
