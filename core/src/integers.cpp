#include "narrows/integers.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace narrows {
namespace {

// Calls visit with a zero of the type.
template <typename Visit>
auto with_type(IntegerType type, Visit visit) {
    switch (type) {
        case IntegerType::i8: return visit(int8_t{});
        case IntegerType::u8: return visit(uint8_t{});
        case IntegerType::i16: return visit(int16_t{});
        case IntegerType::u16: return visit(uint16_t{});
        case IntegerType::i32: return visit(int32_t{});
        case IntegerType::u32: return visit(uint32_t{});
        case IntegerType::i64: return visit(int64_t{});
        default: return visit(uint64_t{});
    }
}

// kStride in bytes, or 0 for any. Callers' arrays need not be aligned.
template <ptrdiff_t kStride, typename From, typename To>
bool convert(const std::byte* from, ptrdiff_t any_stride, size_t count, To* to) {
    const ptrdiff_t stride = kStride ? kStride : any_stride;
    bool fits = true;
    for (size_t i = 0; i < count; ++i, from += stride) {
        From value;
        std::memcpy(&value, from, sizeof value);
        to[i] = static_cast<To>(value);
        fits &= std::in_range<To>(value);
    }
    return fits;
}

template <typename From, typename To>
bool convert_run(const std::byte* from, ptrdiff_t stride, size_t count, To* to) {
    constexpr ptrdiff_t kWidth = sizeof(From);
    if (stride == kWidth) return convert<kWidth, From>(from, stride, count, to);
    if (stride == 2 * kWidth) return convert<2 * kWidth, From>(from, stride, count, to);
    return convert<0, From>(from, stride, count, to);
}

}  // namespace

Integers::Integers(const void* data, IntegerType type, std::span<const ptrdiff_t> shape,
                   std::span<const ptrdiff_t> stride_bytes)
    : data_(static_cast<const std::byte*>(data)), type_(type), size_(1) {
    for (ptrdiff_t each : shape) size_ *= static_cast<size_t>(each);
    auto step = static_cast<ptrdiff_t>(width_of(type));
    size_t d = shape.size();
    for (; d > 0 && (stride_bytes[d - 1] == step || shape[d - 1] == 1); --d) step *= shape[d - 1];
    if (d == 0 || size_ == 0) return;
    for (size_t i = 0; i < shape.size(); ++i) {
        if (shape[i] == 1) continue;
        const Dimension inner{static_cast<size_t>(shape[i]), stride_bytes[i]};
        // Where a dimension goes on as the one around it does, they are one.
        if (!dimensions_.empty() &&
            dimensions_.back().stride_bytes == inner.stride_bytes * static_cast<ptrdiff_t>(inner.size))
            dimensions_.back() = {dimensions_.back().size * inner.size, inner.stride_bytes};
        else
            dimensions_.push_back(inner);
    }
}

template <std::integral T>
bool Integers::read(size_t first, size_t count, T* values) const noexcept {
    const auto width = static_cast<ptrdiff_t>(width_of(type_));
    return with_type(type_, [&](auto zero) {
        using From = decltype(zero);
        if (dimensions_.empty())
            return convert_run<From>(data_ + static_cast<ptrdiff_t>(first) * width, width, count, values);
        bool fits = true;
        const Dimension& inner = dimensions_.back();
        while (count > 0) {
            size_t outer = first / inner.size;
            const size_t at = first % inner.size, run = std::min(count, inner.size - at);
            const std::byte* from = data_ + static_cast<ptrdiff_t>(at) * inner.stride_bytes;
            for (size_t d = dimensions_.size() - 1; d-- > 0; outer /= dimensions_[d].size)
                from += static_cast<ptrdiff_t>(outer % dimensions_[d].size) * dimensions_[d].stride_bytes;
            fits &= convert_run<From>(from, inner.stride_bytes, run, values);
            first += run;
            count -= run;
            values += run;
        }
        return fits;
    });
}

template bool Integers::read(size_t, size_t, int8_t*) const noexcept;
template bool Integers::read(size_t, size_t, int16_t*) const noexcept;
template bool Integers::read(size_t, size_t, int32_t*) const noexcept;
template bool Integers::read(size_t, size_t, uint8_t*) const noexcept;
template bool Integers::read(size_t, size_t, uint16_t*) const noexcept;

template <std::integral T>
bool MutableIntegers::write(size_t first, size_t count, const T* values) const noexcept {
    std::byte* at = data_ + static_cast<ptrdiff_t>(first) * stride_bytes_;
    return with_type(type_, [&](auto zero) {
        using To = decltype(zero);
        if constexpr (sizeof(To) < sizeof(T))
            if (To* const to = contiguous<To>()) {  // two loops that compilers turn into vectors
                T lost = 0;
                for (size_t i = 0; i < count; ++i) to[first + i] = static_cast<To>(values[i]);
                for (size_t i = 0; i < count; ++i)
                    lost |= static_cast<T>(values[i] ^ static_cast<T>(static_cast<To>(values[i])));
                return lost == 0;
            }
        bool fits = true;
        const auto put = [&](ptrdiff_t by) {
            std::byte* to = at;
            for (size_t i = 0; i < count; ++i, to += by) {
                const auto value = static_cast<To>(values[i]);
                std::memcpy(to, &value, sizeof value);
                fits &= std::in_range<To>(values[i]);
            }
        };
        if (stride_bytes_ == sizeof(To)) put(sizeof(To));
        else if (stride_bytes_ == 2 * sizeof(To)) put(2 * sizeof(To));
        else put(stride_bytes_);
        return fits;
    });
}

template bool MutableIntegers::write(size_t, size_t, const int16_t*) const noexcept;
template bool MutableIntegers::write(size_t, size_t, const int32_t*) const noexcept;

}  // namespace narrows
