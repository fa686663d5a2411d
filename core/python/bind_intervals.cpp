#include <nanobind/stl/shared_ptr.h>

#include <memory>
#include <vector>

#include "bind_arrays.hpp"
#include "narrows/intervals.hpp"

namespace {

using narrows::Status;

template <typename T>
using Matrix = nb::ndarray<const T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
template <typename T>
using Vector = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

template <typename T>
std::span<const T> all_of(const Matrix<T>& matrix) {
    return {matrix.data(), matrix.size()};
}
template <typename T>
std::span<const T> all_of(const Vector<T>& vector) {
    return {vector.data(), vector.size()};
}

// Keeps the arrays that the model reads.
struct IntervalModel {
    narrows::IntervalModel model;
    std::vector<nb::object> held;
};

// Collects intervals in the order of decoding.
struct IntervalQueue {
    uint32_t bits;
    std::vector<narrows::Interval> intervals;
};

template <typename T>
size_t symbols_of_cdf(const Matrix<T>& cdf) {
    if (cdf.shape(1) < 2) throw nb::value_error("a cdf has two entries at least");
    return cdf.shape(1) - 1;
}

uint32_t checked_bits(uint32_t bits) {
    if (bits < 1 || bits > narrows::IntervalStack::kMaxBits) throw nb::value_error("bits is 1 to 24");
    return bits;
}

void append(const IntervalModel& model, uint32_t bits, const Array& symbols,
            std::vector<narrows::Interval>& intervals) {
    const auto s = int32_of(symbols);
    run_alone([&](std::string& what) { return narrows::intervals_of(model.model, bits, s, intervals, what); });
}

nb::object array_of(const std::vector<uint32_t>& words) {
    auto* copy = new std::vector<uint32_t>(words);
    nb::capsule owner(copy, [](void* p) noexcept { delete static_cast<std::vector<uint32_t>*>(p); });
    return nb::cast(nb::ndarray<nb::numpy, uint32_t, nb::ndim<1>>(copy->data(), {copy->size()}, owner));
}

template <typename Float>
IntervalModel model_of_probabilities(Matrix<Float> weights) {
    if (weights.shape(1) < 1) throw nb::value_error("a row of probabilities is empty");
    return {narrows::ProbabilityRows<Float>{all_of(weights), weights.shape(0), weights.shape(1)},
            {nb::cast(weights)}};
}

}  // namespace

void bind_intervals(nb::module_& m) {
    nb::class_<IntervalModel>(m, "IntervalModel");
    m.def("model_of_cdf", [](Matrix<uint32_t> cdf) {
        const size_t num_symbols = symbols_of_cdf(cdf);
        return IntervalModel{narrows::CdfRows{all_of(cdf), cdf.shape(0), num_symbols}, {nb::cast(cdf)}};
    });
    m.def("model_of_probabilities", &model_of_probabilities<float>);
    m.def("model_of_probabilities", &model_of_probabilities<double>);
    m.def("model_of_float_cdf", [](Matrix<float> cdf, bool normalize) {
        const size_t num_symbols = symbols_of_cdf(cdf);
        return IntervalModel{narrows::FloatCdfRows{all_of(cdf), cdf.shape(0), num_symbols, normalize},
                             {nb::cast(cdf)}};
    });
    m.def("model_of_short_cdf", [](Matrix<int16_t> cdf) {
        const size_t num_symbols = symbols_of_cdf(cdf);
        return IntervalModel{narrows::ShortCdfRows{all_of(cdf), cdf.shape(0), num_symbols}, {nb::cast(cdf)}};
    });
    m.def("model_of_distribution",
          [](Vector<uint32_t> gaussian_tail, Vector<uint32_t> exponential, int family, int32_t first,
             size_t num_symbols, Vector<double> means, Vector<double> scales) {
              const narrows::DistributionTables tables{all_of(gaussian_tail), all_of(exponential)};
              if (!tables.valid()) throw nb::value_error("the distribution tables are of another shape or rise");
              if (family < 0 || family > 2) throw nb::value_error("a family is 0, 1 or 2");
              if (means.size() != scales.size()) throw nb::value_error("means and scales differ in length");
              return IntervalModel{
                  narrows::DistributionRows{tables, static_cast<narrows::Family>(family), first, all_of(means),
                                            all_of(scales), means.size(), num_symbols},
                  {nb::cast(gaussian_tail), nb::cast(exponential), nb::cast(means), nb::cast(scales)}};
          });

    m.def("boundaries", [](const IntervalModel& model, uint32_t bits) {
        std::vector<uint32_t> boundaries;
        std::string what;
        raise_unless_ok(narrows::boundaries_of(model.model, checked_bits(bits), boundaries, what), what.c_str());
        return array_of(boundaries);
    });

    nb::class_<IntervalQueue>(m, "IntervalQueue")
        .def("__init__", [](IntervalQueue* self, uint32_t bits) { new (self) IntervalQueue{checked_bits(bits), {}}; })
        .def("__len__", [](const IntervalQueue& self) { return self.intervals.size(); })
        .def("put", [](IntervalQueue& self, const Array& symbols,
                       const IntervalModel& model) { append(model, self.bits, symbols, self.intervals); })
        .def("payload", [](const IntervalQueue& self) {
            narrows::IntervalStack stack(self.bits);
            stack.push(self.intervals);
            return array_of(stack.payload());
        });

    nb::class_<narrows::IntervalStack>(m, "IntervalStack")
        .def("__init__",
             [](narrows::IntervalStack* self, uint32_t bits) { new (self) narrows::IntervalStack(checked_bits(bits)); })
        .def("__len__", &narrows::IntervalStack::size)
        .def("__copy__", [](const narrows::IntervalStack& self) { return narrows::IntervalStack(self); })
        .def("push",
             [](narrows::IntervalStack& self, const Array& symbols, const IntervalModel& model) {
                 std::vector<narrows::Interval> intervals;
                 append(model, self.bits(), symbols, intervals);
                 self.push(intervals);
             })
        .def("pop",
             [](narrows::IntervalStack& self, const WritableArray& symbols, const IntervalModel& model) {
                 const auto s = writable_int32_of(symbols);
                 run_alone([&](std::string& what) { return narrows::pop(self, model.model, s, what); });
             })
        .def("payload", [](const narrows::IntervalStack& self) { return array_of(self.payload()); })
        .def("open", [](narrows::IntervalStack& self, Vector<uint32_t> payload) {
            std::string what;
            raise_unless_ok(self.open(all_of(payload), what), what.c_str());
        });
}
