// The entry index: places where a chunk can be entered by decoders that work side by side (after Recoil, Lin et al.,
// ICPP 2023). Format: docs/format.md, "Entry index".
#include <algorithm>
#include <bit>
#include <cstring>

#include "narrows/crc.hpp"
#include "rans/chunk.hpp"
#include "rans/device.hpp"
#include "rans/side.hpp"

namespace narrows {
namespace {

constexpr uint8_t kEntryIndex = 1 << 4 | 15;  // version 1; a number that no profile has

void append_varint(std::vector<uint8_t>& bytes, uint64_t value) {
    for (; value >= 128; value >>= 7) bytes.push_back(static_cast<uint8_t>(value | 128));
    bytes.push_back(static_cast<uint8_t>(value));
}

class Reader {
   public:
    explicit Reader(std::span<const uint8_t> bytes) : bytes_(bytes) {}
    bool varint(uint64_t& value) {
        value = 0;
        for (uint32_t i = 0; i < 5 && at_ < bytes_.size(); ++i) {
            const uint8_t byte = bytes_[at_++];
            value |= uint64_t{byte & 127u} << (7 * i);
            if (byte < 128) return byte != 0 || i == 0;
        }
        return false;
    }
    bool take(size_t count, std::span<const uint8_t>& part) {
        if (count > bytes_.size() - at_) return false;
        part = bytes_.subspan(at_, count);
        at_ += count;
        return true;
    }
    bool done() const { return at_ == bytes_.size(); }

