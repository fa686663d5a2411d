// Integers of any width and layout, as callers have them: read and written in C order, a block at a time.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <variant>
#include <vector>

namespace narrows {

enum class IntegerType : uint8_t { i8, u8, i16, u16, i32, u32, i64, u64 };

template <std::integral T>
constexpr IntegerType type_of() noexcept {
    constexpr bool is_signed = std::is_signed_v<T>;
    if constexpr (sizeof(T) == 1) return is_signed ? IntegerType::i8 : IntegerType::u8;
    else if constexpr (sizeof(T) == 2) return is_signed ? IntegerType::i16 : IntegerType::u16;
    else if constexpr (sizeof(T) == 4) return is_signed ? IntegerType::i32 : IntegerType::u32;
    else return is_signed ? IntegerType::i64 : IntegerType::u64;
}

template <std::integral T>
bool aligned_as(const std::byte* data) noexcept {
    return reinterpret_cast<uintptr_t>(data) % alignof(T) == 0;
}

constexpr size_t width_of(IntegerType type) noexcept { return size_t{1} << (static_cast<unsigned>(type) / 2); }

// Does not own what it reads.
class Integers {
 public:
    // One stride for each dimension; 0 repeats.
    Integers(const void* data, IntegerType type, std::span<const ptrdiff_t> shape,
             std::span<const ptrdiff_t> stride_bytes);
    template <std::integral T>
    Integers(std::span<const T> values) noexcept  // NOLINT: spans stand for themselves
        : data_(reinterpret_cast<const std::byte*>(values.data())), type_(type_of<T>()), size_(values.size()) {}
    template <typename... Spans>
    Integers(const std::variant<Spans...>& values) noexcept  // NOLINT
        : Integers(std::visit([](auto span) { return Integers(span); }, values)) {}

    size_t size() const noexcept { return size_; }
    IntegerType type() const noexcept { return type_; }
    // The values themselves if they are of type T, aligned, one behind the other; else null.
    template <std::integral T>
    const T* contiguous() const noexcept {
        return dimensions_.empty() && type_ == type_of<T>() && aligned_as<T>(data_) ? reinterpret_cast<const T*>(data_)
                                                                                    : nullptr;
    }
    // Copies `count` values from the `first` on. False if T does not hold one of them. T: int8, int16, int32, uint8,
    // uint16.
    template <std::integral T>
    [[nodiscard]] bool read(size_t first, size_t count, T* values) const noexcept;

 private:
    struct Dimension {
        size_t size;
        ptrdiff_t stride_bytes;
    };
    const std::byte* data_;
    IntegerType type_;
    size_t size_;
    std::vector<Dimension> dimensions_;  // outermost first; none where all values stand one behind the other
};

// Where to write: one dimension, int8, uint8, int16 or int32.
class MutableIntegers {
 public:
    MutableIntegers(void* data, IntegerType type, size_t size, ptrdiff_t stride_bytes) noexcept
        : data_(static_cast<std::byte*>(data)), type_(type), size_(size), stride_bytes_(stride_bytes) {}
    template <std::integral T>
    MutableIntegers(std::span<T> values) noexcept  // NOLINT
        : MutableIntegers(values.data(), type_of<T>(), values.size(), sizeof(T)) {}

    size_t size() const noexcept { return size_; }
    IntegerType type() const noexcept { return type_; }
    template <std::integral T>
    T* contiguous() const noexcept {
        return stride_bytes_ == sizeof(T) && type_ == type_of<T>() && aligned_as<T>(data_) ? reinterpret_cast<T*>(data_)
                                                                                           : nullptr;
    }
    // False if one does not fit. T: int16, int32.
    template <std::integral T>
    [[nodiscard]] bool write(size_t first, size_t count, const T* values) const noexcept;

 private:
    std::byte* data_;
    IntegerType type_;
    size_t size_;
    ptrdiff_t stride_bytes_;
};

}  // namespace narrows
