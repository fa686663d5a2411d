#include <memory>
#include <optional>
#include <vector>

#include "bind_arrays.hpp"
#include "narrows/range_tables.hpp"

std::shared_ptr<const narrows::Tables> tables_of(nb::handle held);

namespace {

using narrows::Status;

// What changes while the GIL is not held belongs to one thread at a time.
struct Shared {
    bool in_use = false;
};

void check_unused(const Shared& shared) {
    if (shared.in_use) throw nb::value_error("another thread is using this coder or model");
}

class Use {
   public:
    explicit Use(Shared& shared) : shared_(shared) {
        check_unused(shared_);
        shared_.in_use = true;
    }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;
    ~Use() { shared_.in_use = false; }

   private:
    Shared& shared_;
};

struct Adaptive : Shared {
    narrows::AdaptiveTables tables;
};

struct AdaptiveBits : Shared {
    explicit AdaptiveBits(size_t num_contexts) : models(num_contexts) {}
    std::vector<narrows::AdaptiveBit> models;
};

struct Encoder : Shared {
    narrows::RangeEncoder coder;
    bool finished = false;
};

// Keeps the bytes that it reads.
struct Decoder : Shared {
    explicit Decoder(std::span<const uint8_t> b) : bytes(b.begin(), b.end()), coder(bytes) {}
    std::vector<uint8_t> bytes;
    narrows::CountingDecoder coder;
};

// Calls `code`; an encoder that ran out of memory in the middle takes no more.
template <typename Code>
void whole_or_broken(Encoder& encoder, Code code) {
    try {
        code();
    } catch (const std::bad_alloc&) {
        encoder.finished = true;
        throw;
    }
}

void check_open(const Encoder& encoder) {
    check_unused(encoder);
    if (encoder.finished) throw nb::value_error("the encoder is finished");
}

// Runs with(model, what) on whichever kind of model `object` is.
template <typename With>
void run_with_model(size_t num_bytes, nb::handle object, With with) {
    if (nb::isinstance<Adaptive>(object)) {
        auto& model = nb::cast<Adaptive&>(object);
        const Use use(model);
        run(num_bytes, [&](std::string& what) { return with(model.tables, what); });
    } else if (nb::isinstance<AdaptiveBits>(object)) {
        auto& model = nb::cast<AdaptiveBits&>(object);
        const Use use(model);
        run(num_bytes, [&](std::string& what) { return with(std::span(model.models), what); });
    } else {
        const std::shared_ptr<const narrows::Tables> tables = tables_of(object);
        run(num_bytes, [&](std::string& what) { return with(*tables, what); });
    }
}

}  // namespace

// The tables that a Python object holds, or null if it is of another class.
narrows::AdaptiveTables* adaptive_of(nb::handle held) {
    return nb::isinstance<Adaptive>(held) ? &nb::cast<Adaptive&>(held).tables : nullptr;
}

