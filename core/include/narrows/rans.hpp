// Interleaved rANS over integer tables (Duda 2014; Giesen 2014): whole arrays to self-delimiting chunks and
// back. Format: docs/format.md, "Entropy payloads"; readable twin: narrows/entropy/reference.py.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "narrows/integers.hpp"
#include "narrows/status.hpp"
#include "narrows/tables.hpp"

namespace narrows {

// A table for each symbol, as the range coder reads it.
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
    static constexpr size_t kAll = SIZE_MAX;
    size_t chunk = kAll;  // or the number of the only one to decode
};

// A chunk within a payload: which bytes, and which symbols.
struct ChunkRange {
    size_t first_byte, num_bytes;
    size_t first_symbol, num_symbols;
};

// Room for exactly so many bytes; null if there is none.
using Allocate = std::function<uint8_t*(size_t num_bytes)>;

// Writes the payload to what `allocate`, called once, gives. Contiguous int8, int16 and int32 symbols and uint8 and
// uint16 indexes are read in place, others a block at a time. bad_argument, with `what`, if lengths differ, a symbol is
// beyond int32, an index names no table, or a symbol lies outside a table without an escape; nothing is then allocated.
[[nodiscard]] Status encode(const Integers& symbols, const Integers& index, const Tables& tables,
                            const EncodeOptions& options, const Allocate& allocate, std::string& what);

// Appends it to `payload`.
[[nodiscard]] Status encode(const Integers& symbols, const Integers& index, const Tables& tables,
                            const EncodeOptions& options, std::vector<uint8_t>& payload, std::string& what);

// Fills `symbols`, as many as indexes; contiguous int16 and int32 are written in place. On corrupt, truncated or
// unsupported `symbols` holds garbage. Work and memory are bounded by index and payload, whatever the payload says.
// With options.chunk index and symbols are those of that chunk alone.
[[nodiscard]] Status decode(std::span<const uint8_t> payload, const Integers& index, const Tables& tables,
                            const DecodeOptions& options, const MutableIntegers& symbols, std::string& what);

// Turns int16 symbols into symbol << 8 | index, in place. False, with garbage in `symbols`, if one of the two has more
// than 8 bits. As many of both.
[[nodiscard]] bool pack(std::span<int16_t> symbols, const Integers& index);

// Where the chunks of a payload are. Verifies what their headers say, and with `check` the CRC32C.
[[nodiscard]] Status list_chunks(std::span<const uint8_t> payload, bool check, std::vector<ChunkRange>& chunks,
                                 std::string& what);

}  // namespace narrows
