#include <nanobind/stl/shared_ptr.h>

#include <memory>
#include <vector>

#include "bind_arrays.hpp"
#include "narrows/rans.hpp"
#include "narrows/tables.hpp"

namespace {

// nanobind holds shared pointers to mutable types only; Tables has no way to change.
struct HeldTables {
    std::shared_ptr<const narrows::Tables> tables;
};

}  // namespace

std::shared_ptr<const narrows::Tables> tables_of(nb::handle held) { return nb::cast<HeldTables&>(held).tables; }

void bind_rans(nb::module_& m) {
    nb::class_<HeldTables>(m, "Tables", "Checked integer tables; the face of it is narrows.entropy.Tables.")
        .def(
            "__init__",
            [](HeldTables* self, uint32_t bits, nb::ndarray<const int32_t, nb::ndim<1>, nb::c_contig> offset,
               nb::ndarray<const uint8_t, nb::ndim<1>, nb::c_contig> shift,
               nb::ndarray<const uint32_t, nb::ndim<1>, nb::c_contig> num_tokens,
               nb::ndarray<const uint32_t, nb::ndim<1>, nb::c_contig> frequencies) {
                const char* what = "";
                std::shared_ptr<const narrows::Tables> tables;
                const narrows::Status status = narrows::Tables::make(
                    bits, {offset.data(), offset.size()}, {shift.data(), shift.size()},
                    {num_tokens.data(), num_tokens.size()}, {frequencies.data(), frequencies.size()}, tables, what);
                raise_unless_ok(status, what);
                new (self) HeldTables{std::move(tables)};
            })
        .def_prop_ro("digest", [](const HeldTables& self) { return self.tables->digest(); })
        .def_prop_ro("num_buckets", [](const HeldTables& self) { return self.tables->decode_entries().buckets.size(); });

    m.def("apportion", [](nb::ndarray<const uint64_t, nb::ndim<1>, nb::c_contig> weights, uint32_t bits,
                          nb::ndarray<uint32_t, nb::ndim<1>, nb::c_contig> units) {
        raise_unless_ok(narrows::apportion({weights.data(), weights.size()}, bits, {units.data(), units.size()}),
                        "weights are 1 to 2^bits numbers that are not all zero");
    });

    m.def("rans_encode", [](const Array& symbols, const Array& index, const HeldTables& tables, bool check,
                            unsigned threads, bool hash_index, uint32_t chunk_bytes) {
        const narrows::Symbols s = symbols_of(symbols);
        const narrows::Indexes i = indexes_of(index);
        std::vector<uint8_t> payload;
        run(symbols.nbytes() + index.nbytes(), [&](std::string& what) {
            const narrows::EncodeOptions options{check, hash_index, chunk_bytes, threads};
            return narrows::encode(s, i, *tables.tables, options, payload, what);
        });
        return to_bytes(payload);
    });

    m.def("rans_decode", [](nb::handle payload, const Array& index, const HeldTables& tables,
                            const WritableArray& symbols, bool check, unsigned threads) {
        const Buffer buffer(payload);
        const narrows::Indexes i = indexes_of(index);
        narrows::MutableSymbols s;
        if (symbols.dtype() == nb::dtype<int16_t>())
            s = std::span(static_cast<int16_t*>(symbols.data()), symbols.size());
        else if (symbols.dtype() == nb::dtype<int32_t>())
            s = std::span(static_cast<int32_t*>(symbols.data()), symbols.size());
        else
            throw nb::value_error("decoded symbols are int16 or int32");
        run(symbols.nbytes() + index.nbytes(), [&](std::string& what) {
            return narrows::decode(buffer.bytes(), i, *tables.tables, {check, threads}, s, what);
        });
    });
}
