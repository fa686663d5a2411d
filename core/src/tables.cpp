#include "narrows/tables.hpp"

#include <algorithm>
#include <bit>
#include <limits>
#include <mutex>
#include <queue>

#include "narrows/crc.hpp"
#include "narrows/log2.hpp"

namespace narrows {
namespace {

template <typename Integer>
void append(std::vector<uint8_t>& bytes, Integer value) {
    for (size_t i = 0; i < sizeof value; ++i) bytes.push_back(static_cast<uint8_t>(static_cast<uint64_t>(value) >> (8 * i)));
}

}  // namespace

struct Tables::Lazy {
    std::once_flag once;
    DecodeEntries entries;
};

Tables::Tables() : lazy_(std::make_unique<Lazy>()) {}
Tables::~Tables() = default;

Status Tables::make(uint32_t bits, std::span<const int32_t> offset, std::span<const uint8_t> shift,
                    std::span<const uint32_t> num_tokens, std::span<const uint32_t> frequencies,
                    std::shared_ptr<const Tables>& tables, const char*& what) {
    const auto refuse = [&what](const char* why) {
        what = why;
        return Status::bad_argument;
    };
    const size_t n = offset.size();
    if (bits < kMinBits || bits > kMaxBits) return refuse("bits must be 8 to 16");
    if (n == 0 || n > kMaxTables) return refuse("there must be 1 to 65,536 tables");
    if (shift.size() != n || num_tokens.size() != n) return refuse("offset, shift and size must have equal lengths");
    if (frequencies.size() > kMaxTokens) return refuse("the tables have more than 16,777,216 tokens together");

    const uint32_t total = 1u << bits;
    uint64_t tokens = 0;
    for (size_t i = 0; i < n; ++i) {
        if (shift[i] > kMaxShift) return refuse("a shift is above 20");
        // Token 0 may own nothing, every other at least one slot.
        if (num_tokens[i] < 1 || num_tokens[i] > total + 1) return refuse("a table's size is not 1 to 2^bits + 1");
        const int64_t span = static_cast<int64_t>(num_tokens[i] - 1) << shift[i];
        if (offset[i] + span - 1 > std::numeric_limits<int32_t>::max())
            return refuse("a table reaches beyond int32");
        tokens += num_tokens[i];
    }
    if (tokens != frequencies.size()) return refuse("sizes and frequencies differ in number of tokens");

    std::shared_ptr<Tables> made(new Tables);
    made->bits_ = bits;
    made->tables_.reserve(n);
    made->cdf_.reserve(frequencies.size() + n);
    std::vector<uint8_t> canonical;
    canonical.reserve(5 + n * 9 + frequencies.size() * 4);
    append(canonical, static_cast<uint8_t>(bits));
    append(canonical, static_cast<uint32_t>(n));
    size_t at = 0;
    for (size_t i = 0; i < n; ++i) {
        Table table{};
        table.offset = offset[i];
        table.num_tokens = num_tokens[i];
        table.first = static_cast<uint32_t>(made->cdf_.size());
        table.shift = shift[i];
        table.slot_shift = static_cast<uint8_t>(std::min<uint32_t>(shift[i], kMaxSlotShift));
        table.has_escape = frequencies[at] != 0;
        append(canonical, shift[i]);
        append(canonical, offset[i]);
        append(canonical, num_tokens[i]);
        uint64_t sum = 0;
        uint64_t entropy = 0;
        for (uint32_t token = 0; token < num_tokens[i]; ++token) {
            const uint32_t f = frequencies[at++];
            if (f == 0 && token != 0) return refuse("a frequency is zero");
            if (f & ((1u << table.slot_shift) - 1)) return refuse("a frequency is no multiple of 2^min(shift, 7)");
            made->cdf_.push_back(static_cast<uint32_t>(sum));
            sum += f;
            if (sum > total) return refuse("a table's frequencies sum to more than 2^bits");
            if (f) entropy += uint64_t{f} * (cost_256(f >> table.slot_shift, bits) + 256u * (table.shift - table.slot_shift));
            append(canonical, f);
        }
        if (sum != total) return refuse("a table's frequencies sum to less than 2^bits");
        made->cdf_.push_back(total);
        made->entropy_256_.push_back(static_cast<uint32_t>(entropy >> bits));
        made->any_escape_ |= table.has_escape;
        made->any_shift_ |= table.shift > 0;
        made->any_raw_ |= table.shift > table.slot_shift;
        made->tables_.push_back(table);
    }
    made->digest_ = crc32c(canonical);
    made->reciprocals_.resize(made->cdf_.size());
    if (bits < 16) made->encode_entries_.resize(made->cdf_.size());
    for (const Table& table : made->tables_)
        for (uint32_t token = 0; token < table.num_tokens; ++token) {
            const uint32_t at_token = table.first + token;
            const uint32_t start = made->cdf_[at_token];
            const uint32_t g = (made->cdf_[at_token + 1] - start) >> table.slot_shift;
            if (bits < 16) made->encode_entries_[at_token] = start << 16 | g;
            if (g == 1)
                made->reciprocals_[at_token] = {UINT64_MAX, start + total - (1u << table.slot_shift), 1};
            else if (g)
                made->reciprocals_[at_token] = {UINT64_MAX / g + 1, start, g};
        }
    bool records = !made->any_raw_ && made->cdf_.size() <= 65536;
    for (const Table& table : made->tables_) records &= table.num_tokens <= 8192;
    if (records) {
        for (const Table& table : made->tables_) {
            const uint32_t high = table.first << 16 | (table.num_tokens - 1) << 3 | table.shift;
            made->encode_records_.push_back(uint64_t{high} << 32 | static_cast<uint32_t>(table.offset));
        }
        made->encode_quotients_.reserve(made->reciprocals_.size());
        for (size_t i = 0; i < made->reciprocals_.size(); ++i) {
            const uint32_t g = std::max(1u, made->reciprocals_[i].g);
            const float inverse = g == 1 ? 2.0f : static_cast<float>(2.0 / g * (1 - 0x1p-22));
            const uint32_t high = (made->cdf_[i] & 0xFFFF) | (g - 1) << 16;
            made->encode_quotients_.push_back(uint64_t{high} << 32 | std::bit_cast<uint32_t>(inverse));
        }
    }
    tables = std::move(made);
    return Status::ok;
}

namespace {

// Calls visit(table, token, first slot) for the first of each of 2^log2 runs of slots of each table.
template <typename Visit>
void for_each_run(const Tables& tables, uint32_t log2, Visit visit) {
    for (const Table& table : tables.all()) {
        const uint32_t* cdf = tables.cdf().data() + table.first;
        uint32_t token = 0;
        for (uint32_t run = 0; run < 1u << log2; ++run) {
            const uint32_t slot = run << (tables.bits() - log2);
            while (cdf[token + 1] <= slot) ++token;
            visit(table, token, slot);
        }
    }
}

// How many runs of slots each table has, as a power of two: as few as leave at most 1 in 200 slots beyond the second
// token of their run, so that the runs of all tables stay near the processor. At most 2^14 runs of all tables, 128 kB
// of 8 bytes each; up to 2^15 where a table would have fewer than 2^8.
uint32_t log2_runs(const Tables& tables) {
    uint32_t log2 = std::min(6u, tables.bits());
    const uint64_t total = uint64_t{tables.size()} << tables.bits();
    while (log2 < std::min(12u, tables.bits()) && (tables.size() << (log2 + 1)) <= (log2 < 8 ? 32768 : 16384)) {
        uint64_t beyond = 0;
        for_each_run(tables, log2, [&](const Table& table, uint32_t token, uint32_t slot) {
            const uint32_t* cdf = tables.cdf().data() + table.first + token;
            const uint32_t end = slot + (1u << (tables.bits() - log2));
            if (token + 2 <= table.num_tokens && cdf[2] < end) beyond += end - cdf[2];
        });
        if (200 * beyond <= total) break;
        ++log2;
    }
    return log2;
}

void make_buckets(const Tables& tables, DecodeEntries& made) {
    const bool shifts = tables.any_shift();
    for (const Table& table : tables.all()) {
        const int64_t last = table.offset + static_cast<int64_t>(table.span());
        if (table.offset < INT16_MIN || last > INT16_MAX) return;
    }
    if (tables.any_raw() || tables.size() > 4096 || (shifts && tables.bits() > 15)) return;
    made.log2_buckets = log2_runs(tables);
    // The last slot less a start of all ones must be negative where an escape owns it or its run.
    const uint32_t last_run = (1u << tables.bits()) - (1u << (tables.bits() - made.log2_buckets));
    for (const Table& table : tables.all())
        if (tables.bits() >= 15 && tables.cdf()[table.first + 1] > last_run) return;
    made.buckets.reserve(tables.size() << made.log2_buckets);
    const uint32_t all_ones = shifts ? 0x7FFF : 0xFFFF;
    for_each_run(tables, made.log2_buckets, [&](const Table& table, uint32_t token, uint32_t) {
        const uint32_t* cdf = tables.cdf().data() + table.first + token;
        const bool escapes = token == 0;
        const uint32_t start = escapes ? all_ones : cdf[0] >> table.shift;
        const uint32_t f0 = escapes ? 1 : (cdf[1] - cdf[0]) >> table.shift;
        const uint32_t f1 = escapes || token + 1 == table.num_tokens ? 1 : (cdf[2] - cdf[1]) >> table.shift;
        const int32_t value = escapes ? 0 : table.offset + ((static_cast<int32_t>(token) - 1) << table.shift);
        const uint32_t low = shifts ? start | (f0 - 1) << 15 | uint32_t{table.shift} << 30 : start | (f0 - 1) << 16;
        const uint32_t high = (f1 - 1) | (shifts ? uint32_t{table.shift} >> 2 << 15 : 0) |
                              static_cast<uint32_t>(value) << 16;
        made.buckets.push_back(uint64_t{high} << 32 | low);
    });
}

// Tables for byte and token streams: one lookup finds everything. From the fifth table on runs, which are smaller,
// are as fast.
void make_slots(const Tables& tables, DecodeEntries& made) {
    if (tables.bits() != 12 || tables.size() > 4 || tables.any_escape()) return;
    int64_t least = INT64_MAX, most = INT64_MIN;
    for (const Table& table : tables.all()) {
        if (table.shift > 0) return;
        least = std::min<int64_t>(least, table.offset);
        most = std::max<int64_t>(most, table.offset + static_cast<int64_t>(table.span()) - 1);
    }
    if (most - least > 255 || least < INT16_MIN || least + 255 > INT16_MAX) return;
    made.base = static_cast<int32_t>(least);
    made.slots.reserve((tables.size() << 12) + 1);
    for_each_run(tables, 12, [&](const Table& table, uint32_t token, uint32_t slot) {
        const uint32_t* cdf = tables.cdf().data() + table.first + token;
        const auto value = static_cast<uint32_t>(table.offset - least) + token - 1;
        made.slots.push_back((slot - cdf[0]) << 20 | value << 12 | (cdf[1] - cdf[0] - 1));
    });
    made.slots.push_back(0);
}

}  // namespace

const DecodeEntries& Tables::decode_entries() const {
    std::call_once(lazy_->once, [this] {
        DecodeEntries made;
        make_buckets(*this, made);
        make_slots(*this, made);
        while (made.log2_hints < std::min(12u, bits_) && (size() << (made.log2_hints + 1)) <= 32768) ++made.log2_hints;
        made.hints.reserve(size() << made.log2_hints);
        for_each_run(*this, made.log2_hints, [&](const Table&, uint32_t token, uint32_t) { made.hints.push_back(token); });
        lazy_->entries = std::move(made);
    });
    return lazy_->entries;
}

Status apportion(std::span<const uint64_t> weights, uint32_t bits, std::span<uint32_t> units) {
    using Wide = unsigned __int128;
    if (bits > 16 || weights.empty() || weights.size() > 1u << bits || units.size() != weights.size())
        return Status::bad_argument;
    Wide total = 0;
    for (uint64_t w : weights) total += w;
    if (total == 0) return Status::bad_argument;

    int64_t left = int64_t{1} << bits;
    for (size_t i = 0; i < weights.size(); ++i) {
        units[i] = std::max<uint32_t>(1, static_cast<uint32_t>((Wide{weights[i]} << bits) / total));
        left -= units[i];
    }
    // A unit is worth w / (2 f + 1) to who has f; equal worth goes to the lower index. Heaps hold indexes whose
    // f is current: only the top ever changes.
    if (left > 0) {
        const auto poorer = [&](uint32_t a, uint32_t b) {
            const Wide wa = Wide{weights[a]} * (2 * units[b] + 1), wb = Wide{weights[b]} * (2 * units[a] + 1);
            return wa != wb ? wa < wb : a > b;
        };
        std::priority_queue<uint32_t, std::vector<uint32_t>, decltype(poorer)> heap(poorer);
        for (uint32_t i = 0; i < weights.size(); ++i) heap.push(i);
        for (; left > 0; --left) {
            const uint32_t i = heap.top();
            heap.pop();
            ++units[i];
            heap.push(i);
        }
    } else if (left < 0) {
        const auto richer = [&](uint32_t a, uint32_t b) {
            const Wide wa = Wide{weights[a]} * (2 * units[b] - 1), wb = Wide{weights[b]} * (2 * units[a] - 1);
            return wa != wb ? wa > wb : a < b;
        };
        std::priority_queue<uint32_t, std::vector<uint32_t>, decltype(richer)> heap(richer);
        for (uint32_t i = 0; i < weights.size(); ++i)
            if (units[i] > 1) heap.push(i);
        for (; left < 0; ++left) {
            const uint32_t i = heap.top();
            heap.pop();
            if (--units[i] > 1) heap.push(i);
        }
    }
    return Status::ok;
}

}  // namespace narrows
