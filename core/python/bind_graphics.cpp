#include "bind.hpp"
#include "narrows/graphics.hpp"

namespace {

using narrows::GraphicsShape;
using narrows::Status;
template <class Sample>
using Pixels = nb::ndarray<const Sample, nb::ndim<3>, nb::c_contig, nb::device::cpu>;

template <class Sample>
GraphicsShape shape_of(const Pixels<Sample>& pixels, uint32_t bit_depth) {
    const auto size = [&](size_t i) { return static_cast<uint32_t>(std::min<size_t>(pixels.shape(i), UINT32_MAX)); };
    return {size(1), size(0), size(2), bit_depth};
}

template <class Sample>
nb::bytes encode(const Pixels<Sample>& pixels, uint32_t bit_depth) {
    std::vector<uint8_t> payload;
    Status status;
    {
        nb::gil_scoped_release release;
        status =
            narrows::graphics_encode(std::span(pixels.data(), pixels.size()), shape_of(pixels, bit_depth), payload);
    }
    raise_unless_ok(status, "pixels must be [height, width, 1 to 4] and below 2**bit_depth");
    return to_bytes(payload);
}

template <class Sample>
void decode(const nb::bytes& payload, const nb::ndarray<Sample, nb::ndim<3>, nb::c_contig, nb::device::cpu>& pixels,
            uint32_t bit_depth) {
    Status status;
    {
        nb::gil_scoped_release release;
        status = narrows::graphics_decode(view(payload), shape_of(Pixels<Sample>(pixels), bit_depth),
                                          std::span(pixels.data(), pixels.size()));
    }
    raise_unless_ok(status, "a band of graphics that does not decode");
}

template <class Sample>
uint32_t score(const Pixels<Sample>& pixels, uint32_t bit_depth) {
    nb::gil_scoped_release release;
    return narrows::graphics_score(std::span(pixels.data(), pixels.size()), shape_of(pixels, bit_depth));
}

}  // namespace

void bind_graphics(nb::module_& m) {
    m.attr("GRAPHICS_WORTHWHILE") = narrows::kGraphicsWorthwhile;
    m.def("graphics_encode", &encode<uint8_t>, nb::arg("pixels"), nb::arg("bit_depth") = 8,
          "Code a band of pixels [height, width, channels], uint8 or uint16.");
    m.def("graphics_encode", &encode<uint16_t>, nb::arg("pixels"), nb::arg("bit_depth") = 16);
    m.def("graphics_decode", &decode<uint8_t>, nb::arg("payload"), nb::arg("pixels"), nb::arg("bit_depth") = 8,
          "Fill `pixels` [height, width, channels] with what `payload` codes.");
    m.def("graphics_decode", &decode<uint16_t>, nb::arg("payload"), nb::arg("pixels"), nb::arg("bit_depth") = 16);
    m.def("graphics_score", &score<uint8_t>, nb::arg("pixels"), nb::arg("bit_depth") = 8,
          "0 to 1024: how much of a picture repeats the pixel to the left or above; 1024 for few colors.");
    m.def("graphics_score", &score<uint16_t>, nb::arg("pixels"), nb::arg("bit_depth") = 16);
}
