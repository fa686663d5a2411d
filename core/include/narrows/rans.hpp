// Interleaved rANS over integer tables (Duda 2014; Giesen 2014): whole arrays to self-delimiting chunks and
// back. Format: docs/format.md, "Entropy payloads"; readable twin: narrows/entropy/reference.py.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "narrows/status.hpp"
#include "narrows/tables.hpp"

namespace narrows {

// Arrays as callers have them; kernels read and write these types directly.
using Symbols = std::variant<std::span<const int8_t>, std::span<const int16_t>, std::span<const int32_t>>;
using MutableSymbols = std::variant<std::span<int16_t>, std::span<int32_t>>;
using Indexes = std::variant<std::span<const uint8_t>, std::span<const uint16_t>>;

struct EncodeOptions {
    bool check = true;        // end with a CRC32C
    bool hash_index = false;  // a hash of the indexes in each chunk, to tell a differing model from damage
    uint32_t chunk_bytes = 1u << 18;  // expected size of a chunk, the unit of threads
    unsigned threads = 1;
};

struct DecodeOptions {
    bool check = true;  // demand and verify the CRC32C
    unsigned threads = 1;
};

// Appends the payload to `payload`. bad_argument, with `what`, if lengths differ, an index names no table, or a
// symbol lies outside a table without an escape; `payload` is then unchanged.
[[nodiscard]] Status encode(const Symbols& symbols, const Indexes& index, const Tables& tables,
                            const EncodeOptions& options, std::vector<uint8_t>& payload, std::string& what);

// Fills `symbols`, as many as indexes. On corrupt, truncated or unsupported `symbols` holds garbage. Work and
// memory are bounded by index and payload, whatever the payload says.
[[nodiscard]] Status decode(std::span<const uint8_t> payload, const Indexes& index, const Tables& tables,
                            const DecodeOptions& options, const MutableSymbols& symbols, std::string& what);

}  // namespace narrows
