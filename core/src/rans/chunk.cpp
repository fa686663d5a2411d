#include "rans/chunk.hpp"

#include <bit>
#include <cstdio>

#include "narrows/crc.hpp"

namespace narrows {
namespace {

size_t varint_bytes(uint32_t value) noexcept { return (static_cast<size_t>(std::bit_width(value | 1)) + 6) / 7; }

void append_varint(std::vector<uint8_t>& bytes, uint32_t value) {
    for (; value >= 128; value >>= 7) bytes.push_back(static_cast<uint8_t>(value | 128));
    bytes.push_back(static_cast<uint8_t>(value));
}

Status read_varint(std::span<const uint8_t> bytes, size_t& at, uint32_t& value, std::string& what) {
    uint64_t wide = 0;
    for (uint32_t i = 0; i < 5; ++i) {
        if (at == bytes.size()) {
            what = "the payload ends within a chunk's header";
            return Status::truncated;
        }
        const uint8_t byte = bytes[at++];
        wide |= uint64_t{byte & 127u} << (7 * i);
        if (byte < 128) {
            if (wide > UINT32_MAX || (byte == 0 && i > 0)) break;
            value = static_cast<uint32_t>(wide);
            return Status::ok;
        }
    }
    what = "a varint in a chunk's header is too large or not in its shortest form";
    return Status::corrupt;
}

}  // namespace

void append32(std::vector<uint8_t>& bytes, uint32_t value) {
    for (int shift = 0; shift < 32; shift += 8) bytes.push_back(static_cast<uint8_t>(value >> shift));
}

size_t header_bytes(const ChunkHeader& header) noexcept {
    return 7 + (header.flags & kIndexHash ? 4 : 0) + varint_bytes(header.num_symbols) +
           varint_bytes(header.num_words) + varint_bytes(header.num_side_bytes);
}

void append_header(std::vector<uint8_t>& bytes, const ChunkHeader& header) {
    bytes.push_back(static_cast<uint8_t>(kFormatVersion << 4 | static_cast<uint8_t>(header.profile)));
    bytes.push_back(header.bits);
    bytes.push_back(header.flags);
    append32(bytes, header.tables_digest);
    if (header.flags & kIndexHash) append32(bytes, header.index_hash);
    append_varint(bytes, header.num_symbols);
    append_varint(bytes, header.num_words);
    append_varint(bytes, header.num_side_bytes);
}

Status read_header(std::span<const uint8_t> bytes, size_t& at, ChunkHeader& header, std::string& what) {
    const auto corrupt = [&what](const char* why) {
        what = why;
        return Status::corrupt;
    };
    if (at < bytes.size()) {
        const uint8_t first = bytes[at];
        if (first >> 4 != kFormatVersion || (first & 15) > 2) {
            what = "the chunk is of version " + std::to_string(first >> 4) + ", profile " +
                   std::to_string(first & 15) + "; this build reads version 1, profiles 0 to 2";
            return Status::unsupported;
        }
        header.profile = static_cast<Profile>(first & 15);
    }
    if (bytes.size() - at < 7) {
        what = "the payload ends within a chunk's header";
        return Status::truncated;
    }
    header.bits = bytes[at + 1];
    header.flags = bytes[at + 2];
    header.tables_digest = load32(&bytes[at + 3]);
    at += 7;
    if (header.flags & 0x80) {
        what = "a reserved flag is set";
        return Status::unsupported;
    }
    if (header.flags & kIndexHash) {
        if (bytes.size() - at < 4) {
            what = "the payload ends within a chunk's header";
            return Status::truncated;
        }
        header.index_hash = load32(&bytes[at]);
        at += 4;
    }
    for (uint32_t* field : {&header.num_symbols, &header.num_words, &header.num_side_bytes})
        if (Status status = read_varint(bytes, at, *field, what); status != Status::ok) return status;

    const uint8_t low = header.flags & kLanesMask;
    const bool side = header.flags & kSideStream;
    switch (header.profile) {
        case Profile::rans:
            if (header.bits < Tables::kMinBits || header.bits > Tables::kMaxBits)
                return corrupt("the probability bits are not 8 to 16");
            if (low > 5) return corrupt("more than 32 lanes");
            // A symbol takes one word at most, and an escape less than 9 bytes.
            if (header.num_words > header.num_symbols) return corrupt("more words than symbols");
            if (side != (header.num_side_bytes > 0)) return corrupt("the side stream's flag and length disagree");
            if (header.num_side_bytes > 9 * uint64_t{header.num_symbols}) return corrupt("the side stream is too long");
            break;
        case Profile::range:
            if (header.bits < Tables::kMinBits || header.bits > Tables::kMaxBits)
                return corrupt("the probability bits are not 8 to 16");
            if (low > kAdaptive || side || header.flags & kStatePayload || header.num_words)
                return corrupt("a range-coder chunk has rANS fields");
            break;
        case Profile::raw:
            if (header.bits != 1 && header.bits != 2 && header.bits != 4)
                return corrupt("stored symbols are not of 1, 2 or 4 bytes");
            if (low || side || header.flags & kStatePayload || header.num_words ||
                header.num_side_bytes != uint64_t{header.num_symbols} * header.bits)
                return corrupt("a stored chunk's fields disagree");
            break;
    }
    if (header.body_bytes() > bytes.size() - at) {
        what = "a chunk is longer than the payload";
        return Status::truncated;
    }
    return Status::ok;
}

uint32_t plain_checksum(std::span<const uint8_t> data) { return crc32c(data); }

Status find_chunks(std::span<const uint8_t> payload, size_t num_symbols, bool check, std::vector<Place>& places,
                   std::string& what, const Checksum& crc32c_of) {
    // The first chunk's flags tell whether four bytes of CRC32C follow the last.
    std::span<const uint8_t> chunks = payload;
    if (payload.size() < 3) {
        what = "the payload ends within a chunk's header";
        return Status::truncated;
    }
    const bool checked = payload[2] & kCheck;
    if (checked) {
        if (payload.size() < 4 + 3) {
            what = "the payload ends within its checksum";
            return Status::truncated;
        }
        chunks = payload.first(payload.size() - 4);
    }
    uint64_t total = 0;
    size_t at = 0;
    do {
        Place place{};
        place.begin = at;
        if (Status status = read_header(chunks, at, place.header, what); status != Status::ok) {
            // Chunks of a payload are of one version, so another one after the first is noise.
            return status == Status::unsupported && !places.empty() ? Status::corrupt : status;
        }
        place.body = at;
        place.first = static_cast<size_t>(total);
        at += static_cast<size_t>(place.header.body_bytes());
        total += place.header.num_symbols;
        if (total > num_symbols) {
            what = "the payload holds more symbols than there are indexes";
            return Status::corrupt;
        }
        if (place.header.num_symbols == 0 && (at != chunks.size() || !places.empty())) {
            what = "an empty chunk beside others";
            return Status::corrupt;
        }
        if (checked != static_cast<bool>(place.header.flags & kCheck)) {
            what = "chunks disagree about the checksum";
            return Status::corrupt;
        }
        places.push_back(place);
    } while (at < chunks.size());
    if (check && !checked) {
        what = "the payload has no checksum; pass check=False to decode it";
        return Status::corrupt;
    }
    if (check && crc32c_of(chunks) != load32(payload.data() + chunks.size())) {
        what = "checksum differs";
        return Status::corrupt;
    }
    if (total != num_symbols && num_symbols != kAnyNumber) {
        what = "the payload holds fewer symbols than there are indexes";
        return Status::corrupt;
    }
    return Status::ok;
}

Status check_tables(std::span<const Place> places, uint32_t tables_digest, std::string& what) {
    for (const Place& place : places)
        if (place.header.tables_digest != tables_digest) {
            what = tables_differ(place.header.tables_digest, tables_digest);
            return Status::corrupt;
        }
    return Status::ok;
}

Status read_places(std::span<const uint8_t> payload, size_t num_symbols, uint32_t tables_digest, bool check,
                   std::vector<Place>& places, std::string& what) {
    const Status status = find_chunks(payload, num_symbols, check, places, what, plain_checksum);
    return status == Status::ok ? check_tables(places, tables_digest, what) : status;
}

uint32_t hash_index(const Indexes& indexes, uint32_t crc) {
    return std::visit(
        [crc](auto index) mutable {
            uint8_t bytes[512];
            for (size_t at = 0; at < index.size();) {
                size_t n = 0;
                for (; n < sizeof bytes && at < index.size(); n += 2, ++at) {
                    bytes[n] = static_cast<uint8_t>(index[at]);
                    bytes[n + 1] = static_cast<uint8_t>(static_cast<uint32_t>(index[at]) >> 8);
                }
                crc = crc32c({bytes, n}, crc);
            }
            return crc;
        },
        indexes);
}

std::string tables_differ(uint32_t stream, uint32_t installed) {
    char text[64];
    std::snprintf(text, sizeof text, "tables differ: stream %08x, installed %08x", __builtin_bswap32(stream),
                  __builtin_bswap32(installed));
    return text;
}

}  // namespace narrows