   private:
    std::span<const uint8_t> bytes_;
    size_t at_ = 0;
};

void append_entries(std::vector<uint8_t>& bytes, const Chunk& chunk, std::span<const Entry> entries) {
    append_varint(bytes, entries.size());
    uint32_t words = chunk.num_words, group = 0;
    uint64_t side_bit = 0;
    const uint32_t lanes = lanes_of(chunk);
    for (const Entry& entry : entries) {
        append_varint(bytes, words - entry.num_words);
        append_varint(bytes, entry.group - group);
        append_varint(bytes, entry.side_bit - side_bit);
        words = entry.num_words, group = entry.group, side_bit = entry.side_bit;
        const uint32_t most = *std::max_element(entry.join, entry.join + lanes) - entry.group;
        const auto width = static_cast<uint32_t>(std::bit_width(most));
        bytes.push_back(static_cast<uint8_t>(width));
        BitWriter joins;
        for (uint32_t lane = 0; lane < lanes; ++lane) joins.put(entry.join[lane] - entry.group, width);
        const std::vector<uint8_t>& packed = joins.finish();
        bytes.insert(bytes.end(), packed.begin(), packed.end());
        for (uint32_t lane = 0; lane < lanes; ++lane) {
            bytes.push_back(static_cast<uint8_t>(entry.state[lane]));
            bytes.push_back(static_cast<uint8_t>(entry.state[lane] >> 8));
        }
    }
}

// Decodes a chunk lane by lane and notes an entry every `every` groups. The payload has been decoded before, so
// nothing here runs out.
template <typename Index>
std::vector<Entry> find_entries(std::span<const uint8_t> payload, const Chunk& chunk, std::span<const Index> index,
                                std::span<const int32_t> symbols, const Tables& tables, uint32_t every) {
    std::vector<Entry> entries;
    const uint32_t lanes = lanes_of(chunk), bits = tables.bits();
    const uint8_t* words = payload.data() + chunk.body;
    uint32_t left = chunk.num_words;
    uint32_t state[32];
    for (uint32_t lane = 0; lane < lanes; ++lane) state[lane] = load32(words + 2 * size_t{left} + 4 * lane);
    Entry entry{};
    uint32_t missing = 0;  // lanes that have not joined `entry`
    uint64_t side_bit = 0;
    for (uint32_t base = 0, group = 0; base < chunk.num_symbols; base += lanes, ++group) {
        if (group > 0 && group % every == 0 && missing == 0) {
            entry = {};
            entry.num_words = left, entry.group = group, entry.side_bit = side_bit;
            missing = lanes == 32 ? UINT32_MAX : (1u << lanes) - 1;
        }
        const uint32_t num = std::min(lanes, chunk.num_symbols - base);
        for (uint32_t lane = 0; lane < num; ++lane) {
            const Table& table = tables[index[base + lane]];
            const uint32_t* cdf = tables.cdf().data() + table.first;
            const uint32_t token = token_of(cdf, table.num_tokens, state[lane] & ((1u << bits) - 1));
            const uint32_t g = (cdf[token + 1] - cdf[token]) >> table.slot_shift;
            uint32_t low;
            state[lane] = decode_step(state[lane], {cdf[token], g, table.slot_shift}, bits, low);
            const uint32_t raw = table.shift - table.slot_shift;
            if (token > 0) {
                side_bit += raw;
            } else {
                const uint32_t z = escape_distance(symbols[base + lane], table) >> table.slot_shift;
                side_bit += 2 * (std::bit_width((uint64_t{z} >> (raw + 2)) + 1) - 1) + 1 + raw + 2;
            }
        }
        for (uint32_t lane = num; lane-- > 0;) {
            if (state[lane] >= kLow) continue;
            if (missing >> lane & 1) {
                entry.join[lane] = group;
                entry.state[lane] = state[lane];
                missing ^= 1u << lane;
                if (missing == 0) entries.push_back(entry);
            }
            --left;
            state[lane] = state[lane] << 16 | load16(words + 2 * size_t{left});
        }
    }
    return entries;
}

}  // namespace

Status make_entries(std::span<const uint8_t> payload, const Indexes& index, const Tables& tables, bool check,
                    uint32_t every, std::vector<uint8_t>& bytes, std::string& what) {
    const size_t n = std::visit([](auto i) { return i.size(); }, index);
    std::vector<int32_t> symbols(n);
    Status status = decode(payload, index, tables, {check, 1}, std::span<int32_t>(symbols), what);
    if (status != Status::ok) return status;
    std::vector<Chunk> chunks;
    if (status = read_chunks(payload, n, tables, check, chunks, what); status != Status::ok) return status;
    bytes.push_back(kEntryIndex);
    append32(bytes, crc32c(payload));
    append_varint(bytes, chunks.size());
    for (const Chunk& chunk : chunks) {
        std::vector<Entry> entries;
        if (chunk.profile == kRansProfile)
            std::visit(
                [&](auto i) {
                    const auto first = static_cast<size_t>(chunk.first);
                    entries = find_entries(payload, chunk, i.subspan(first, chunk.num_symbols),
                                           std::span<const int32_t>(symbols).subspan(first, chunk.num_symbols), tables,
                                           std::max(1u, every / lanes_of(chunk)));
                },
                index);
        append_entries(bytes, chunk, entries);
    }
    append32(bytes, crc32c(bytes));
    return Status::ok;
}

Status read_entries(std::span<const uint8_t> bytes, std::span<const uint8_t> payload, std::span<Chunk> chunks,
                    std::vector<Entry>& entries, std::string& what) {
    const auto corrupt = [&what](const char* why) {
        what = why;
        return Status::corrupt;
    };
    if (bytes.size() < 10) {
        what = "the entry index ends early";
        return Status::truncated;
    }
    if (bytes[0] != kEntryIndex) {
        what = "not an entry index of version 1";
        return Status::unsupported;
    }
    if (crc32c(bytes.first(bytes.size() - 4)) != load32(&bytes[bytes.size() - 4]))
        return corrupt("the entry index's checksum differs");
    if (load32(&bytes[1]) != crc32c(payload)) return corrupt("the entry index is another payload's");
    Reader reader(bytes.subspan(5, bytes.size() - 9));
    uint64_t count = 0;
    if (!reader.varint(count) || count != chunks.size()) return corrupt("the entry index has other chunks");
    for (Chunk& chunk : chunks) {
        if (!reader.varint(count)) return corrupt("the entry index ends early");
        if (count > 0 && chunk.profile != kRansProfile) return corrupt("an entry into a stored chunk");
        chunk.first_entry = static_cast<uint32_t>(entries.size());
        chunk.num_entries = static_cast<uint32_t>(count);
        const uint32_t lanes = lanes_of(chunk);
        const uint64_t num_groups = lanes ? (uint64_t{chunk.num_symbols} + lanes - 1) / lanes : 0;
        const uint64_t side_bits =
            8 * (uint64_t{chunk.num_side_bytes} + (chunk.flags & kStatePayloadFlag ? 2 * lanes : 0));
        uint64_t words = chunk.num_words, group = 0, side_bit = 0;
        uint64_t joined = 0;  // all lanes have before this group
        // Each entry takes bytes, so their number is bounded by what was given; lanes of one join before the next
        // begins, so that the segments' work together is at most twice the chunk's.
        for (uint64_t i = 0; i < count; ++i) {
            uint64_t fewer, groups, more;
            std::span<const uint8_t> width, joins, states;
            if (!reader.varint(fewer) || !reader.varint(groups) || !reader.varint(more) || !reader.take(1, width) ||
                width[0] > 22 || !reader.take((width[0] * lanes + 7) / 8, joins) || !reader.take(2 * lanes, states))
                return corrupt("an entry is damaged");
            if (fewer > words || groups == 0 || group + groups >= num_groups || group + groups < joined || side_bit + more > side_bits)
                return corrupt("an entry lies outside its chunk");
            words -= fewer, group += groups, side_bit += more;
            Entry entry{};
            entry.num_words = static_cast<uint32_t>(words);
            entry.group = static_cast<uint32_t>(group);
            entry.side_bit = side_bit;
            BitReader join(joins);
            for (uint32_t lane = 0; lane < lanes; ++lane) {
                const uint64_t at = group + join.get(width[0]);
                if (at >= num_groups) return corrupt("an entry lies outside its chunk");
                joined = std::max(joined, at + 1);
                entry.join[lane] = static_cast<uint32_t>(at);
                entry.state[lane] = load16(&states[2 * lane]);
                if (entry.state[lane] == 0) return corrupt("an entry has a state of zero");
            }
            entries.push_back(entry);
        }
    }
    if (!reader.done()) return corrupt("bytes follow the entry index");
    return Status::ok;
}

}  // namespace narrows
