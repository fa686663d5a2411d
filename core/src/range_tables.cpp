#include "narrows/range_tables.hpp"

#include <algorithm>
#include <bit>

#include "narrows/crc.hpp"
#include "rans/chunk.hpp"
#include "rans/side.hpp"

namespace narrows {
namespace {

// The same Exp-Golomb code as in the side stream, most significant bit first.
void put_exp_golomb(RangeEncoder& encoder, uint32_t z, uint32_t order) {
    const uint64_t y = (uint64_t{z} >> order) + 1;
    const uint32_t width = static_cast<uint32_t>(std::bit_width(y)) - 1;
    for (uint32_t i = 0; i < width; ++i) encoder.encode_raw(0, 1);
    encoder.encode_raw(1, 1);
    encoder.encode_raw(static_cast<uint32_t>(y - (uint64_t{1} << width)), width);
    encoder.encode_raw(z & ((1u << order) - 1), order);
}

bool get_exp_golomb(RangeDecoder& decoder, uint32_t order, uint64_t& z) {
    uint32_t width = 0;
    while (decoder.decode_raw(1) == 0)
        if (++width > 32) return false;
    const uint64_t y = (uint64_t{1} << width) + decoder.decode_raw(width);
    z = ((y - 1) << order) + decoder.decode_raw(order);
    return true;
}

void put_token(RangeEncoder& encoder, const Tables& tables, uint32_t i, uint32_t token) {
    const uint32_t* cdf = tables.cdf().data() + tables[i].first + token;
    encoder.encode(cdf[0], cdf[1] - cdf[0], tables.bits());
}
void put_token(RangeEncoder& encoder, AdaptiveTables& adaptive, uint32_t i, uint32_t token) {
    adaptive[i].encode(encoder, token - !adaptive.tables()[i].has_escape);
}

uint32_t get_token(RangeDecoder& decoder, const Tables& tables, uint32_t i) {
    const Table& table = tables[i];
    const uint32_t* cdf = tables.cdf().data() + table.first;
    const uint32_t target = decoder.target(tables.bits());
    const auto token = static_cast<uint32_t>(std::upper_bound(cdf, cdf + table.num_tokens, target) - cdf) - 1;
    decoder.take(cdf[token], cdf[token + 1] - cdf[token], tables.bits());
    return token;
}
uint32_t get_token(RangeDecoder& decoder, AdaptiveTables& adaptive, uint32_t i) {
    return adaptive[i].decode(decoder) + !adaptive.tables()[i].has_escape;
}

const Tables& fixed(const Tables& tables) { return tables; }
const Tables& fixed(const AdaptiveTables& tables) { return tables.tables(); }

template <typename Index>
Status check_arguments(size_t num_symbols, std::span<const Index> index, size_t num_tables, std::string& what) {
    if (num_symbols != index.size()) {
        what = "symbols and index differ in length";
        return Status::bad_argument;
    }
    for (Index i : index)
        if (i >= num_tables) {
            what = "an index names no table";
            return Status::bad_argument;
        }
    return Status::ok;
}

// A sound stream is read at most four bytes beyond its end, and those were zeros.
Status check_end(const RangeDecoder& decoder, std::string& what) {
    if (decoder.padded() <= 4) return Status::ok;
    what = "the stream ends early";
    return Status::truncated;
}

template <typename AnyTables>
Status put_all(RangeEncoder& encoder, std::span<const int32_t> symbols, const Indexes& indexes, AnyTables& any,
               std::string& what) {
    const Tables& tables = fixed(any);
    return std::visit(
        [&](auto index) {
            Status status = check_arguments(symbols.size(), index, tables.size(), what);
            if (status != Status::ok) return status;
            const auto token_of = [](int32_t symbol, const Table& table) {
                const uint32_t above = static_cast<uint32_t>(symbol) - static_cast<uint32_t>(table.offset);
                const uint32_t token = above >> table.shift;
                return token < table.num_tokens - 1 ? token + 1 : 0;
            };
            for (size_t i = 0; i < symbols.size(); ++i)
                if (const Table& table = tables[index[i]]; !table.has_escape && token_of(symbols[i], table) == 0) {
                    what = "a symbol lies outside a table without an escape";
                    return Status::bad_argument;
                }
            for (size_t i = 0; i < symbols.size(); ++i) {
                const Table& table = tables[index[i]];
                const uint32_t token = token_of(symbols[i], table);
                put_token(encoder, any, index[i], token);
                if (token == 0) {
                    put_exp_golomb(encoder, escape_distance(symbols[i], table), table.shift + 2u);
                } else {
                    const uint32_t above = static_cast<uint32_t>(symbols[i]) - static_cast<uint32_t>(table.offset);
                    encoder.encode_raw(above & ((1u << table.shift) - 1), table.shift);
                }
            }
            return Status::ok;
        },
        indexes);
}

template <typename AnyTables>
Status get_all(RangeDecoder& decoder, std::span<int32_t> symbols, const Indexes& indexes, AnyTables& any,
               std::string& what) {
    const Tables& tables = fixed(any);
    return std::visit(
        [&](auto index) {
            Status status = check_arguments(symbols.size(), index, tables.size(), what);
            if (status != Status::ok) return status;
            for (size_t i = 0; i < symbols.size(); ++i) {
                const Table& table = tables[index[i]];
                const uint32_t token = get_token(decoder, any, index[i]);
                if (token == 0) {
                    uint64_t distance;
                    if (!get_exp_golomb(decoder, table.shift + 2u, distance) ||
                        !escape_value(distance, table, symbols[i])) {
                        what = "an escape is damaged";
                        return Status::corrupt;
                    }
                } else {
                    const uint32_t low = decoder.decode_raw(table.shift);
                    symbols[i] = static_cast<int32_t>(static_cast<uint32_t>(table.offset) +
                                                      ((token - 1) << table.shift) + low);
                }
            }
            return check_end(decoder, what);
        },
        indexes);
}

}  // namespace

Status AdaptiveTables::make(std::shared_ptr<const Tables> tables, uint32_t weight, uint32_t max_shift,
                            AdaptiveTables& adaptive, std::string& what) {
    if (tables->bits() > AdaptiveTable::kBits) {
        what = "adaptive tables have at most 15 bits";
        return Status::bad_argument;
    }
    AdaptiveTables made;
    made.adaptive_.resize(tables->size());
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
        if (made.adaptive_[i].start(frequencies, weight, max_shift) != Status::ok) {
            what = "weight is 2 to 32,768 counts and max_shift 1 to 12";
            return Status::bad_argument;
        }
    }
    made.tables_ = std::move(tables);
    adaptive = std::move(made);
    return Status::ok;
}

