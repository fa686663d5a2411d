#include "narrows/stack.hpp"

#include <algorithm>

namespace narrows {

namespace {

// Where a symbol lies in its table.
struct Place {
    uint32_t token;     // 0 is the escape
    uint32_t within;    // the token: which of its 2^shift values
    uint32_t distance;  // of an escaped symbol, from the table's end upward modulo 2^32
};

Place place_of(int32_t symbol, const Table& table) noexcept {
    const uint32_t above = static_cast<uint32_t>(symbol) - static_cast<uint32_t>(table.offset);
    const auto span = static_cast<uint32_t>(table.span());
    if (above >= span) return {0, 0, above - span};
    return {(above >> table.shift) + 1, above & ((1u << table.shift) - 1), 0};
}

// 2^min(shift, 7) sub-slots of a token's own; an escape has no low bits to carry.
uint32_t slot_shift_of(uint32_t token, const Table& table) noexcept { return token ? table.slot_shift : 0; }

// A distance is one of count = 2^32 - span, which 2^32 slots are dealt out to in turn: slot v is that of distance
// v mod count. A table spans 2^29 values at most, so the distances below span own two slots, the others one, and
// whatever bits are popped are a distance that gives the same bits back.
void push_distance(uint64_t& x, std::vector<uint32_t>& words, uint32_t distance, uint32_t span) {
    const uint64_t size = distance < span ? 2 : 1, count = (uint64_t{1} << 32) - span;
    if (x >= size << 32) {
        words.push_back(static_cast<uint32_t>(x));
        x >>= 32;
    }
    x = (x / size << 32) + distance + x % size * count;
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
    bool pop_distance(uint32_t span, uint32_t& distance) noexcept {
        const uint64_t slot = x & 0xFFFFFFFF, count = (uint64_t{1} << 32) - span;
        const bool second = slot >= count;
        distance = static_cast<uint32_t>(second ? slot - count : slot);
        x = (distance < span ? 2 : 1) * (x >> 32) + second;
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
                const uint32_t shift = slot_shift_of(place.token, table);
                if (place.token == 0)
                    push_distance(state_, words_, place.distance, static_cast<uint32_t>(table.span()));
                else
                    push_raw(state_, words_, place.within >> shift, table.shift - shift);
                const uint32_t low = place.within & ((1u << shift) - 1);
                const uint32_t start = cdf[table.first + place.token];
                const uint64_t g = (cdf[table.first + place.token + 1] - start) >> shift;
                // g = 2^bits where one token owns every slot: it costs nothing and never sends a word.
                if (g >> bits == 0 && state_ >= g << (64 - bits)) {
                    words_.push_back(static_cast<uint32_t>(state_));
                    state_ >>= 32;
                }
                state_ = (state_ / g << bits) + start + (state_ % g << shift) + low;
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
                const uint32_t shift = slot_shift_of(token, table);
                const uint64_t g = (cdf[token + 1] - cdf[token]) >> shift;
                const uint32_t d = slot - cdf[token];
                cursor.x = g * (cursor.x >> bits) + (d >> shift);
                if (!cursor.restore()) return empty();
                uint32_t above;
                if (token == 0) {
                    const auto span = static_cast<uint32_t>(table.span());
                    if (!cursor.pop_distance(span, above)) return empty();
                    above += span;
                } else {
                    uint32_t raw = 0;
                    if (!cursor.pop_raw(table.shift - shift, raw)) return empty();
                    above = ((token - 1) << table.shift) + (raw << shift | (d & ((1u << shift) - 1)));
                }
                symbols[i] = static_cast<int32_t>(static_cast<uint32_t>(table.offset) + above);
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
