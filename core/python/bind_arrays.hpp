// NumPy arrays as the entropy coder's views.
#pragma once

#include <string>

#include "bind.hpp"
#include "narrows/rans.hpp"

using Array = nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu>;
using WritableArray = nb::ndarray<nb::c_contig, nb::device::cpu>;

// Releasing the GIL costs about 80 ns, so only calls that take longer than microseconds do.
inline constexpr size_t kReleaseBytes = 16384;

template <typename T>
std::span<const T> span_of(const Array& array) {
    return {static_cast<const T*>(array.data()), array.size()};
}

inline narrows::Symbols symbols_of(const Array& array) {
    if (array.dtype() == nb::dtype<int8_t>()) return span_of<int8_t>(array);
    if (array.dtype() == nb::dtype<int16_t>()) return span_of<int16_t>(array);
    if (array.dtype() == nb::dtype<int32_t>()) return span_of<int32_t>(array);
    throw nb::value_error("symbols are int8, int16 or int32");
}

inline narrows::Indexes indexes_of(const Array& array) {
    if (array.dtype() == nb::dtype<uint8_t>()) return span_of<uint8_t>(array);
    if (array.dtype() == nb::dtype<uint16_t>()) return span_of<uint16_t>(array);
    throw nb::value_error("an index is uint8 or uint16");
}

// Runs `work`, without the GIL if it touches many bytes, and raises what it reports.
template <typename Work>
void run(size_t num_bytes, Work work) {
    std::string what;
    narrows::Status status;
    if (num_bytes > kReleaseBytes) {
        nb::gil_scoped_release release;
        status = work(what);
    } else {
        status = work(what);
    }
    raise_unless_ok(status, what.c_str());
}

// A bytes-like object, held while in scope.
class Buffer {
   public:
    explicit Buffer(nb::handle object) {
        if (PyObject_GetBuffer(object.ptr(), &buffer_, PyBUF_SIMPLE) != 0) throw nb::python_error();
    }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer() { PyBuffer_Release(&buffer_); }
    std::span<const uint8_t> bytes() const {
        return {static_cast<const uint8_t*>(buffer_.buf), static_cast<size_t>(buffer_.len)};
    }

   private:
    Py_buffer buffer_;
};
