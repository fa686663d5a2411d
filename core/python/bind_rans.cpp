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

std::shared_ptr<const narrows::Tables> tables_of(nb::handle held) {
    const HeldTables* tables = nullptr;
    if (!nb::try_cast(held, tables, false) || !tables) throw nb::type_error("tables are an entropy.Tables here");
    return tables->tables;
}

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

    m.def("rans_encode", [](nb::handle symbols, nb::handle index, const HeldTables& tables, bool check,
                            unsigned threads, bool hash_index, uint32_t chunk_bytes) {
        const IntegerArray held_symbols(symbols), held_index(index);
        const narrows::Integers s = held_symbols.view(), i = held_index.view();
        nb::object payload;
        const auto allocate = [&payload](size_t num_bytes) -> uint8_t* {
            const nb::gil_scoped_acquire hold;
            payload = nb::steal(PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(num_bytes)));
            if (payload.is_valid()) return reinterpret_cast<uint8_t*>(PyBytes_AsString(payload.ptr()));
            PyErr_Clear();
            return nullptr;
        };
        run(held_symbols.num_bytes() + held_index.num_bytes(), [&](std::string& what) {
            const narrows::EncodeOptions options{check, hash_index, chunk_bytes, threads};
            return narrows::encode(s, i, *tables.tables, options, allocate, what);
        });
        return payload;
    });

    // `chunk` below 0: all.
    m.def("rans_decode", [](nb::handle payload, nb::handle index, const HeldTables& tables, nb::handle symbols,
                            bool check, unsigned threads, int64_t chunk) {
        const Buffer buffer(payload);
        const IntegerArray held_index(index), held_symbols(symbols, PyBUF_STRIDED);
        const narrows::Integers i = held_index.view();
        const narrows::MutableIntegers s = held_symbols.mutable_view();
        narrows::DecodeOptions options{check, threads};
        if (chunk >= 0) options.chunk = static_cast<size_t>(chunk);
        run(held_symbols.num_bytes() + held_index.num_bytes(), [&](std::string& what) {
            return narrows::decode(buffer.bytes(), i, *tables.tables, options, s, what);
        });
    });

    m.def("rans_pack", [](nb::handle symbols, nb::handle index) {
        const IntegerArray held_symbols(symbols, PyBUF_STRIDED), held_index(index);
        const narrows::MutableIntegers s = held_symbols.mutable_view();
        const narrows::Integers i = held_index.view();
        int16_t* const pairs = s.contiguous<int16_t>();
        if (!pairs || s.size() != i.size()) throw nb::value_error("as many int16 symbols in a row as indexes");
        const nb::gil_scoped_release release;
        return narrows::pack({pairs, s.size()}, i);
    });

    m.def("rans_chunks", [](nb::handle payload, bool check) {
        const Buffer buffer(payload);
        std::vector<narrows::ChunkRange> chunks;
        run(buffer.bytes().size(),
            [&](std::string& what) { return narrows::list_chunks(buffer.bytes(), check, chunks, what); });
        nb::list list;
        for (const narrows::ChunkRange& c : chunks)
            list.append(nb::make_tuple(c.first_byte, c.num_bytes, c.first_symbol, c.num_symbols));
        return list;
    });
}