Status put(RangeEncoder& encoder, std::span<const int32_t> symbols, const Indexes& index, const Tables& tables,
           std::string& what) {
    return put_all(encoder, symbols, index, tables, what);
}
Status put(RangeEncoder& encoder, std::span<const int32_t> symbols, const Indexes& index, AdaptiveTables& tables,
           std::string& what) {
    return put_all(encoder, symbols, index, tables, what);
}
Status get(RangeDecoder& decoder, std::span<int32_t> symbols, const Indexes& index, const Tables& tables,
           std::string& what) {
    return get_all(decoder, symbols, index, tables, what);
}
Status get(RangeDecoder& decoder, std::span<int32_t> symbols, const Indexes& index, AdaptiveTables& tables,
           std::string& what) {
    return get_all(decoder, symbols, index, tables, what);
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
            for (size_t i = 0; i < bits.size(); ++i)
                models[context[i]].encode(encoder, static_cast<uint32_t>(bits[i]));
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
            for (size_t i = 0; i < bits.size(); ++i)
                bits[i] = static_cast<int32_t>(models[context[i]].decode(decoder));
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
    std::vector<Place> places;
    Status status = read_places(payload, symbols.size(), tables.tables().digest(), options.check, places, what);
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
        what = "bytes are left over";
        return Status::corrupt;
    }
    return Status::ok;
}

}  // namespace narrows
