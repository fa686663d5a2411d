// NumPy arrays as the entropy coder's views.
#pragma once

#include <string>

#include "bind.hpp"
#include "narrows/integers.hpp"
#include "narrows/rans.hpp"

using Array = nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu>;
using StridedArray = nb::ndarray<nb::ro, nb::device::cpu>;
using WritableArray = nb::ndarray<nb::c_contig, nb::device::cpu>;

// Releasing the GIL costs about 80 ns, so only calls that take longer than microseconds do.
inline constexpr size_t kReleaseBytes = 16384;

template <typename T>
std::span<const T> span_of(const Array& array) {
    return {static_cast<const T*>(array.data()), array.size()};
}

inline narrows::Indexes indexes_of(const Array& array) {
    if (array.dtype() == nb::dtype<uint8_t>()) return span_of<uint8_t>(array);
    if (array.dtype() == nb::dtype<uint16_t>()) return span_of<uint16_t>(array);
    throw nb::value_error("an index is uint8 or uint16");
}

template <typename AnyArray>
narrows::IntegerType type_of(const AnyArray& array) {
    using narrows::IntegerType;
    const nb::dlpack::dtype type = array.dtype();
    const bool is_signed = type.code == static_cast<uint8_t>(nb::dlpack::dtype_code::Int);
    if (type.lanes == 1 && (is_signed || type.code == static_cast<uint8_t>(nb::dlpack::dtype_code::UInt)))
        for (unsigned log2 = 0; log2 < 4; ++log2)
            if (type.bits == 8u << log2) return static_cast<IntegerType>(2 * log2 + !is_signed);
    throw nb::type_error("symbols and indexes are integers of at most 64 bits");
}

inline narrows::Integers integers_of(const StridedArray& array) {
    return {array.data(), type_of(array), {array.shape_ptr(), array.ndim()}, {array.stride_ptr(), array.ndim()}};
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

// As `run`, but with the GIL held: for objects that calls change and threads may share.
template <typename Work>
void run_alone(Work work) {
    std::string what;
    const narrows::Status status = work(what);
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
