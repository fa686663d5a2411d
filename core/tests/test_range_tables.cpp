#include <vector>

#include "check.hpp"
#include "narrows/cpu.hpp"
#include "narrows/range_tables.hpp"
#include "random_tables.hpp"

using namespace narrows;

namespace {

constexpr int32_t kFarthest = INT32_MAX;

struct Case {
    std::shared_ptr<const Tables> tables;
    std::vector<int32_t> symbols;
    std::vector<uint16_t> index;
    AdaptiveTables start;
};

// Tables that may adapt, with symbols of each: some have shifts, some an escape, some neither.
Case random_case(Random& random) {
    const unsigned num_tables = 1 + random.below(random.below(2) ? 8 : 300), bits = 8 + random.below(8);
    const bool shifted = random.below(2);
    std::vector<int32_t> offset;
    std::vector<uint8_t> shift;
    std::vector<uint32_t> sizes, frequencies;
    for (unsigned t = 0; t < num_tables; ++t) {
        const bool closed = random.below(3) == 0;
        const unsigned live = 1 + random.below(17);
        std::vector<uint64_t> weights(live);
        for (auto& w : weights) w = 1 + (random.next() >> (32 + random.below(30)));
        unsigned k = shifted && random.below(2) ? random.below(21) : 0;
        if (bits - std::min(k, 7u) < 6) k = 0;  // so that all have slots
        std::vector<uint32_t> units(live);
        CHECK(apportion(weights, bits - std::min(k, 7u), units) == Status::ok);
        if (closed) frequencies.push_back(0);
        for (uint32_t u : units) frequencies.push_back(u << std::min(k, 7u));
        sizes.push_back(live + closed);
        shift.push_back(static_cast<uint8_t>(k));
        offset.push_back(static_cast<int32_t>(random.below(2000)) - 1000);
    }
    Case made;
    made.tables = make_tables(bits, offset, shift, sizes, frequencies);
    std::string what;
    const unsigned weight = random.below(4) ? 2 + random.below(400) : 32768 - random.below(3);  // and on beyond 65,535
    CHECK(AdaptiveTables::make(made.tables, weight, 1 + random.below(12), made.start, what) == Status::ok);
    const unsigned far = 1 + random.below(random.below(2) ? 3 : 200);  // one in so many is an escape
    made.symbols.resize(random.below(20) ? random.below(1200) : random.below(random.below(2) ? 2 : 70000));
    for (int32_t& symbol : made.symbols) {
        const unsigned t = random.below(num_tables);
        const Table& table = (*made.tables)[t];
        const auto span = static_cast<unsigned>(table.span());
        const bool escape = table.has_escape && (span == 0 || random.below(far) == 0);
        symbol = escape ? static_cast<int32_t>(random.next()) : table.offset + static_cast<int32_t>(random.below(span));
        if (escape && random.below(9) == 0) symbol = random.below(2) ? kFarthest : -kFarthest - 1;
        made.index.push_back(static_cast<uint16_t>(t));
    }
    return made;
}

// Every level codes as one symbol after the other does with the counts alone, and leaves the same counts.
void levels_agree() {
    Random random{1};
    for (int round = 0; round < 400; ++round) {
        const Case c = random_case(random);
        const std::vector<uint8_t> narrow(c.index.begin(), c.index.end());
        const bool wide = c.tables->size() > 256 || random.below(2);
        const Indexes index = wide ? Indexes{std::span(c.index)} : Indexes{std::span(narrow)};
        std::vector<uint8_t> expected;
        AdaptiveTables left;
        for (Isa isa : available_isas()) {
            CHECK(set_isa(isa));
            AdaptiveTables put_counts = c.start, got_counts = c.start;
            std::string what;
            RangeEncoder encoder;
            encoder.encode_bit(1, 20000);  // not at a byte's edge
            CHECK(put(encoder, c.symbols, index, put_counts, what) == Status::ok);
            const uint64_t told = tell_256(encoder.bytes_so_far(), encoder.range());
            const std::vector<uint8_t> bytes = encoder.finish();
            if (isa == Isa::scalar) {
                expected = bytes;
                left = put_counts;
            }
            CHECK(bytes == expected);
            CountingDecoder decoder(bytes);
            CHECK(decoder.decode_bit(20000) == 1);
            std::vector<int32_t> symbols(c.symbols.size());
            CHECK(get(decoder, symbols, index, got_counts, what) == Status::ok);
            CHECK(symbols == c.symbols && decoder.finished());
            CHECK(decoder.tell_256() == told);
            for (size_t t = 0; t < c.tables->size(); ++t)
                for (uint32_t s = 0; s < left[t].num_symbols(); ++s)
                    CHECK(put_counts[t].frequency(s) == left[t].frequency(s) && got_counts[t].frequency(s) == left[t].frequency(s));
        }
        bool escapes = false;
        AdaptiveTables counts = c.start;
        RangeEncoder encoder;
        encoder.encode_bit(1, 20000);
        for (size_t i = 0; i < c.symbols.size(); ++i) {
            const Table& table = (*c.tables)[c.index[i]];
            const uint32_t above = static_cast<uint32_t>(c.symbols[i]) - static_cast<uint32_t>(table.offset);
            escapes = escapes || above >= table.span();
            if (escapes) break;
            counts.entries()[c.index[i]].counts.encode(encoder, (above >> table.shift) + table.has_escape);
            encoder.encode_raw(above & ((1u << table.shift) - 1), table.shift);
        }
        if (!escapes) CHECK(encoder.finish() == expected);
    }
}

// Symbols decoded from runs of 0xFF take the encoder to the edge of a carry, and the last may push it over.
void carries_go_all_the_way() {
    Random random{3};
    size_t longest = 0;
    for (int round = 0; round < 300; ++round) {
        const unsigned n = 2 + random.below(16), count = 2 + random.below(2500);
        std::vector<uint32_t> frequencies(n, 1);
        for (unsigned left = 4096 - n; left > 0;) {
            const unsigned more = 1 + random.below(left);
            frequencies[random.below(n)] += more;
            left -= more;
        }
        AdaptiveTables start;
        std::string what;
        CHECK(AdaptiveTables::make(closed_table(12, frequencies), 200, 10, start, what) == Status::ok);
        std::vector<uint8_t> bytes(1 + random.below(5), 0x12);
        bytes.insert(bytes.end(), random.below(1500), 0xFF);
        const std::vector<uint8_t> index(count, 0);
        std::vector<int32_t> symbols(count), again(count);
        AdaptiveTables a = start;
        RangeDecoder decoder(bytes);
        (void)get(decoder, symbols, std::span<const uint8_t>(index), a, what);
        for (unsigned i = random.below(count); i < count; ++i) symbols[i] = static_cast<int32_t>(n - 1);
        AdaptiveTables b = start, c = start;
        RangeEncoder encoder;
        CHECK(put(encoder, symbols, std::span<const uint8_t>(index), b, what) == Status::ok);
        const std::vector<uint8_t> coded = encoder.finish();
        RangeDecoder other(coded);
        CHECK(get(other, again, std::span<const uint8_t>(index), c, what) == Status::ok && again == symbols);
        CHECK(other.finished());
        size_t zeros = 0;
        for (size_t i = 1; i < coded.size(); longest = std::max(longest, zeros), ++i) zeros = coded[i] ? 0 : zeros + 1;
    }
    CHECK(longest > 100);
}

// What is refused codes nothing and moves no counts.
void refusals_change_nothing() {
    Random random{2};
    for (int round = 0; round < 200; ++round) {
        const unsigned n = 2 + random.below(15), count = 1 + random.below(3000);
        std::vector<uint32_t> frequencies(n, 1);
        frequencies[random.below(n)] += 256 - n;
        const auto tables = closed_table(8, frequencies);
        AdaptiveTables counts;
        std::string what;
        CHECK(AdaptiveTables::make(tables, 200, 10, counts, what) == Status::ok);
        std::vector<int32_t> symbols(count);
        for (int32_t& s : symbols) s = static_cast<int32_t>(random.below(n));
        std::vector<uint8_t> index(count, 0);
        RangeEncoder encoder;
        encoder.encode(3, 1, 7);
        const unsigned at = random.below(count);
        const bool by_index = random.below(2);
        (by_index ? index[at] = 1 : symbols[at] = random.below(2) ? static_cast<int32_t>(n) : -1);
        const AdaptiveTables before = counts;
        CHECK(put(encoder, symbols, std::span<const uint8_t>(index), counts, what) == Status::bad_argument);
        CHECK(put(encoder, symbols, std::span<const uint8_t>(index), *tables, what) == Status::bad_argument);
        for (uint32_t s = 0; s < n; ++s) CHECK(counts[0].frequency(s) == before[0].frequency(s));
        RangeEncoder alone;
        alone.encode(3, 1, 7);
        CHECK(encoder.finish() == alone.finish());
    }
}

}  // namespace

int main() {
    levels_agree();
    carries_go_all_the_way();
    refusals_change_nothing();
    return 0;
}
