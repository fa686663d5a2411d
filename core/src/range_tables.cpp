#include "narrows/range_tables.hpp"

#include <algorithm>

#include "narrows/cpu.hpp"
#include "narrows/crc.hpp"
#include "range_loops.hpp"
#include "rans/chunk.hpp"

namespace narrows {
namespace {

template <typename Index>
Status check_arguments(size_t num_symbols, std::span<const Index> index, size_t num_tables, std::string& what) {
    if (num_symbols != index.size()) {
        what = "symbols and index differ in length";
        return Status::bad_argument;
    }
    Index most = 0;  // a loop without an exit is vector code
    for (Index i : index) most = std::max(most, i);
    if (!index.empty() && most >= num_tables) {
        what = "an index names no table";
        return Status::bad_argument;
    }
    return Status::ok;
}

// bad_argument if a symbol lies outside a table without an escape.
template <typename Index>
Status check_covered(std::span<const int32_t> symbols, std::span<const Index> index, const Tables& tables,
                     std::string& what) {
    if (symbols.size() >= tables.size()) {
        int64_t first = INT32_MIN, last = INT32_MAX;  // what all tables cover or escape
        for (const Table& table : tables.all())
            if (!table.has_escape) {
                first = std::max<int64_t>(first, table.offset);
                last = std::min(last, table.offset + static_cast<int64_t>(table.span()) - 1);
            }
        int32_t least = INT32_MAX, most = INT32_MIN;
        for (int32_t symbol : symbols) {
            least = std::min(least, symbol);
            most = std::max(most, symbol);
        }
        if (first <= least && most <= last) return Status::ok;
    }
    for (size_t i = 0; i < symbols.size(); ++i)
        if (const Table& table = tables[index[i]]; !table.has_escape && token_of(symbols[i], table) == 0) {
            what = "a symbol lies outside a table without an escape";
            return Status::bad_argument;
        }
    return Status::ok;
}

template <typename Index>
AdaptiveLoops<Index> adaptive_loops() noexcept {
#if defined(__x86_64__)
    if (current_isa() != Isa::scalar) return adaptive_loops_avx2(Index{});
#endif
    return {put_loop<Index>, get_loop<Index>};
}

// A sound stream is read at most four bytes beyond its end, and those were zeros.
Status check_end(const RangeDecoder& decoder, std::string& what) {
    if (decoder.padded() <= 4) return Status::ok;
    what = "the stream ends early";
    return Status::truncated;
}

// Runs code(index) with the indexes of whichever width, once they are checked.
template <typename Code>
Status with_index(size_t num_symbols, const Indexes& indexes, size_t num_tables, std::string& what, Code code) {
    return std::visit(
        [&](auto index) {
            const Status status = check_arguments(num_symbols, index, num_tables, what);
            return status == Status::ok ? code(index) : status;
        },
        indexes);
}

Status check_got(bool sound, const RangeDecoder& decoder, std::string& what) {
    if (sound) return check_end(decoder, what);
    what = "an escape is damaged";
    return Status::corrupt;
}

}  // namespace

Status AdaptiveTables::make(std::shared_ptr<const Tables> tables, uint32_t weight, uint32_t max_shift,
                            AdaptiveTables& adaptive, std::string& what) {
    if (tables->bits() > AdaptiveTable::kBits) {
        what = "adaptive tables have at most 15 bits";
        return Status::bad_argument;
    }
    AdaptiveTables made;
    made.entries_.resize(tables->size());
    for (size_t i = 0; i < tables->size(); ++i) {
        const Table& table = (*tables)[i];
        const uint32_t* cdf = tables->cdf().data() + table.first;
        std::vector<uint16_t> frequencies;
        for (uint32_t token = !table.has_escape; token < table.num_tokens; ++token) {
            if (frequencies.size() == AdaptiveTable::kMaxSymbols) {
                what = "adaptive tables have at most 17 tokens, the escape included";
                return Status::bad_argument;
            }
            frequencies.push_back(
                static_cast<uint16_t>((cdf[token + 1] - cdf[token]) << (AdaptiveTable::kBits - tables->bits())));
        }
        Entry& entry = made.entries_[i];
        if (entry.counts.start(frequencies, weight, max_shift) != Status::ok) {
            what = "weight is 2 to 32,768 counts and max_shift 1 to 12";
            return Status::bad_argument;
        }
        entry.offset = table.offset;
        entry.num_covered = table.num_tokens - 1;
        entry.num_plain = table.shift ? 0 : entry.num_covered;
        entry.shift = table.shift;
        entry.escape = table.has_escape;
        entry.first = static_cast<uint8_t>(entry.counts.first_symbol() + entry.escape);
    }
    made.tables_ = std::move(tables);
    adaptive = std::move(made);
    return Status::ok;
}

RangeEncoder put_distance(RangeEncoder encoder, const Table& table, int32_t symbol) {
    const uint32_t z = escape_distance(symbol, table), order = table.shift + 2u;
    const uint64_t y = (uint64_t{z} >> order) + 1;
    const uint32_t width = static_cast<uint32_t>(std::bit_width(y)) - 1;
    for (uint32_t i = 0; i < width; ++i) encoder.encode_raw(0, 1);
    encoder.encode_raw(1, 1);
    encoder.encode_raw(static_cast<uint32_t>(y - (uint64_t{1} << width)), width);
    encoder.encode_raw(z & ((1u << order) - 1), order);
    return encoder;
}

Escaped get_distance(RangeDecoder decoder, const Table& table) {
    const uint32_t order = table.shift + 2u;
    uint32_t width = 0;
    while (decoder.decode_raw(1) == 0)
        if (++width > 32) return {decoder, 0, false};
    const uint64_t y = (uint64_t{1} << width) + decoder.decode_raw(width);
    const uint64_t z = ((y - 1) << order) + decoder.decode_raw(order);
    Escaped escaped{decoder, 0, false};
    escaped.sound = escape_value(z, table, escaped.symbol);
    return escaped;
}

Status put(RangeEncoder& encoder, std::span<const int32_t> symbols, const Indexes& indexes, const Tables& tables,
           std::string& what) {
    return with_index(symbols.size(), indexes, tables.size(), what, [&](auto index) {
        if (Status status = check_covered(symbols, index, tables, what); status != Status::ok) return status;
        RangeEncoder local = std::move(encoder);  // its state in registers
        for (size_t i = 0; i < symbols.size(); ++i) (void)put_symbol(local, tables, index[i], symbols[i]);
        encoder = std::move(local);
        return Status::ok;
    });
}
Status put(RangeEncoder& encoder, std::span<const int32_t> symbols, const Indexes& indexes, AdaptiveTables& adaptive,
           std::string& what) {
    const Tables& tables = adaptive.tables();
    return with_index(symbols.size(), indexes, tables.size(), what, [&]<typename Index>(std::span<const Index> index) {
        if (Status status = check_covered(symbols, index, tables, what); status != Status::ok) return status;
        adaptive_loops<Index>().put(encoder, symbols.data(), index.data(), symbols.size(), adaptive.entries().data(),
                                    tables.all().data());
        return Status::ok;
    });
}
Status get(RangeDecoder& decoder, std::span<int32_t> symbols, const Indexes& indexes, const Tables& tables,
           std::string& what) {
    return with_index(symbols.size(), indexes, tables.size(), what, [&](auto index) {
        const SearchTables search(tables, symbols.size());
        RangeDecoder local = decoder;  // its state in registers
        bool sound = true;
        for (size_t i = 0; i < symbols.size() && sound; ++i) sound = get_symbol(local, search, index[i], symbols[i]);
        decoder = local;
        return check_got(sound, decoder, what);
    });
}
Status get(RangeDecoder& decoder, std::span<int32_t> symbols, const Indexes& indexes, AdaptiveTables& adaptive,
           std::string& what) {
    const Tables& tables = adaptive.tables();
    return with_index(symbols.size(), indexes, tables.size(), what, [&]<typename Index>(std::span<const Index> index) {
        const bool sound = adaptive_loops<Index>().get(decoder, symbols.data(), index.data(), symbols.size(),
                                                       adaptive.entries().data(), tables.all().data());
        return check_got(sound, decoder, what);
    });
}

Status put(RangeEncoder& encoder, std::span<const int32_t> bits, const Indexes& contexts,
           std::span<AdaptiveBit> models, std::string& what) {
    return std::visit(
        [&](auto context) {
            Status status = check_arguments(bits.size(), context, models.size(), what);
            if (status != Status::ok) return status;
            for (int32_t bit : bits)
                if (bit != 0 && bit != 1) {
                    what = "a bit is neither 0 nor 1";
                    return Status::bad_argument;
                }
            RangeEncoder local = std::move(encoder);  // its state in registers
            for (size_t i = 0; i < bits.size(); ++i)
                models[context[i]].encode(local, static_cast<uint32_t>(bits[i]));
            encoder = std::move(local);
            return Status::ok;
        },
        contexts);
}
Status get(RangeDecoder& decoder, std::span<int32_t> bits, const Indexes& contexts, std::span<AdaptiveBit> models,
           std::string& what) {
    return std::visit(
        [&](auto context) {
            Status status = check_arguments(bits.size(), context, models.size(), what);
            if (status != Status::ok) return status;
            RangeDecoder local = decoder;  // its state in registers
            for (size_t i = 0; i < bits.size(); ++i)
                bits[i] = static_cast<int32_t>(models[context[i]].decode(local));
            decoder = local;
            return check_end(decoder, what);
        },
        contexts);
}

Status encode(std::span<const int32_t> symbols, const Indexes& index, AdaptiveTables& tables,
              const EncodeOptions& options, std::vector<uint8_t>& payload, std::string& what) {
    // So that 32-bit lengths hold whatever the symbols: an escape and its token stay under 12 bytes.
    if (symbols.size() > 1u << 28) {
        what = "more than 2^28 symbols in a call with adaptive tables";
        return Status::bad_argument;
    }
    RangeEncoder encoder;
    if (Status status = put(encoder, symbols, index, tables, what); status != Status::ok) return status;
    const std::vector<uint8_t> coded = encoder.finish();
    ChunkHeader header;
    header.profile = Profile::range;
    header.bits = static_cast<uint8_t>(tables.tables().bits());
    header.flags = static_cast<uint8_t>(kAdaptive | (options.check ? kCheck : 0) | (options.hash_index ? kIndexHash : 0));
    header.tables_digest = tables.tables().digest();
    if (options.hash_index) header.index_hash = hash_index(index);
    header.num_symbols = static_cast<uint32_t>(symbols.size());
    header.num_side_bytes = static_cast<uint32_t>(coded.size());
    const size_t begin = payload.size();
    append_header(payload, header);
    payload.insert(payload.end(), coded.begin(), coded.end());
    if (options.check) append32(payload, crc32c(std::span(payload).subspan(begin)));
    return Status::ok;
}

Status decode(std::span<const uint8_t> payload, const Indexes& index, AdaptiveTables& tables,
              const DecodeOptions& options, std::span<int32_t> symbols, std::string& what) {
    // The caller's mistakes before the payload's.
    Status status = std::visit(
        [&](auto which) { return check_arguments(symbols.size(), which, tables.tables().size(), what); }, index);
    if (status != Status::ok) return status;
    std::vector<Place> places;
    status = read_places(payload, symbols.size(), tables.tables().digest(), options.check, places, what);
    if (status != Status::ok) return status;
    const ChunkHeader& header = places[0].header;
    if (places.size() > 1 || header.profile != Profile::range || !(header.flags & kAdaptive)) {
        what = "the payload was not coded with Adaptive tables";
        return Status::corrupt;
    }
    if (header.flags & kIndexHash && hash_index(index) != header.index_hash) {
        what = "indexes differ: the model computed other indexes than the encoder's";
        return Status::corrupt;
    }
    RangeDecoder decoder(payload.subspan(places[0].body, header.num_side_bytes));
    if (status = get(decoder, symbols, index, tables, what); status != Status::ok) return status;
    if (!decoder.finished()) {
        what = "bytes are left over, or not as an encoder ends them";
        return Status::corrupt;
    }
    return Status::ok;
}

}  // namespace narrows
