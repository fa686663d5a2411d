// The bytes of a chunk: header, sections, checks. Format: docs/format.md, "Entropy payloads".
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "narrows/rans.hpp"
#include "narrows/status.hpp"
#include "narrows/tables.hpp"

namespace narrows {

inline constexpr uint8_t kFormatVersion = 1;

enum class Profile : uint8_t { rans = 0, range = 1, raw = 2 };

// Bits of the flags byte; bits 0 to 2 are log2 of the number of lanes.
inline constexpr uint8_t kLanesMask = 7;
inline constexpr uint8_t kAdaptive = 1;  // profile 1 only, in place of the lanes
inline constexpr uint8_t kSideStream = 1 << 3;
inline constexpr uint8_t kIndexHash = 1 << 4;
inline constexpr uint8_t kStatePayload = 1 << 5;
inline constexpr uint8_t kCheck = 1 << 6;

struct ChunkHeader {
    Profile profile = Profile::rans;
    uint8_t bits = 0;  // of probabilities; profile 2: bytes a symbol
    uint8_t flags = 0;
    uint32_t tables_digest = 0;
    uint32_t index_hash = 0;
    uint32_t num_symbols = 0;
    uint32_t num_words = 0;
    uint32_t num_side_bytes = 0;

    uint32_t lanes() const noexcept { return profile == Profile::rans ? 1u << (flags & kLanesMask) : 0; }
    uint64_t body_bytes() const noexcept { return 2 * uint64_t{num_words} + 4 * uint64_t{lanes()} + num_side_bytes; }
};

size_t header_bytes(const ChunkHeader& header) noexcept;
void append_header(std::vector<uint8_t>& bytes, const ChunkHeader& header);

// Reads the header at `at` and moves `at` behind it. All sizes are then known to lie within `bytes`.
[[nodiscard]] Status read_header(std::span<const uint8_t> bytes, size_t& at, ChunkHeader& header, std::string& what);

struct Place {
    ChunkHeader header;
    size_t begin;  // in the payload
    size_t body;
    size_t first;  // symbol
};

// Finds the chunks of a payload that must hold exactly `num_symbols`, or any number where that is kAnyNumber, and
// verifies its CRC32C by `crc32c_of`, once all are found. `places` grows with the payload's length, never with a declared size.
inline constexpr size_t kAnyNumber = SIZE_MAX;
using Checksum = std::function<uint32_t(std::span<const uint8_t>)>;
uint32_t plain_checksum(std::span<const uint8_t> data);
[[nodiscard]] Status find_chunks(std::span<const uint8_t> payload, size_t num_symbols, bool check,
                                 std::vector<Place>& places, std::string& what, const Checksum& crc32c_of);

// Corrupt if a chunk was coded with other tables.
[[nodiscard]] Status check_tables(std::span<const Place> places, uint32_t tables_digest, std::string& what);

// Both.
[[nodiscard]] Status read_places(std::span<const uint8_t> payload, size_t num_symbols, uint32_t tables_digest,
                                 bool check, std::vector<Place>& places, std::string& what);

// CRC32C over the indexes as u16 little endian, going on from `crc`.
uint32_t hash_index(const Indexes& indexes, uint32_t crc = 0);

// The message for tables that are not those of the stream.
std::string tables_differ(uint32_t stream, uint32_t installed);

inline uint32_t load32(const uint8_t* p) noexcept {
    return p[0] | uint32_t{p[1]} << 8 | uint32_t{p[2]} << 16 | uint32_t{p[3]} << 24;
}
inline void store32(uint8_t* p, uint32_t value) noexcept {
    for (unsigned i = 0; i < 4; ++i) p[i] = static_cast<uint8_t>(value >> (8 * i));
}
void append32(std::vector<uint8_t>& bytes, uint32_t value);

}  // namespace narrows
