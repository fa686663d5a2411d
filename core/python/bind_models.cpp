#include "bind_arrays.hpp"
#include "narrows/distributions.hpp"

namespace {

using narrows::DistributionTables;
using narrows::Family;

template <typename T>
using Flat = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

Family family_of(int number) {
    if (number < 0 || number > 2) throw nb::value_error("a family is 0, 1 or 2");
    return static_cast<Family>(number);
}

// Keeps the arrays that it reads.
struct Distributions {
    Flat<uint32_t> gaussian_tail, exponential;
    DistributionTables tables() const {
        return {{gaussian_tail.data(), gaussian_tail.size()}, {exponential.data(), exponential.size()}};
    }
};

}  // namespace

void bind_models(nb::module_& m) {
    nb::class_<Distributions>(m, "Distributions")
        .def("__init__",
             [](Distributions* self, Flat<uint32_t> gaussian_tail, Flat<uint32_t> exponential) {
                 const Distributions made{std::move(gaussian_tail), std::move(exponential)};
                 if (!made.tables().valid()) throw nb::value_error("the distribution tables are of another shape or rise");
                 new (self) Distributions(made);
             })
        .def("cumulative", [](const Distributions& self, int family, Flat<int64_t> distances, Flat<int64_t> scales,
                              nb::ndarray<uint64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu> out) {
            const Family f = family_of(family);
            if (distances.size() != scales.size() || out.size() != scales.size())
                throw nb::value_error("distances, scales and out differ in length");
            const DistributionTables tables = self.tables();
            for (size_t i = 0; i < scales.size(); ++i) {
                const int64_t scale = scales.data()[i], distance = distances.data()[i];
                if (scale < 1 || scale >= int64_t{1} << 31) throw nb::value_error("a scale is 1 to 2^31 - 1");
                if (distance < -(int64_t{1} << 56) || distance > int64_t{1} << 56)
                    throw nb::value_error("a distance is beyond 2^56");
                out.data()[i] = narrows::cumulative(tables, f, distance, static_cast<uint32_t>(scale));
            }
        });
    m.def("count_thresholds", [](const Array& values, Flat<int32_t> thresholds, const WritableArray& out) {
        if (values.dtype() != nb::dtype<int32_t>()) throw nb::value_error("values are int32");
        const std::span<const int32_t> limits(thresholds.data(), thresholds.size());
        run(values.nbytes(), [&](std::string& what) {
            what = "thresholds must not fall, and the index must hold their number";
            if (out.dtype() == nb::dtype<uint8_t>())
                return narrows::count_thresholds(span_of<int32_t>(values), limits,
                                                 std::span(static_cast<uint8_t*>(out.data()), out.size()));
            if (out.dtype() == nb::dtype<uint16_t>())
                return narrows::count_thresholds(span_of<int32_t>(values), limits,
                                                 std::span(static_cast<uint16_t*>(out.data()), out.size()));
            return narrows::Status::bad_argument;
        });
    });
}
