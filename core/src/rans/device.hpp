// What a device needs from the host: tables as it reads them, chunks of a payload, and, for tests, the launches of
// core/cuda/rans.cu run on the host from the same source.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "narrows/rans.hpp"
#include "narrows/status.hpp"
#include "narrows/tables.hpp"
#include "rans/warp_decode.hpp"
#include "rans/warp_encode.hpp"

namespace narrows {

// Owns what WarpTables points to.
struct DeviceTables {
    // Buckets take at most `bucket_bytes` together, where that leaves 64 a table.
    explicit DeviceTables(const Tables& tables, size_t bucket_bytes);
    WarpTables view() const;

    std::vector<WarpTable> tables;
    std::vector<uint32_t> cdf;
    std::vector<uint64_t> tokens;
    std::vector<uint64_t> buckets;  // empty if the tables do not fit the scheme
    std::vector<uint32_t> entropy_256;
    uint32_t bits, log2_buckets = 0, digest;
    bool any_raw;
};

// The chunks of a payload that must hold `num_symbols`; as `decode` checks them, CRC32C included.
[[nodiscard]] Status read_chunks(std::span<const uint8_t> payload, size_t num_symbols, const Tables& tables, bool check,
                                 std::vector<Chunk>& chunks, std::string& what);

// Runs each warp of a launch in turn: "plan", "encode", "gather", "decode", "decode_split" or "decode_side". False for
// another name, or a launch of another size than the kernel's structure.
[[nodiscard]] bool emulate(std::string_view kernel, std::span<const uint64_t> launch);

// What `Fault` says, and whether it is the caller's mistake. Empty beyond the last.
[[nodiscard]] std::string_view fault_text(uint32_t fault) noexcept;
[[nodiscard]] bool is_callers_fault(uint32_t fault) noexcept;

// The entry index of a payload, as bytes: places about `every` symbols apart where decoding may begin. Decodes the
// payload on the way, so it fails as `decode` does.
[[nodiscard]] Status make_entries(std::span<const uint8_t> payload, const Indexes& index, const Tables& tables,
                                  bool check, uint32_t every, std::vector<uint8_t>& bytes, std::string& what);

// Reads an entry index for the chunks of `payload` and sets their first_entry and num_entries. On any Status but ok
// the index is no use. What it says is then within bounds, not yet true: decoding finds that out.
[[nodiscard]] Status read_entries(std::span<const uint8_t> bytes, std::span<const uint8_t> payload,
                                  std::span<Chunk> chunks, std::vector<Entry>& entries, std::string& what);

}  // namespace narrows
