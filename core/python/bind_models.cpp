#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/vector.h>

#include "bind_arrays.hpp"
#include "narrows/context.hpp"
#include "narrows/distributions.hpp"
#include "narrows/pointwise.hpp"

std::shared_ptr<const narrows::Tables> tables_of(nb::handle held);
narrows::AdaptiveTables* adaptive_of(nb::handle held);

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

template <typename T>
std::span<const T> view_of(const Flat<T>& array) {
    return {array.data(), array.size()};
}
template <typename T>
using Out = nb::ndarray<T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

narrows::Mixtures mixtures_of(int family, uint32_t fraction_bits, size_t num_components, const Flat<uint16_t>& weights,
                              const Flat<int32_t>& means, const Flat<int32_t>& scales) {
    return {family_of(family), fraction_bits, num_components, view_of(weights), view_of(means), view_of(scales)};
}

narrows::ContextShape shape_of(const std::vector<size_t>& sizes) {
    if (sizes.size() != 4) throw nb::value_error("a shape is items, channels, height, width");
    return {sizes[0], sizes[1], sizes[2], sizes[3]};
}

struct Context {
    std::shared_ptr<const narrows::ContextModel> model;
};

struct LayerArrays {
    Flat<int8_t> weights;
    Flat<int32_t> bias, multiplier;
};

// Calls `with` on fixed or adaptive tables.
template <typename With>
narrows::Status with_tables(nb::handle held, With with) {
    if (narrows::AdaptiveTables* adaptive = adaptive_of(held)) return with(*adaptive);
    const auto tables = tables_of(held);
    return with(*tables);
}

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

    m.def("encode_rows", [](Flat<int32_t> symbols, Flat<uint32_t> weights, size_t size) {
        std::vector<uint8_t> stream;
        run(weights.nbytes(), [&](std::string& what) {
            return narrows::encode_rows(view_of(symbols), view_of(weights), size, stream, what);
        });
        return to_bytes(stream);
    });
    m.def("decode_rows", [](nb::handle payload, Flat<uint32_t> weights, size_t size, Out<int32_t> symbols) {
        const Buffer buffer(payload);
        run(weights.nbytes(), [&](std::string& what) {
            return narrows::decode_rows(std::span(symbols.data(), symbols.size()), view_of(weights), size, buffer.bytes(), what);
        });
    });
    m.def("encode_mixtures", [](const Distributions& held, int family, uint32_t fraction_bits, size_t num_components,
                                Flat<int32_t> symbols, Flat<uint16_t> weights, Flat<int32_t> means, Flat<int32_t> scales) {
        std::vector<uint8_t> stream;
        const narrows::Mixtures mixtures = mixtures_of(family, fraction_bits, num_components, weights, means, scales);
        run(means.nbytes(), [&](std::string& what) {
            return narrows::encode_mixtures(held.tables(), mixtures, view_of(symbols), stream, what);
        });
        return to_bytes(stream);
    });
    m.def("decode_mixtures", [](const Distributions& held, int family, uint32_t fraction_bits, size_t num_components,
                                nb::handle payload, Flat<uint16_t> weights, Flat<int32_t> means, Flat<int32_t> scales,
                                Out<int32_t> symbols) {
        const Buffer buffer(payload);
        const narrows::Mixtures mixtures = mixtures_of(family, fraction_bits, num_components, weights, means, scales);
        run(means.nbytes(), [&](std::string& what) {
            return narrows::decode_mixtures(held.tables(), mixtures, std::span(symbols.data(), symbols.size()),
                                            buffer.bytes(), what);
        });
    });

    nb::class_<Context>(m, "Context")
        .def("__init__",
             [](Context* self, Flat<int32_t> taps, uint32_t num_sides, Flat<uint8_t> maps, uint32_t num_maps, uint32_t num_nets,
                const nb::list& layers, std::vector<uint32_t> grid, bool mean) {
                 if (taps.size() % 4 || num_maps == 0 || maps.size() % num_maps || grid.size() != 2)
                     throw nb::value_error("taps are fours, maps equally long, and a grid has two sides");
                 std::vector<narrows::ContextTap> all(taps.size() / 4);
                 for (size_t i = 0; i < all.size(); ++i) {
                     const int32_t* t = taps.data() + 4 * i;
                     all[i] = {t[0], t[1], t[2], t[3]};
                 }
                 std::vector<LayerArrays> arrays;
                 std::vector<narrows::ContextLayerView> views;
                 for (nb::handle layer : layers) {
                     const auto t = nb::cast<nb::tuple>(layer);
                     if (t.size() != 6) throw nb::value_error("a layer is inputs, outputs, weights, bias, multiplier, shift");
                     arrays.push_back({nb::cast<Flat<int8_t>>(t[2]), nb::cast<Flat<int32_t>>(t[3]), nb::cast<Flat<int32_t>>(t[4])});
                     const LayerArrays& a = arrays.back();
                     views.push_back({nb::cast<uint32_t>(t[0]), nb::cast<uint32_t>(t[1]), view_of(a.weights), view_of(a.bias),
                                      view_of(a.multiplier), nb::cast<uint32_t>(t[5])});
                 }
                 const narrows::ContextView view{all, num_sides, view_of(maps), num_maps,
                                                 static_cast<uint32_t>(maps.size() / num_maps), num_nets, views,
                                                 {grid[0], grid[1]}, mean};
                 Context made;
                 std::string what;
                 const narrows::Status status = narrows::ContextModel::make(view, made.model, what);
                 raise_unless_ok(status, what.c_str());
                 new (self) Context(std::move(made));
             })
        .def_prop_ro("digest", [](const Context& self) { return self.model->digest(); })
        .def("working_bytes", [](const Context& self, const std::vector<size_t>& shape) {
            return self.model->working_bytes(shape_of(shape));
        })
        .def("encode",
             [](const Context& self, const std::vector<size_t>& shape, Flat<int32_t> symbols, Flat<uint8_t> sides, nb::handle tables,
                bool hash) {
                 std::vector<uint8_t> stream;
                 std::string what;
                 const narrows::ContextShape sizes = shape_of(shape);
                 const narrows::Status status = with_tables(tables, [&](auto& any) {
                     nb::gil_scoped_release release;
                     return self.model->encode(sizes, view_of(symbols), view_of(sides), any, hash, stream, what);
                 });
                 raise_unless_ok(status, what.c_str());
                 return to_bytes(stream);
             })
        .def("decode", [](const Context& self, const std::vector<size_t>& shape, nb::handle payload, Flat<uint8_t> sides,
                          nb::handle tables, bool hash, Out<int32_t> symbols) {
            const Buffer buffer(payload);
            std::string what;
            const narrows::ContextShape sizes = shape_of(shape);
            const narrows::Status status = with_tables(tables, [&](auto& any) {
                nb::gil_scoped_release release;
                return self.model->decode(sizes, std::span(symbols.data(), symbols.size()), view_of(sides), any, hash,
                                          buffer.bytes(), what);
            });
            raise_unless_ok(status, what.c_str());
        });
}
