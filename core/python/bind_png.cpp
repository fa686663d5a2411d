#include "bind.hpp"
#include "narrows/png.hpp"

namespace {

using Bytes = nb::ndarray<uint8_t, nb::c_contig, nb::device::cpu>;
using ConstBytes = nb::ndarray<const uint8_t, nb::c_contig, nb::device::cpu>;

}  // namespace

void bind_png(nb::module_& m) {
    m.def(
        "png_unfilter",
        [](Bytes rows, Bytes above, size_t pixel_bytes) {
            narrows::Status status;
            {
                nb::gil_scoped_release release;
                status = narrows::png_unfilter({rows.data(), rows.size()}, {above.data(), above.size()}, pixel_bytes);
            }
            raise_unless_ok(status, "PNG rows: unknown filter or wrong size");
        },
        nb::arg("rows"), nb::arg("above"), nb::arg("pixel_bytes"), "Undo PNG row filters in place.");
    m.def(
        "png_filter",
        [](ConstBytes pixels, Bytes above, size_t pixel_bytes, Bytes rows) {
            narrows::Status status;
            {
                nb::gil_scoped_release release;
                status = narrows::png_filter({pixels.data(), pixels.size()}, {above.data(), above.size()}, pixel_bytes,
                                             {rows.data(), rows.size()});
            }
            raise_unless_ok(status, "PNG rows: wrong size");
        },
        nb::arg("pixels"), nb::arg("above"), nb::arg("pixel_bytes"), nb::arg("rows"),
        "Filter PNG rows, each with the filter of the smallest sum of absolute differences.");
}
