// The device's kernels, run on this processor from the source they share: the same bytes and the same verdicts as the
// processor's own coder. Buffers are of exact size, so that sanitizers see every step outside.
#include <algorithm>
#include <cstring>
#include <vector>

#include "check.hpp"
#include "narrows/crc.hpp"
#include "narrows/rans.hpp"
#include "random_tables.hpp"
#include "rans/device.hpp"

using namespace narrows;

namespace {

template <typename Launch>
void run(const char* kernel, const Launch& launch) {
    std::vector<uint64_t> fields(sizeof launch / 8);
    std::memcpy(fields.data(), &launch, sizeof launch);
    CHECK(emulate(kernel, fields));
}

template <typename T>
constexpr uint64_t element() {
    return sizeof(T) == 4 ? kI32 : sizeof(T) == 2 ? (T(-1) < 0 ? kI16 : kU16) : (T(-1) < 0 ? kI8 : kU8);
}

template <typename Symbol, typename Index>
uint32_t encoded(const std::vector<Symbol>& symbols, const std::vector<Index>& index, const Tables& tables,
                 const EncodeOptions& options, std::vector<uint8_t>& payload) {
    const DeviceTables made(tables, 1 << 17);
    const size_t n = symbols.size();
    const uint32_t most_256 = *std::ranges::max_element(made.entropy_256);
    const uint64_t target = uint64_t{options.chunk_bytes} * 2048;
    const uint64_t chunks = std::max<uint64_t>({1, (most_256 * n + target / 2) / target, (n + (1 << 22) - 1) >> 22});
    EncodeTensor tensor{symbols.data(), index.data(), n, element<Symbol>(), element<Index>(), 0, 0, 0};
    const size_t capacity = n * sizeof(Symbol) + chunks * kSlotBytes;
    std::vector<uint32_t> slots(capacity / 4 + 1), faults(chunks);
    std::vector<uint64_t> sizes(chunks), ends(chunks);
    std::vector<Chunk> records(chunks);
    EncodeLaunch launch{};
    launch.tables = made.view();
    launch.tensors = &tensor;
    launch.num_tensors = 1;
    launch.num_chunks = chunks;
    launch.chunk_bytes = options.chunk_bytes;
    launch.flags = (options.check ? 64 : 0) | (options.hash_index ? 16 : 0);
    launch.slots = reinterpret_cast<uint8_t*>(slots.data());
    launch.chunks = records.data();
    launch.sizes = sizes.data();
    launch.faults = faults.data();
    run("plan", launch);
    run("encode", launch);
    uint64_t end = 0;
    for (size_t i = 0; i < chunks; ++i) ends[i] = end += sizes[i];
    payload.assign(end, 0);
    launch.ends = ends.data();
    launch.payload = payload.data();
    run("gather", launch);
    if (options.check) {
        const uint32_t crc = crc32c(payload);
        for (int shift = 0; shift < 32; shift += 8) payload.push_back(static_cast<uint8_t>(crc >> shift));
    }
    return *std::ranges::max_element(faults);
}

template <typename Symbol, typename Index>
Status decoded(const std::vector<uint8_t>& payload, const std::vector<Index>& index, const Tables& tables, bool check,
               std::vector<Symbol>& symbols, const std::vector<uint8_t>* blob = nullptr) {
    symbols.assign(index.size(), 0);
    std::string what;
    std::vector<Chunk> chunks;
    std::vector<Entry> entries;
    Status status = read_chunks(payload, index.size(), tables, check, chunks, what);
    if (status == Status::ok && blob) status = read_entries(*blob, payload, chunks, entries, what);
    if (status != Status::ok) return status;
    const DeviceTables made(tables, 1 << 17);
    DecodeTensor tensor{symbols.data(), index.data(), element<Symbol>(), element<Index>(), 0};
    std::vector<uint32_t> segments, escapes((index.size() + 31) / 32), states(32 * chunks.size()),
        faults(chunks.size());
    for (uint32_t i = 0; i < chunks.size(); ++i)
        for (uint32_t k = 0; k <= chunks[i].num_entries; ++k) segments.insert(segments.end(), {i, k});
    DecodeLaunch launch{};
    launch.tables = made.view();
    launch.payload = payload.data();
    launch.chunks = chunks.data();
    launch.tensors = &tensor;
    launch.entries = entries.data();
    launch.escapes = escapes.data();
    launch.final_states = states.data();
    launch.faults = faults.data();
    if (blob) {
        launch.segments = segments.data();
        launch.num_segments = segments.size() / 2;
        run("decode_split", launch);
        run("decode_side", launch);
    } else {
        launch.num_segments = chunks.size();
        run("decode", launch);
    }
    const uint32_t worst = *std::ranges::max_element(faults);
    CHECK(worst < kNumFaults && !fault_text(worst).empty());
    return worst == kNoFault ? Status::ok : is_callers_fault(worst) ? Status::bad_argument : Status::corrupt;
}

template <typename Symbol, typename Index>
void same_both_ways(const std::vector<Symbol>& symbols, const std::vector<Index>& index, const Tables& tables,
                    const EncodeOptions& options) {
    std::vector<uint8_t> expected, payload;
    std::string what;
    CHECK(encode(std::span<const Symbol>(symbols), std::span<const Index>(index), tables, options, expected, what) ==
          Status::ok);
    CHECK(encoded(symbols, index, tables, options, payload) == kNoFault);
    CHECK(payload == expected);
    std::vector<int32_t> wide;
    CHECK(decoded(payload, index, tables, options.check, wide) == Status::ok);
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
        CHECK(encoded(chars, wide_index, *tables, options, payload) == kNoFault);
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
        CHECK(decoded(payload, index, *tables, true, back, &blob) == Status::ok);
        CHECK(back == symbols);
        // What lies behind the first 5 bytes, in place of what is there.
        for (int change = 0; change < 20 && blob.size() > 12; ++change) {
            auto wrong = blob;
            wrong.resize(wrong.size() - 4);
            for (unsigned k = 0; k <= random.below(3); ++k)
                wrong[5 + random.below(static_cast<unsigned>(wrong.size() - 5))] = static_cast<uint8_t>(random.next());
            const uint32_t crc = crc32c(wrong);
            for (int shift = 0; shift < 32; shift += 8) wrong.push_back(static_cast<uint8_t>(crc >> shift));
            const Status status = decoded(payload, index, *tables, true, back, &wrong);
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
        CHECK(encoded(symbols, index, *tables, options, payload) == kNoFault);
        for (int flip = 0; flip < 100; ++flip) {
            auto wrong = payload;
            if (flip % 10 == 0) wrong.resize(random.below(static_cast<unsigned>(wrong.size() + 1)));
            for (unsigned k = 0; k <= random.below(3) && !wrong.empty(); ++k)
                wrong[random.below(static_cast<unsigned>(wrong.size()))] ^= static_cast<uint8_t>(1 << random.below(8));
            std::string what;
            expected.assign(index.size(), 0);
            const Status status = decode(wrong, std::span<const uint16_t>(index), *tables, {false, 1},
                                         std::span<int32_t>(expected), what);
            CHECK(decoded(wrong, index, *tables, false, back) == status);
            if (status == Status::ok) CHECK(back == expected);
        }
    }
}

void the_callers_mistakes_are_told() {
    const auto closed = closed_table(8, {100, 156});
    std::vector<uint8_t> payload, index{0, 0, 0};
    CHECK(encoded(std::vector<int32_t>{0, 2, 1}, index, *closed, {}, payload) == kOutsideClosed);
    CHECK(encoded(std::vector<int32_t>{0, 1, 1}, index, *closed, {}, payload) == kNoFault);
    std::vector<int32_t> back;
    CHECK(decoded(payload, index, *closed, true, back) == Status::ok);
    index[1] = 1;
    CHECK(decoded(payload, index, *closed, true, back) == Status::bad_argument);
    CHECK(encoded(std::vector<int32_t>{0, 1, 1}, index, *closed, {}, payload) == kNoTable);
    CHECK(encoded(std::vector<int32_t>{0, 1, 1}, std::vector<int16_t>{0, -1, 0}, *closed, {}, payload) == kNoTable);
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
