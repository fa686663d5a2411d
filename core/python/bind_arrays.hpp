// NumPy arrays as the entropy coder's views.
#pragma once

#include <bit>
#include <string>

#include "bind.hpp"
#include "narrows/integers.hpp"
#include "narrows/rans.hpp"

using Array = nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu>;
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

inline std::span<const int32_t> int32_of(const Array& array) {
    if (array.dtype() != nb::dtype<int32_t>()) throw nb::value_error("symbols are int32 here");
    return span_of<int32_t>(array);
}

inline std::span<int32_t> writable_int32_of(const WritableArray& array) {
    if (array.dtype() != nb::dtype<int32_t>()) throw nb::value_error("symbols are int32 here");
    return {static_cast<int32_t*>(array.data()), array.size()};
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

// An object of the buffer protocol, held while in scope.
class Buffer {
   public:
    explicit Buffer(nb::handle object, int flags = PyBUF_SIMPLE) {
        if (PyObject_GetBuffer(object.ptr(), &buffer_, flags) == 0) return;
        if (flags != PyBUF_SIMPLE || !PyErr_ExceptionMatches(PyExc_BufferError)) throw nb::python_error();
        PyErr_Clear();
        throw nb::value_error("a payload's bytes lie one behind the other");
    }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer() { PyBuffer_Release(&buffer_); }
    std::span<const uint8_t> bytes() const {
        return {static_cast<const uint8_t*>(buffer_.buf), static_cast<size_t>(buffer_.len)};
    }
    const Py_buffer& operator*() const { return buffer_; }

   private:
    Py_buffer buffer_;
};

// A NumPy array of integers, of any width and layout: half the time of going through nb::ndarray.
class IntegerArray {
   public:
    explicit IntegerArray(nb::handle array, int flags = PyBUF_STRIDED_RO) : held_(array, flags | PyBUF_FORMAT) {
        // Exporters other than NumPy may leave them out.
        if ((*held_).ndim && !((*held_).strides && (*held_).shape)) throw nb::type_error("not an array with strides");
    }
    narrows::IntegerType type() const {
        const char* format = (*held_).format;
        constexpr char kSame = std::endian::native == std::endian::little ? '<' : '>';
        if (format && (*format == '=' || *format == '@' || *format == '^' || *format == kSame)) ++format;
        for (unsigned i = 0; format && i < sizeof(kFormats) - 1; ++i)
            if (format[0] == kFormats[i] && format[1] == 0) {
                const auto log2 = static_cast<unsigned>(std::countr_zero(static_cast<size_t>((*held_).itemsize)));
                return static_cast<narrows::IntegerType>(2 * log2 + i % 2);
            }
        throw nb::type_error("symbols and indexes are integers of at most 64 bits");
    }
    size_t num_bytes() const { return held_.bytes().size(); }
    narrows::Integers view() const { return {(*held_).buf, type(), shape(), strides()}; }
    // Of one dimension, or with values that stand one behind the other.
    narrows::MutableIntegers mutable_view() const {
        const narrows::IntegerType type = this->type();
        const auto width = static_cast<ptrdiff_t>(narrows::width_of(type));
        const size_t size = num_bytes() / static_cast<size_t>(width);
        if (shape().size() == 1 && size > 1) return {(*held_).buf, type, size, strides()[0]};
        ptrdiff_t step = width;
        for (size_t d = size ? shape().size() : 0; d-- > 0; step *= shape()[d])
            if (strides()[d] != step && shape()[d] > 1) throw nb::value_error("symbols are decoded to one vector");
        return {(*held_).buf, type, size, width};
    }

   private:
    static constexpr char kFormats[] = "bBhHiIlLqQ";  // signed and unsigned in turn
    std::span<const ptrdiff_t> shape() const { return {(*held_).shape, static_cast<size_t>((*held_).ndim)}; }
    std::span<const ptrdiff_t> strides() const { return {(*held_).strides, static_cast<size_t>((*held_).ndim)}; }
    Buffer held_;
};