void bind_range(nb::module_& m) {
    nb::class_<Adaptive>(m, "Adaptive")
        .def("__init__", [](Adaptive* self, nb::handle tables, uint32_t weight, uint32_t max_shift) {
            Adaptive made;
            std::string what;
            const Status status =
                narrows::AdaptiveTables::make(tables_of(tables), weight, max_shift, made.tables, what);
            raise_unless_ok(status, what.c_str());
            new (self) Adaptive(std::move(made));
        })
        .def("__copy__", [](const Adaptive& self) {
            check_unused(self);
            return Adaptive(self);
        })
        .def("frequency", [](const Adaptive& self, size_t table, uint32_t token) {
            check_unused(self);
            const narrows::Tables& tables = self.tables.tables();
            if (table >= tables.size()) throw nb::value_error("an index names no table");
            const uint32_t symbol = token - !tables[table].has_escape;
            if (token >= tables[table].num_tokens || symbol == UINT32_MAX) return 0u;
            return self.tables[table].frequency(symbol);
        });
    nb::class_<AdaptiveBits>(m, "AdaptiveBits")
        .def("__init__", [](AdaptiveBits* self, size_t num_contexts) {
            if (num_contexts < 1 || num_contexts > 65536) throw nb::value_error("there must be 1 to 65,536 contexts");
            new (self) AdaptiveBits(num_contexts);
        })
        .def("__copy__", [](const AdaptiveBits& self) {
            check_unused(self);
            return AdaptiveBits(self);
        })
        .def("p1", [](const AdaptiveBits& self, size_t context) {
            check_unused(self);
            if (context >= self.models.size()) throw nb::value_error("an index names no context");
            return self.models[context].p1();
        });

    nb::class_<Encoder>(m, "RangeEncoder")
        .def(nb::init<>())
        .def("put", [](Encoder& self, const Array& symbols, const Array& index, nb::handle model) {
            check_open(self);
            const narrows::Indexes i = indexes_of(index);
            const auto s = int32_of(symbols);
            const Use use(self);
            whole_or_broken(self, [&] {
                run_with_model(symbols.nbytes(), model, [&](auto&& tables, std::string& what) {
                    return narrows::put(self.coder, s, i, tables, what);
                });
            });
        })
        .def("put_bits", [](Encoder& self, nb::ndarray<const uint32_t, nb::c_contig> values,
                            nb::ndarray<const uint8_t, nb::c_contig> counts) {
            check_open(self);
            if (values.size() != counts.size()) throw nb::value_error("values and counts differ in length");
            for (size_t i = 0; i < values.size(); ++i)
                if (counts.data()[i] > 32 || uint64_t{values.data()[i]} >> counts.data()[i])
                    throw nb::value_error("a value does not fit its count of bits, at most 32");
            whole_or_broken(self, [&] {
                for (size_t i = 0; i < values.size(); ++i) self.coder.encode_raw(values.data()[i], counts.data()[i]);
            });
        })
        .def("tell_bits", [](const Encoder& self) {
            check_open(self);
            return narrows::tell_256(self.coder.bytes_so_far(), self.coder.range());
        })
        .def("finish", [](Encoder& self) {
            check_open(self);
            self.finished = true;
            return to_bytes(self.coder.finish());
        });

    nb::class_<Decoder>(m, "RangeDecoder")
        .def("__init__", [](Decoder* self, nb::handle payload) { new (self) Decoder(Buffer(payload).bytes()); })
        .def("get", [](Decoder& self, const WritableArray& symbols, const Array& index, nb::handle model) {
            const narrows::Indexes i = indexes_of(index);
            const auto s = writable_int32_of(symbols);
            const Use use(self);
            run_with_model(symbols.nbytes(), model, [&](auto&& tables, std::string& what) {
                return narrows::get(self.coder, s, i, tables, what);
            });
        })
        .def("get_bits", [](Decoder& self, nb::ndarray<uint32_t, nb::c_contig> values,
                            nb::ndarray<const uint8_t, nb::c_contig> counts) {
            check_unused(self);
            if (values.size() != counts.size()) throw nb::value_error("values and counts differ in length");
            for (size_t i = 0; i < values.size(); ++i)
                if (counts.data()[i] > 32) throw nb::value_error("a count of bits is above 32");
            for (size_t i = 0; i < values.size(); ++i) values.data()[i] = self.coder.decode_raw(counts.data()[i]);
            if (self.coder.padded() > 4) raise_unless_ok(Status::truncated, "the stream ends early");
        })
        .def("tell_bits", [](const Decoder& self) {
            check_unused(self);
            return self.coder.tell_256();
        })
        .def("finish", [](const Decoder& self) {
            check_unused(self);
            if (self.coder.padded() > 4) raise_unless_ok(Status::truncated, "the stream ends early");
            if (!self.coder.finished())
                raise_unless_ok(Status::corrupt, "bytes are left over, or not as an encoder ends them");
        });

    m.def("adaptive_encode", [](const Array& symbols, const Array& index, Adaptive& tables, bool check,
                                bool hash_index) {
        const narrows::Indexes i = indexes_of(index);
        const auto s = int32_of(symbols);
        std::vector<uint8_t> payload;
        narrows::EncodeOptions options;
        options.check = check;
        options.hash_index = hash_index;
        const Use use(tables);
        run(symbols.nbytes(), [&](std::string& what) {
            return narrows::encode(s, i, tables.tables, options, payload, what);
        });
        return to_bytes(payload);
    });
    m.def("adaptive_decode", [](nb::handle payload, const Array& index, Adaptive& tables,
                                const WritableArray& symbols, bool check) {
        const Buffer buffer(payload);
        const narrows::Indexes i = indexes_of(index);
        const auto s = writable_int32_of(symbols);
        const Use use(tables);
        run(symbols.nbytes(), [&](std::string& what) {
            return narrows::decode(buffer.bytes(), i, tables.tables, {check, 1}, s, what);
        });
    });
}
