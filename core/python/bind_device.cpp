#include <nanobind/stl/string.h>

#include <memory>
#include <vector>

#include "bind_arrays.hpp"
#include "rans/device.hpp"

std::shared_ptr<const narrows::Tables> tables_of(nb::handle held);

namespace {

// A copy as a NumPy array of bytes.
template <typename T>
nb::bytes raw(const std::vector<T>& values) {
    return nb::bytes(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

}  // namespace

void bind_device(nb::module_& m) {
    m.def("device_tables", [](nb::handle held, size_t bucket_bytes) {
        const narrows::DeviceTables made(*tables_of(held), bucket_bytes);
        nb::dict d;
        d["tables"] = raw(made.tables);
        d["cdf"] = raw(made.cdf);
        d["tokens"] = raw(made.tokens);
        d["buckets"] = raw(made.buckets);
        d["entropy_256"] = raw(made.entropy_256);
        d["log2_buckets"] = made.log2_buckets;
        d["digest"] = made.digest;
        d["any_raw"] = made.any_raw;
        return d;
    });

    // Runs a launch of core/cuda/rans.cu on this processor: pointers in `launch` are not checked.
    m.def("emulate_launch", [](const std::string& kernel, nb::ndarray<const uint64_t, nb::ndim<1>, nb::c_contig> launch) {
        bool known;
        {
            nb::gil_scoped_release release;
            known = narrows::emulate(kernel, {launch.data(), launch.size()});
        }
        if (!known) throw nb::value_error("no such launch");
    });

    m.def("fault_text", [](uint32_t fault) { return std::string(narrows::fault_text(fault)); });
    m.def("is_callers_fault", [](uint32_t fault) { return narrows::is_callers_fault(fault); });

    // Chunks and entries as the device reads them.
    m.def("payload_chunks", [](nb::handle payload, size_t num_symbols, nb::handle held, bool check, nb::handle entries) {
        const Buffer buffer(payload);
        std::string what;
        std::vector<narrows::Chunk> chunks;
        narrows::Status status =
            narrows::read_chunks(buffer.bytes(), num_symbols, *tables_of(held), check, chunks, what);
        raise_unless_ok(status, what.c_str());
        std::vector<narrows::Entry> found;
        if (!entries.is_none()) {
            const Buffer given(entries);
            status = narrows::read_entries(given.bytes(), buffer.bytes(), chunks, found, what);
            raise_unless_ok(status, what.c_str());
        }
        return nb::make_tuple(raw(chunks), raw(found));
    }, nb::arg("payload"), nb::arg("num_symbols"), nb::arg("tables"), nb::arg("check"), nb::arg("entries").none());

    m.def("entry_index", [](nb::handle payload, const Array& index, nb::handle held, bool check, uint32_t every) {
        const Buffer buffer(payload);
        const narrows::Indexes i = indexes_of(index);
        std::vector<uint8_t> bytes;
        const std::shared_ptr<const narrows::Tables> tables = tables_of(held);
        run(buffer.bytes().size() + index.nbytes(), [&](std::string& what) {
            return narrows::make_entries(buffer.bytes(), i, *tables, check, every, bytes, what);
        });
        return to_bytes(bytes);
    });
}
