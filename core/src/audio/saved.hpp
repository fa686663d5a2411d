// A session's state as bytes: little endian, in the order in which it is read again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

namespace narrows::audio {

class Saver {
   public:
    template <class T>
    void put(T value) {
        static_assert(std::is_integral_v<T>);
        for (size_t i = 0; i < sizeof(T); ++i) bytes_.push_back(static_cast<uint8_t>(static_cast<uint64_t>(value) >> (8 * i)));
    }
    template <class T>
    void put_all(std::span<const T> values) {
        for (const T v : values) put(v);
    }
    std::vector<uint8_t> take() { return std::move(bytes_); }

   private:
    std::vector<uint8_t> bytes_;
};

class Loader {
   public:
    explicit Loader(std::span<const uint8_t> bytes) : bytes_(bytes) {}
    template <class T>
    T get() {
        static_assert(std::is_integral_v<T>);
        if (bytes_.size() - at_ < sizeof(T)) {
            sound_ = false;
            return T{};
        }
        uint64_t value = 0;
        for (size_t i = 0; i < sizeof(T); ++i) value |= uint64_t{bytes_[at_++]} << (8 * i);
        return static_cast<T>(value);
    }
    template <class Values>
    void get_all(Values&& values) {
        for (auto& v : values) v = get<std::remove_reference_t<decltype(v)>>();
    }
    // Whether all that was asked for so far was there.
    bool sound() const { return sound_; }
    // Whether all that was asked for was there, and nothing is left.
    bool done() const { return sound_ && at_ == bytes_.size(); }

   private:
    std::span<const uint8_t> bytes_;
    size_t at_ = 0;
    bool sound_ = true;
};

}  // namespace narrows::audio
