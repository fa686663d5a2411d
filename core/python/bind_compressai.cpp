#include <nanobind/stl/shared_ptr.h>

#include <memory>
#include <vector>

#include "bind_arrays.hpp"
#include "narrows/compressai.hpp"

namespace {

namespace compressai = narrows::compressai;
using narrows::Status;

// Named apart from the other binding files' structs: nanobind tells types by name.
struct CompressaiTables {
    std::shared_ptr<const compressai::Tables> tables;
};

// Also int32, the type of CompressAI's indexes.
compressai::Indexes any_indexes_of(const Array& array) {
    if (array.dtype() == nb::dtype<int32_t>()) return span_of<int32_t>(array);
    return std::visit([](auto span) { return compressai::Indexes(span); }, indexes_of(array));
}

std::vector<size_t> counts_of(const nb::ndarray<const int64_t, nb::ndim<1>, nb::c_contig>& counts) {
    std::vector<size_t> made(counts.size());
    for (size_t i = 0; i < made.size(); ++i) {
        if (counts.data()[i] < 0) throw nb::value_error("a count is negative");
        made[i] = static_cast<size_t>(counts.data()[i]);
    }
    return made;
}

}  // namespace

void bind_compressai(nb::module_& m) {
    nb::class_<CompressaiTables>(m, "CompressaiTables")
        .def("__init__",
             [](CompressaiTables* self, nb::ndarray<const int32_t, nb::ndim<2>, nb::c_contig> cdf,
                nb::ndarray<const int32_t, nb::ndim<1>, nb::c_contig> lengths,
                nb::ndarray<const int32_t, nb::ndim<1>, nb::c_contig> offsets) {
                 const char* what = "";
                 std::shared_ptr<const compressai::Tables> tables;
                 const Status status =
                     compressai::Tables::make({cdf.data(), cdf.size()}, cdf.shape(1), {lengths.data(), lengths.size()},
                                              {offsets.data(), offsets.size()}, tables, what);
                 raise_unless_ok(status, what);
                 new (self) CompressaiTables{std::move(tables)};
             })
        .def("__len__", [](const CompressaiTables& self) { return self.tables->size(); });

    nb::class_<compressai::Encoder>(m, "CompressaiEncoder")
        .def(nb::init<>())
        .def("put",
             [](compressai::Encoder& self, const Array& symbols, const Array& index, const CompressaiTables& tables) {
                 std::string what;
                 const Status status = self.put(int32_of(symbols), any_indexes_of(index), tables.tables, what);
                 raise_unless_ok(status, what.c_str());
             })
        .def("finish", [](compressai::Encoder& self) {
            size_t num_beyond = 0;
            const std::vector<uint8_t> string = self.finish(num_beyond);
            return nb::make_tuple(to_bytes(string), num_beyond);
        });

    nb::class_<compressai::Decoder>(m, "CompressaiDecoder")
        .def("__init__",
             [](compressai::Decoder* self, nb::handle string) {
                 const Buffer buffer(string);
                 std::string what;
                 compressai::Decoder decoder;
                 raise_unless_ok(decoder.open(buffer.bytes(), what), what.c_str());
                 new (self) compressai::Decoder(std::move(decoder));
             })
        .def("get",
             [](compressai::Decoder& self, const WritableArray& symbols, const Array& index,
                const CompressaiTables& tables) {
                 std::string what;
                 const Status status =
                     self.get(any_indexes_of(index), *tables.tables, writable_int32_of(symbols), what);
                 raise_unless_ok(status, what.c_str());
             })
        .def("finish", [](compressai::Decoder& self) {
            std::string what;
            raise_unless_ok(self.finish(what), what.c_str());
        });

    m.def("compressai_encode",
          [](const Array& symbols, const Array& index, nb::ndarray<const int64_t, nb::ndim<1>, nb::c_contig> counts,
             const CompressaiTables& tables) {
              std::vector<std::vector<uint8_t>> strings;
              size_t num_beyond = 0;
              const auto s = int32_of(symbols);
              const compressai::Indexes i = any_indexes_of(index);
              const std::vector<size_t> c = counts_of(counts);
              run(symbols.nbytes() + index.nbytes(), [&](std::string& what) {
                  return compressai::encode(s, i, c, *tables.tables, strings, num_beyond, what);
              });
              nb::list made;
              for (const std::vector<uint8_t>& string : strings) made.append(to_bytes(string));
              return nb::make_tuple(made, num_beyond);
          });

    m.def("compressai_decode",
          [](nb::sequence strings, const Array& index, nb::ndarray<const int64_t, nb::ndim<1>, nb::c_contig> counts,
             const CompressaiTables& tables, const WritableArray& symbols) {
              std::vector<std::unique_ptr<Buffer>> buffers;
              std::vector<std::span<const uint8_t>> views;
              for (nb::handle string : strings) {
                  buffers.push_back(std::make_unique<Buffer>(string));
                  views.push_back(buffers.back()->bytes());
              }
              const compressai::Indexes i = any_indexes_of(index);
              const std::vector<size_t> c = counts_of(counts);
              const auto s = writable_int32_of(symbols);
              run(symbols.nbytes() + index.nbytes(), [&](std::string& what) {
                  return compressai::decode(views, i, c, *tables.tables, s, what);
              });
          });

    m.def("compressai_pmf_to_quantized_cdf", [](nb::ndarray<const float, nb::ndim<1>, nb::c_contig> pmf,
                                                unsigned precision,
                                                nb::ndarray<uint32_t, nb::ndim<1>, nb::c_contig> cdf) {
        std::string what;
        const Status status = compressai::pmf_to_quantized_cdf({pmf.data(), pmf.size()}, precision,
                                                               {cdf.data(), cdf.size()}, what);
        raise_unless_ok(status, what.c_str());
    });
}
