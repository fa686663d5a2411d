#include "rans/device.hpp"

#include <algorithm>
#include <cstring>

#include "rans/chunk.hpp"

namespace narrows {
namespace {

// As Tables::buckets, of another size: 15-bit frequencies, 3-bit shifts, 16-bit values.
bool fit_buckets(const Tables& tables) {
    return tables.bits() <= 15 && !tables.any_raw() &&
           std::ranges::all_of(tables.all(), [](const Table& table) {
               const int64_t last = table.offset + static_cast<int64_t>(table.span());
               return table.offset - (int64_t{1} << table.shift) >= INT16_MIN && last <= INT16_MAX;
           });
}

}  // namespace

DeviceTables::DeviceTables(const Tables& from, size_t bucket_bytes)
    : cdf(from.cdf().begin(), from.cdf().end()),
      tokens(from.cdf().size()),
      entropy_256(from.entropy_256().begin(), from.entropy_256().end()),
      bits(from.bits()),
      digest(from.digest()),
      any_raw(from.any_raw()) {
    for (const Table& table : from.all()) {
        tables.push_back({table.offset, table.num_tokens, table.first, table.shift, table.slot_shift,
                          table.has_escape, 0});
        for (uint32_t at = table.first; at < table.first + table.num_tokens; ++at) {
            const uint32_t g = (cdf[at + 1] - cdf[at]) >> table.slot_shift;
            if (g == 0) continue;  // an escape that no symbol takes
            const uint64_t reciprocal = g == 1 ? UINT32_MAX : (uint64_t{1} << 32) / g;
            tokens[at] = reciprocal << 32 | cdf[at] << 16 | (g - 1);
        }
    }
    if (!fit_buckets(from) || 8 * 64 * from.size() > bucket_bytes) return;
    log2_buckets = 6;
    while (log2_buckets < std::min(12u, bits) && (8 * from.size() << (log2_buckets + 1)) <= bucket_bytes)
        ++log2_buckets;
    for (const Table& table : from.all()) {
        const uint32_t* boundaries = cdf.data() + table.first;
        uint32_t token = 0;
        for (uint32_t slot = 0; slot < 1u << bits; slot += 1u << (bits - log2_buckets)) {
            while (boundaries[token + 1] <= slot) ++token;
            const uint32_t f0 = boundaries[token + 1] - boundaries[token];
            const uint32_t f1 = token + 1 < table.num_tokens ? boundaries[token + 2] - boundaries[token + 1] : 1;
            const auto value = static_cast<uint32_t>(table.offset + ((static_cast<int32_t>(token) - 1) << table.shift));
            const uint32_t low = boundaries[token] | (f0 - 1) << 15 | uint32_t{table.shift} << 30;
            const uint32_t high = (f1 - 1) | uint32_t{table.shift} >> 2 << 15 | value << 16;
            buckets.push_back(uint64_t{high} << 32 | low);
        }
    }
}

WarpTables DeviceTables::view() const {
    return {tables.data(), cdf.data(),   tokens.data(), buckets.empty() ? nullptr : buckets.data(), entropy_256.data(),
            tables.size(), bits, log2_buckets,  digest,        any_raw};
}

Status read_chunks(std::span<const uint8_t> payload, size_t num_symbols, const Tables& tables, bool check,
                   std::vector<Chunk>& chunks, std::string& what) {
    std::vector<Place> places;
    const Status status = read_places(payload, num_symbols, tables.digest(), check, places, what);
    if (status != Status::ok) return status;
    for (const Place& place : places) {
        const ChunkHeader& header = place.header;
        if (header.profile == Profile::range) {
            what = "the payload was coded with Adaptive tables";
            return Status::corrupt;
        }
        Chunk chunk{};
        chunk.body = place.body;
        chunk.first = place.first;
        chunk.num_symbols = header.num_symbols;
        chunk.num_words = header.num_words;
        chunk.num_side_bytes = header.num_side_bytes;
        chunk.profile = static_cast<uint32_t>(header.profile);
        chunk.bits = header.bits;
        chunk.flags = header.flags;
        chunk.index_hash = header.index_hash;
        chunks.push_back(chunk);
    }
    return Status::ok;
}

bool emulate(std::string_view kernel, std::span<const uint64_t> fields) {
    const Warp warp;
    const auto run = [&]<typename Launch>(Launch launch, auto count, auto body) {
        if (fields.size_bytes() != sizeof launch) return false;
        std::memcpy(&launch, fields.data(), sizeof launch);
        const uint64_t n = count(launch);
        for (uint64_t i = 0; i < n; ++i) body(launch, i);
        return true;
    };
    const auto chunks = [](const EncodeLaunch& launch) { return launch.num_chunks; };
    const auto segments = [](const DecodeLaunch& launch) { return launch.num_segments; };
    if (kernel == "plan")
        return run(
            EncodeLaunch{}, [](const EncodeLaunch& launch) { return launch.num_tensors; },
            [&](const EncodeLaunch& launch, uint64_t i) { plan_chunks(warp, launch, i); });
    if (kernel == "encode")
        return run(EncodeLaunch{}, chunks, [&](const EncodeLaunch& launch, uint64_t i) { encode_chunk(warp, launch, i); });
    if (kernel == "gather")
        return run(EncodeLaunch{}, chunks, [&](const EncodeLaunch& launch, uint64_t i) { gather_chunk(warp, launch, i); });
    if (kernel == "decode")
        return run(DecodeLaunch{}, segments, [&](const DecodeLaunch& launch, uint64_t i) {
            decode_segment<false>(warp, launch, i, launch.tables.buckets);
        });
    if (kernel == "decode_split")
        return run(DecodeLaunch{}, segments, [&](const DecodeLaunch& launch, uint64_t i) {
            decode_segment<true>(warp, launch, i, launch.tables.buckets);
        });
    if (kernel == "decode_side")
        return run(DecodeLaunch{}, segments, [&](const DecodeLaunch& launch, uint64_t i) { decode_side(warp, launch, i); });
    return false;
}

std::string_view fault_text(uint32_t fault) noexcept {
    constexpr std::string_view kTexts[kNumFaults] = {
        "no fault",
        "the entry index is not this payload's",
        "a symbol does not fit the dtype asked for",
        "the side stream is not used up",
        "the side stream is damaged",
        "a lane ends in a wrong state: other tables, other indexes, or damage",
        "a chunk's words are left over: other tables, other indexes, or damage",
        "a chunk's words run out: other tables, other indexes, or damage",
        "a lane's state is out of range",
        "indexes differ: the model computed other indexes than the encoder's",
        "a symbol lies outside a table without an escape",
        "an index names no table",
    };
    return fault < kNumFaults ? kTexts[fault] : std::string_view{};
}

bool is_callers_fault(uint32_t fault) noexcept { return fault == kOutsideClosed || fault == kNoTable; }

}  // namespace narrows
