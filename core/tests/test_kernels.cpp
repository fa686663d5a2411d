// Every instruction set of this machine against the portable kernels: payloads and decoded symbols are equal, and
// damaged payloads end in the same status.
#include <algorithm>
#include <vector>

#include "check.hpp"
#include "narrows/cpu.hpp"
#include "narrows/rans.hpp"
#include "random_tables.hpp"

using namespace narrows;

namespace {

template <typename Symbol, typename Index>
void compare(const std::vector<Symbol>& symbols, const std::vector<Index>& index, const Tables& tables,
             Random& random) {
    EncodeOptions options;
    options.check = false;
    options.chunk_bytes = random.below(3) ? 1u << 18 : 6000;
    std::vector<uint8_t> expected;
    std::vector<int32_t> expected_damage;
    std::string what;
    uint64_t damage_seed = random.next();
    for (Isa isa : available_isas()) {
        CHECK(set_isa(isa));
        std::vector<uint8_t> payload;
        CHECK(encode(std::span<const Symbol>(symbols), std::span<const Index>(index), tables, options, payload, what) ==
              Status::ok);
        if (isa == Isa::scalar) expected = payload;
        CHECK(payload == expected);
        std::vector<int32_t> wide(symbols.size());
        CHECK(decode(payload, std::span<const Index>(index), tables, {false, 1}, std::span<int32_t>(wide), what) ==
              Status::ok);
        CHECK(std::equal(wide.begin(), wide.end(), symbols.begin()));
        if (sizeof(Symbol) <= 2) {
            std::vector<int16_t> narrow(symbols.size());
            CHECK(decode(payload, std::span<const Index>(index), tables, {false, 1}, std::span<int16_t>(narrow),
                         what) == Status::ok);
            CHECK(std::equal(narrow.begin(), narrow.end(), symbols.begin()));
        }
        // Types that kernels do not write, and every other place.
        const bool bytes_fit = std::all_of(symbols.begin(), symbols.end(), [](auto v) { return v == static_cast<int8_t>(v); });
        std::vector<int8_t> bytes(2 * symbols.size() + 1, 77);
        const Status narrowed = decode(payload, std::span<const Index>(index), tables, {false, 1},
                                       MutableIntegers(bytes.data(), IntegerType::i8, symbols.size(), 2), what);
        CHECK(narrowed == (bytes_fit ? Status::ok : Status::corrupt));
        for (size_t i = 0; bytes_fit && i < symbols.size(); ++i)
            CHECK(bytes[2 * i] == symbols[i] && bytes[2 * i + 1] == 77);
        // The statuses of damaged payloads, and the symbols where they decode.
        Random damage{damage_seed};
        std::vector<int32_t> seen;
        for (int i = 0; i < 4; ++i) {
            auto wrong = payload;
            const size_t from = std::min<size_t>(wrong.size() - 1, 16);
            for (int k = 0; k < 3; ++k)
                wrong[from + damage.below(static_cast<unsigned>(wrong.size() - from))] =
                    static_cast<uint8_t>(damage.next());
            const Status status = decode(wrong, std::span<const Index>(index), tables, {false, 1},
                                         std::span<int32_t>(wide), what);
            seen.push_back(static_cast<int32_t>(status));
            if (status == Status::ok) seen.insert(seen.end(), wide.begin(), wide.end());
        }
        if (isa == Isa::scalar) expected_damage = seen;
        CHECK(seen == expected_damage);
    }
}

void lanes_types_and_tables() {
    Random random{41};
    for (int round = 0; round < 240; ++round) {
        TableKind kind;
        if (round % 4) kind = {8 + random.below(8), random.below(3) ? 7u : 0u, 5000, random.below(2) != 0};
        const auto tables = random_tables(random, 1 + random.below(round % 9 ? 8 : 120), kind);
        // Up to 32 lanes: 4 kB and more.
        const size_t n = round % 3 == 0 ? 20000 + random.below(20000) : random.below(6000);
        std::vector<uint16_t> index(n);
        std::vector<int32_t> symbols(n);
        random_symbols(random, *tables, index, symbols);
        const std::vector<uint8_t> narrow_index(index.begin(), index.end());
        compare(symbols, index, *tables, random);
        compare(symbols, narrow_index, *tables, random);
        if (!tables->any_escape()) continue;
        bool open = true;
        for (const Table& table : tables->all()) open &= table.has_escape;
        if (!open) continue;
        const std::vector<int16_t> shorts(symbols.begin(), symbols.end());
        const std::vector<int8_t> chars(symbols.begin(), symbols.end());
        compare(shorts, narrow_index, *tables, random);
        compare(shorts, index, *tables, random);
        compare(chars, narrow_index, *tables, random);
        compare(chars, index, *tables, random);
    }
}

// States next to every power of two and every frequency: where a quotient could come out wrong.
void long_runs_of_each_frequency() {
    Random random{42};
    for (unsigned f : {1u, 2u, 3u, 5u, 7u, 127u, 255u, 256u, 257u, 4095u, 16383u, 16384u, 16385u, 32766u}) {
        const auto tables = closed_table(15, {f, 32767 - f, 1});
        std::vector<uint8_t> index(40000, 0);
        std::vector<int32_t> symbols(index.size());
        for (auto& s : symbols) s = static_cast<int32_t>(random.below(3));
        compare(symbols, index, *tables, random);
        for (auto& s : symbols) s = random.below(40) == 0;
        compare(symbols, index, *tables, random);
    }
}

// Few values, 12 bits, no escapes: where one lookup tells everything. And 16 bits, where sizes reach 2^16.
void bytes_and_wide_probabilities() {
    Random random{43};
    for (unsigned round = 0; round < 40; ++round) {
        const unsigned bits = round % 2 ? 12 : 16, num_tables = 1 + random.below(5), size = 1 + random.below(256);
        std::vector<uint32_t> frequencies, units(size);
        for (unsigned t = 0; t < num_tables; ++t) {
            std::vector<uint64_t> weights(size);
            for (auto& w : weights) w = 1 + (random.next() >> (20 + random.below(40)));
            CHECK(apportion(weights, bits, units) == Status::ok);
            frequencies.push_back(0);
            frequencies.insert(frequencies.end(), units.begin(), units.end());
        }
        const int32_t first = static_cast<int32_t>(random.below(600)) - 300;
        const auto tables = make_tables(bits, std::vector<int32_t>(num_tables, first), std::vector<uint8_t>(num_tables),
                                        std::vector<uint32_t>(num_tables, size + 1), frequencies);
        const size_t n = 6000 + random.below(6000);
        std::vector<uint8_t> index(n);
        std::vector<int32_t> symbols(n);
        random_symbols(random, *tables, index, symbols);
        compare(symbols, index, *tables, random);
        compare(std::vector<int16_t>(symbols.begin(), symbols.end()), index, *tables, random);
    }
}

void closed_tables_refuse_alike() {
    const auto tables = closed_table(12, {1000, 3000, 96});
    std::vector<uint8_t> index(9000, 0), payload;
    std::vector<int32_t> symbols(index.size(), 1);
    std::string what;
    for (Isa isa : available_isas()) {
        CHECK(set_isa(isa));
        for (size_t at : {size_t{0}, size_t{17}, size_t{4000}, size_t{8999}})
            for (int32_t wrong : {3, -1, INT32_MAX, INT32_MIN}) {
                symbols[at] = wrong;
                CHECK(encode(std::span<const int32_t>(symbols), std::span<const uint8_t>(index), *tables, {}, payload,
                             what) == Status::bad_argument);
                symbols[at] = 1;
            }
        CHECK(payload.empty());
    }
}

}  // namespace

int main() {
    lanes_types_and_tables();
    long_runs_of_each_frequency();
    bytes_and_wide_probabilities();
    closed_tables_refuse_alike();
    return 0;
}
