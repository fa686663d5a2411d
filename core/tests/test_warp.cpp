// The device's kernels, run on this processor from the source they share: the same bytes and the same verdicts as the
// processor's own coder. Buffers are of exact size, so that sanitizers see every step outside.
#include <algorithm>
#include <vector>

#include "emulated.hpp"
#include "random_tables.hpp"

using namespace narrows;

namespace {

template <typename Symbol, typename Index>
void same_both_ways(const std::vector<Symbol>& symbols, const std::vector<Index>& index, const Tables& tables,
                    const EncodeOptions& options) {
    std::vector<uint8_t> expected, payload;
    std::string what;
    CHECK(encode(std::span<const Symbol>(symbols), std::span<const Index>(index), tables, options, expected, what) ==
          Status::ok);
    CHECK(emulated::encode(symbols, index, tables, options, payload) == kNoFault);
    CHECK(payload == expected);
    std::vector<int32_t> wide;
    CHECK(emulated::decode(payload, index, tables, options.check, wide) == Status::ok);
    CHECK(std::ranges::equal(wide, symbols));
}

void every_message_has_the_same_bytes() {
    Random random{21};
    for (int round = 0; round < 800; ++round) {
        const auto tables = random_tables(random, 1 + random.below(6));
        const size_t n = round % 40 == 0 ? random.below(60000) : random.below(300);
        std::vector<uint16_t> index(n);
        std::vector<int32_t> symbols(n);
        random_symbols(random, *tables, index, symbols);
        EncodeOptions options;
        options.check = random.below(2);
        options.hash_index = random.below(2);
        options.chunk_bytes = random.below(2) ? 1u << 18 : 256;
        same_both_ways(symbols, index, *tables, options);
        for (int32_t& s : symbols) s = static_cast<int16_t>(s);
        const std::vector<uint8_t> narrow_index(index.begin(), index.end());
        same_both_ways(std::vector<int16_t>(symbols.begin(), symbols.end()), narrow_index, *tables, options);
        for (int32_t& s : symbols) s = static_cast<int8_t>(s);
        const std::vector<int32_t> wide_index(index.begin(), index.end());
        std::vector<uint8_t> payload, expected;
        const std::vector<int8_t> chars(symbols.begin(), symbols.end());
        std::string what;
        CHECK(encode(std::span<const int8_t>(chars), std::span<const uint16_t>(index), *tables, options, expected,
                     what) == Status::ok);
        CHECK(emulated::encode(chars, wide_index, *tables, options, payload) == kNoFault);
        CHECK(payload == expected);
    }
}

void entries_lead_to_the_same_symbols() {
    Random random{22};
    size_t met = 0;
    for (int round = 0; round < 300; ++round) {
        const auto tables = random_tables(random, 1 + random.below(4));
        const size_t n = round % 20 == 0 ? random.below(40000) : random.below(3000);
        std::vector<uint16_t> index(n);
        std::vector<int32_t> symbols(n), back;
        random_symbols(random, *tables, index, symbols);
        EncodeOptions options;
        options.chunk_bytes = random.below(2) ? 1u << 18 : 600;
        std::vector<uint8_t> payload, blob;
        std::string what;
        CHECK(encode(std::span<const int32_t>(symbols), std::span<const uint16_t>(index), *tables, options, payload,
                     what) == Status::ok);
        CHECK(make_entries(payload, std::span<const uint16_t>(index), *tables, true, 1 + random.below(2000), blob,
                           what) == Status::ok);
        CHECK(emulated::decode(payload, index, *tables, true, back, &blob) == Status::ok);
        CHECK(back == symbols);
        // What lies behind the first 5 bytes, in place of what is there.
        for (int change = 0; change < 20 && blob.size() > 12; ++change) {
            auto wrong = blob;
            wrong.resize(wrong.size() - 4);
            for (unsigned k = 0; k <= random.below(3); ++k)
                wrong[5 + random.below(static_cast<unsigned>(wrong.size() - 5))] = static_cast<uint8_t>(random.next());
            const uint32_t crc = crc32c(wrong);
            for (int shift = 0; shift < 32; shift += 8) wrong.push_back(static_cast<uint8_t>(crc >> shift));
            const Status status = emulated::decode(payload, index, *tables, true, back, &wrong);
            CHECK(status == Status::corrupt || (status == Status::ok && back == symbols));
            met += status == Status::ok;
        }
    }
    std::printf("false entries that change nothing: %zu\n", met);
}

void damage_has_the_same_verdict() {
    Random random{23};
    for (int round = 0; round < 150; ++round) {
        const auto tables = random_tables(random, 1 + random.below(4));
        std::vector<uint16_t> index(random.below(400));
        std::vector<int32_t> symbols(index.size()), expected, back;
        random_symbols(random, *tables, index, symbols);
        EncodeOptions options;
        options.check = false;
        options.hash_index = random.below(4) == 0;
        std::vector<uint8_t> payload;
        CHECK(emulated::encode(symbols, index, *tables, options, payload) == kNoFault);
        for (int flip = 0; flip < 100; ++flip) {
            auto wrong = payload;
            if (flip % 10 == 0) wrong.resize(random.below(static_cast<unsigned>(wrong.size() + 1)));
            for (unsigned k = 0; k <= random.below(3) && !wrong.empty(); ++k)
                wrong[random.below(static_cast<unsigned>(wrong.size()))] ^= static_cast<uint8_t>(1 << random.below(8));
            std::string what;
            expected.assign(index.size(), 0);
            const Status status = decode(wrong, std::span<const uint16_t>(index), *tables, {false, 1},
                                         std::span<int32_t>(expected), what);
            CHECK(emulated::decode(wrong, index, *tables, false, back) == status);
            if (status == Status::ok) CHECK(back == expected);
        }
    }
}

void the_callers_mistakes_are_told() {
    const auto closed = closed_table(8, {100, 156});
    std::vector<uint8_t> payload, index{0, 0, 0};
    CHECK(emulated::encode(std::vector<int32_t>{0, 2, 1}, index, *closed, {}, payload) == kOutsideClosed);
    CHECK(emulated::encode(std::vector<int32_t>{0, 1, 1}, index, *closed, {}, payload) == kNoFault);
    std::vector<int32_t> back;
    CHECK(emulated::decode(payload, index, *closed, true, back) == Status::ok);
    index[1] = 1;
    CHECK(emulated::decode(payload, index, *closed, true, back) == Status::bad_argument);
    CHECK(emulated::encode(std::vector<int32_t>{0, 1, 1}, index, *closed, {}, payload) == kNoTable);
    CHECK(emulated::encode(std::vector<int32_t>{0, 1, 1}, std::vector<int16_t>{0, -1, 0}, *closed, {}, payload) == kNoTable);
    std::vector<uint64_t> fields(1);
    CHECK(!emulate("decode", fields) && !emulate("other", fields));
}

}  // namespace

int main() {
    every_message_has_the_same_bytes();
    entries_lead_to_the_same_symbols();
    damage_has_the_same_verdict();
    the_callers_mistakes_are_told();
    return 0;
}
