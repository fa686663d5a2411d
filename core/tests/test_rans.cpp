#include <algorithm>
#include <cmath>
#include <vector>

#include "check.hpp"
#include "narrows/rans.hpp"
#include "random_tables.hpp"

using namespace narrows;

namespace {

template <typename Symbol, typename Index>
std::vector<uint8_t> coded(const std::vector<Symbol>& symbols, const std::vector<Index>& index, const Tables& tables,
                           const EncodeOptions& options = {}) {
    std::vector<uint8_t> payload;
    std::string what;
    const Status status =
        encode(std::span<const Symbol>(symbols), std::span<const Index>(index), tables, options, payload, what);
    if (status != Status::ok) std::fprintf(stderr, "%s\n", what.c_str());
    CHECK(status == Status::ok);
    return payload;
}

template <typename Symbol, typename Index>
Status decoded(const std::vector<uint8_t>& payload, const std::vector<Index>& index, const Tables& tables,
               std::vector<Symbol>& symbols, DecodeOptions options = {}) {
    symbols.assign(index.size(), 0);
    std::string what;
    return decode(payload, std::span<const Index>(index), tables, options, std::span<Symbol>(symbols), what);
}

void every_int32_survives() {
    Random random{11};
    for (int round = 0; round < 800; ++round) {
        const auto tables = random_tables(random, 1 + random.below(6));
        const size_t n = round % 40 == 0 ? random.below(60000) : random.below(200);
        std::vector<uint16_t> index(n);
        std::vector<int32_t> symbols(n), back;
        random_symbols(random, *tables, index, symbols);
        EncodeOptions options;
        options.check = random.below(2);
        options.hash_index = random.below(2);
        options.chunk_bytes = random.below(2) ? 1u << 18 : 256;
        const auto payload = coded(symbols, index, *tables, options);
        CHECK(decoded(payload, index, *tables, back, {options.check, 1}) == Status::ok);
        CHECK(back == symbols);
        options.threads = 3;
        CHECK(coded(symbols, index, *tables, options) == payload);
        CHECK(decoded(payload, index, *tables, back, {options.check, 3}) == Status::ok);
        CHECK(back == symbols);
    }
}

void types_give_the_same_bytes() {
    Random random{12};
    for (int round = 0; round < 100; ++round) {
        const auto tables = random_tables(random, 1 + random.below(6));
        const size_t n = random.below(9000);
        std::vector<uint16_t> index(n);
        std::vector<int32_t> symbols(n), back;
        random_symbols(random, *tables, index, symbols);
        for (int32_t& s : symbols) s = static_cast<int8_t>(s);
        const std::vector<uint8_t> narrow_index(index.begin(), index.end());
        const std::vector<int16_t> short_symbols(symbols.begin(), symbols.end());
        const std::vector<int8_t> char_symbols(symbols.begin(), symbols.end());
        const auto payload = coded(symbols, index, *tables);
        CHECK(coded(symbols, narrow_index, *tables) == payload);
        CHECK(coded(short_symbols, index, *tables) == payload);
        CHECK(coded(short_symbols, narrow_index, *tables) == payload);
        CHECK(coded(char_symbols, index, *tables) == payload);
        CHECK(coded(char_symbols, narrow_index, *tables) == payload);
        std::vector<int16_t> short_back;
        CHECK(decoded(payload, narrow_index, *tables, short_back) == Status::ok);
        CHECK(short_back == short_symbols);
        CHECK(decoded(payload, narrow_index, *tables, back) == Status::ok);
        CHECK(back == symbols);
    }
}

void damage_is_reported() {
    Random random{13};
    size_t accepted = 0, tried = 0;
    for (int round = 0; round < 60; ++round) {
        const auto tables = random_tables(random, 1 + random.below(4));
        std::vector<uint16_t> index(random.below(300));
        std::vector<int32_t> symbols(index.size()), back;
        random_symbols(random, *tables, index, symbols);
        const auto payload = coded(symbols, index, *tables);
        for (size_t cut = 0; cut < payload.size(); ++cut) {
            const std::vector<uint8_t> part(payload.begin(), payload.begin() + static_cast<ptrdiff_t>(cut));
            CHECK(decoded(part, index, *tables, back) != Status::ok);
            (void)decoded(part, index, *tables, back, {false, 1});
        }
        auto longer = payload;
        longer.push_back(0);
        CHECK(decoded(longer, index, *tables, back) != Status::ok);
        for (int flip = 0; flip < 200; ++flip) {
            auto wrong = payload;
            wrong[random.below(static_cast<unsigned>(wrong.size()))] ^= static_cast<uint8_t>(1 << random.below(8));
            CHECK(decoded(wrong, index, *tables, back) != Status::ok);
            ++tried;
            accepted += decoded(wrong, index, *tables, back, {false, 1}) == Status::ok;
        }
        auto fewer = index;
        if (!fewer.empty()) fewer.pop_back();
        if (fewer.size() != index.size()) CHECK(decoded(payload, fewer, *tables, back) == Status::corrupt);
        auto more = index;
        more.push_back(0);
        CHECK(decoded(payload, more, *tables, back) == Status::corrupt);
        const auto others = random_tables(random, 5);
        CHECK(decoded(payload, index, *others, back) == Status::corrupt);
    }
    // Without the checksum most damage still shows; what does not is harmless.
    std::printf("without checksum: %zu of %zu flips accepted\n", accepted, tried);
    CHECK(accepted < tried / 2);
}

void arguments_are_checked() {
    Random random{14};
    const auto tables = random_tables(random, 3);
    std::vector<uint8_t> payload{1, 2, 3};
    std::string what;
    const std::vector<int32_t> symbols{1, 2, 3};
    const std::vector<uint8_t> two{0, 1}, outside{0, 1, 3};
    CHECK(encode(std::span<const int32_t>(symbols), std::span<const uint8_t>(two), *tables, {}, payload, what) ==
          Status::bad_argument);
    CHECK(encode(std::span<const int32_t>(symbols), std::span<const uint8_t>(outside), *tables, {}, payload, what) ==
          Status::bad_argument);
    CHECK(payload.size() == 3);
    std::vector<int32_t> out(3);
    CHECK(decode(payload, std::span<const uint8_t>(outside), *tables, {}, std::span<int32_t>(out), what) ==
          Status::bad_argument);
    CHECK(decode(payload, std::span<const uint8_t>(two), *tables, {}, std::span<int32_t>(out), what) ==
          Status::bad_argument);

    const auto closed = closed_table(8, {100, 156});
    const std::vector<uint8_t> zero(3, 0);
    CHECK(encode(std::span<const int32_t>(symbols), std::span<const uint8_t>(zero), *closed, {}, payload, what) ==
          Status::bad_argument);
    const std::vector<int32_t> inside{0, 1, 1};
    const auto good = coded(inside, zero, *closed);
    CHECK(decoded(good, zero, *closed, out) == Status::ok);
    CHECK(out == inside);
}

// A table of one symbol holds any number of them in no words: only the caller says how many.
void empty_entropy_is_bounded_by_the_caller() {
    const auto sure = closed_table(12, {4096});
    const std::vector<uint8_t> index(1000, 0);
    const auto payload = coded(std::vector<int32_t>(1000, 0), index, *sure);
    CHECK(payload.size() < 24);
    auto hostile = payload;
    // n is the varint after 7 bytes of header: 1000 is e8 07.
    CHECK(hostile[7] == 0xE8 && hostile[8] == 0x07);
    hostile[7] = 0xFF;
    hostile[8] = 0x7F;
    std::vector<int32_t> back;
    CHECK(decoded(hostile, index, *sure, back, {false, 1}) == Status::corrupt);
    CHECK(decoded(payload, std::vector<uint8_t>(1001, 0), *sure, back, {false, 1}) == Status::corrupt);
}

void small_payloads_stay_small() {
    // Two-sided geometric symbols of about .75 bit, as in the notes' 500-symbol case.
    const auto tables = closed_table(15, {1400, 2600, 24768, 2600, 1400});
    Random random{15};
    std::vector<int32_t> symbols(500);
    double ideal = 0;
    const double p[5] = {1400, 2600, 24768, 2600, 1400};
    for (auto& s : symbols) {
        double u = random.below(32768);
        int k = 0;
        while (u >= p[k]) u -= p[k++];
        s = k;
        ideal += 15 - std::log2(p[k]);
    }
    EncodeOptions options;
    options.check = false;
    const auto payload = coded(symbols, std::vector<uint8_t>(500, 0), *tables, options);
    std::printf("500 symbols of %.1f bytes: %zu bytes\n", ideal / 8, payload.size());
    CHECK(static_cast<double>(payload.size()) < ideal / 8 + 16);
}

}  // namespace

int main() {
    every_int32_survives();
    types_give_the_same_bytes();
    damage_is_reported();
    arguments_are_checked();
    empty_entropy_is_bounded_by_the_caller();
    small_payloads_stay_small();
    return 0;
}
