#include "bind.hpp"

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <new>
#include <string>

#include "narrows/cpu.hpp"
#include "narrows/crc.hpp"

using narrows::Status;

void raise_unless_ok(Status status, const char* what) {
    if (status == Status::ok) return;
    if (status == Status::no_memory) throw std::bad_alloc();
    const char* name = "CorruptStream";
    switch (status) {
        case Status::bad_argument: throw nb::value_error(what);
        case Status::truncated: name = "TruncatedStream"; break;
        case Status::unsupported: name = "UnsupportedStream"; break;
        case Status::limit: name = "LimitExceeded"; break;
        default: break;
    }
    nb::object type = nb::module_::import_("narrows.errors").attr(name);
    PyErr_SetString(type.ptr(), what);
    throw nb::python_error();
}

void bind_basics(nb::module_& m) {
    m.def(
        "crc32c",
        [](nb::object data, uint32_t crc) {
            Py_buffer buffer;
            if (PyObject_GetBuffer(data.ptr(), &buffer, PyBUF_SIMPLE) != 0) throw nb::python_error();
            const std::span<const uint8_t> bytes(static_cast<const uint8_t*>(buffer.buf),
                                                 static_cast<size_t>(buffer.len));
            if (buffer.len > 65536) {
                nb::gil_scoped_release release;
                crc = narrows::crc32c(bytes, crc);
            } else {
                crc = narrows::crc32c(bytes, crc);
            }
            PyBuffer_Release(&buffer);
            return crc;
        },
        nb::arg("data"), nb::arg("crc") = 0, "CRC32C of a bytes-like object, continued from `crc`.");
    m.def("isa", [] { return std::string(narrows::isa_name(narrows::current_isa())); });
    m.def("available_isas", [] {
        std::vector<std::string> names;
        for (narrows::Isa isa : narrows::available_isas()) names.emplace_back(narrows::isa_name(isa));
        return names;
    });
    m.def("set_isa", [](const std::string& name) {
        narrows::Isa isa;
        if (!narrows::parse_isa(name, isa)) throw nb::value_error("no such instruction set");
        if (!narrows::set_isa(isa)) throw nb::value_error("this machine lacks that instruction set");
    });
}
