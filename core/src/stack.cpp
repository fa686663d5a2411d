#include "narrows/stack.hpp"

#include <algorithm>

namespace narrows {

namespace {

constexpr uint32_t kRawBits = 16;  // of an escaped value at a time

struct Place {
    uint32_t token;   // 0 is the escape
    uint32_t within;  // the token: which of its 2^shift values
};

// Where `symbol` lies in its table.
Place place_of(int32_t symbol, const Table& table) noexcept {
    const uint64_t above = static_cast<uint32_t>(symbol) - static_cast<uint32_t>(table.offset);
    if (symbol < table.offset || above >= table.span()) return {0, 0};
    return {static_cast<uint32_t>(above >> table.shift) + 1, static_cast<uint32_t>(above & ((1u << table.shift) - 1))};
}

template <typename Index>
Status check_index(std::span<const Index> index, size_t num_symbols, const Tables& tables, std::string& what) {
    if (num_symbols != index.size()) {
        what = "symbols and index differ in length";
        return Status::bad_argument;
    }
    for (const Index i : index)
        if (i >= tables.size()) {
            what = "an index names no table";
            return Status::bad_argument;
        }
    return Status::ok;
}

void push_raw(uint64_t& x, std::vector<uint32_t>& words, uint32_t value, uint32_t width) {
    if (width == 0) return;
    if (x >> (64 - width)) {
        words.push_back(static_cast<uint32_t>(x));
        x >>= 32;
    }
    x = x << width | value;
}

// What is read of a stack; the caller commits it when all is well.
struct Cursor {
    uint64_t x;
    std::span<const uint32_t> words;

    // False if no word is left to restore the state with.
    bool restore() noexcept {
        if (x >= Stack::kLow) return true;
        if (words.empty()) return false;
        x = x << 32 | words.back();
        words = words.first(words.size() - 1);
        return true;
    }
    bool pop_raw(uint32_t width, uint32_t& value) noexcept {
        value = static_cast<uint32_t>(x & ((uint64_t{1} << width) - 1));
        x >>= width;
        return restore();
    }
};

}  // namespace

Status Stack::push(std::span<const int32_t> symbols, const Indexes& index, const Tables& tables, std::string& what) {
    const uint32_t bits = tables.bits();
    const uint32_t* cdf = tables.cdf().data();
    return std::visit(
        [&](auto which) {
            const Status status = check_index(which, symbols.size(), tables, what);
            if (status != Status::ok) return status;
            for (size_t i = 0; i < symbols.size(); ++i) {
                const Table& table = tables[which[i]];
                if (!table.has_escape && place_of(symbols[i], table).token == 0) {
                    what = "a symbol lies outside a table without an escape";
                    return Status::bad_argument;
                }
            }
            for (size_t i = symbols.size(); i-- > 0;) {
                const Table& table = tables[which[i]];
                const Place place = place_of(symbols[i], table);
                if (place.token == 0) {
                    const auto value = static_cast<uint32_t>(symbols[i]);
                    push_raw(state_, words_, value & 0xFFFF, kRawBits);
                    push_raw(state_, words_, value >> 16, kRawBits);
                }
                push_raw(state_, words_, place.within >> table.slot_shift, table.shift - table.slot_shift);
                const uint32_t low = place.within & ((1u << table.slot_shift) - 1);
                const uint32_t start = cdf[table.first + place.token];
                const uint64_t g = (cdf[table.first + place.token + 1] - start) >> table.slot_shift;
                // g = 2^bits where one token owns every slot: it costs nothing and never sends a word.
                if (g >> bits == 0 && state_ >= g << (64 - bits)) {
                    words_.push_back(static_cast<uint32_t>(state_));
                    state_ >>= 32;
                }
                state_ = (state_ / g << bits) + start + (state_ % g << table.slot_shift) + low;
            }
            return Status::ok;
        },
        index);
}

Status Stack::pop(std::span<int32_t> symbols, const Indexes& index, const Tables& tables, std::string& what) {
    const uint32_t bits = tables.bits();
    const uint64_t slots = (uint64_t{1} << bits) - 1;
    return std::visit(
        [&](auto which) {
            const Status status = check_index(which, symbols.size(), tables, what);
            if (status != Status::ok) return status;
            const auto empty = [&] {
                what = "the stack holds fewer symbols than that";
                return Status::truncated;
            };
            Cursor cursor{state_, words_};
            for (size_t i = 0; i < symbols.size(); ++i) {
                const Table& table = tables[which[i]];
                const uint32_t* cdf = tables.cdf().data() + table.first;
                const auto slot = static_cast<uint32_t>(cursor.x & slots);
                const auto token =
                    static_cast<uint32_t>(std::upper_bound(cdf, cdf + table.num_tokens, slot) - cdf) - 1;
                const uint64_t g = (cdf[token + 1] - cdf[token]) >> table.slot_shift;
                const uint32_t d = slot - cdf[token];
                cursor.x = g * (cursor.x >> bits) + (d >> table.slot_shift);
                uint32_t raw = 0;
                if (!cursor.restore() || !cursor.pop_raw(table.shift - table.slot_shift, raw)) return empty();
                const uint32_t within = (raw << table.slot_shift) | (d & ((1u << table.slot_shift) - 1));
                if (token > 0) {
                    symbols[i] = static_cast<int32_t>(static_cast<uint32_t>(table.offset) +
                                                      ((token - 1) << table.shift) + within);
                    continue;
                }
                uint32_t high, low;
                if (!cursor.pop_raw(kRawBits, high) || !cursor.pop_raw(kRawBits, low)) return empty();
                symbols[i] = static_cast<int32_t>(high << 16 | low);
                if (within != 0 || place_of(symbols[i], table).token != 0) {
                    what = "an escape holds a value that its table has";
                    return Status::corrupt;
                }
            }
            state_ = cursor.x;
            words_.resize(cursor.words.size());
            return Status::ok;
        },
        index);
}

Status Stack::set(uint64_t state, std::vector<uint32_t> words) {
    if (state < kLow) return Status::bad_argument;
    state_ = state;
    words_ = std::move(words);
    return Status::ok;
}

}  // namespace narrows
