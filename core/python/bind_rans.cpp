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

using StridedWritableArray = nb::ndarray<nb::device::cpu>;

namespace {

// An array of one dimension, or one whose values stand one behind the other.
narrows::MutableIntegers mutable_integers_of(const StridedWritableArray& array) {
    const narrows::IntegerType type = type_of(array);
    if (array.ndim() == 1 && array.size() > 1)
        return {array.data(), type, array.size(), static_cast<ptrdiff_t>(array.stride(0))};
    int64_t stride = 1;
    for (size_t d = array.size() ? array.ndim() : 0; d-- > 0; stride *= static_cast<int64_t>(array.shape(d)))
        if (array.stride(d) != stride && array.shape(d) > 1) throw nb::value_error("symbols are decoded to one vector");
    return {array.data(), type, array.size()};
}

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

    m.def("rans_encode", [](const StridedArray& symbols, const StridedArray& index, const HeldTables& tables,
                            bool check, unsigned threads, bool hash_index, uint32_t chunk_bytes) {
        const narrows::Integers s = integers_of(symbols), i = integers_of(index);
        std::vector<uint8_t> payload;
        run(symbols.nbytes() + index.nbytes(), [&](std::string& what) {
            const narrows::EncodeOptions options{check, hash_index, chunk_bytes, threads};
            return narrows::encode(s, i, *tables.tables, options, payload, what);
        });
        return to_bytes(payload);
    });

    // `chunk` below 0: all.
    m.def("rans_decode", [](nb::handle payload, const StridedArray& index, const HeldTables& tables,
                            const StridedWritableArray& symbols, bool check, unsigned threads, int64_t chunk) {
        const Buffer buffer(payload);
        const narrows::Integers i = integers_of(index);
        narrows::DecodeOptions options{check, threads};
        if (chunk >= 0) options.chunk = static_cast<size_t>(chunk);
        const narrows::MutableIntegers s = mutable_integers_of(symbols);
        run(symbols.nbytes() + index.nbytes(), [&](std::string& what) {
            return narrows::decode(buffer.bytes(), i, *tables.tables, options, s, what);
        });
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
