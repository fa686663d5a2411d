#include "narrows/range_tables.hpp"

#include "narrows/crc.hpp"
#include "range_symbols.hpp"
#include "rans/chunk.hpp"

namespace narrows {
namespace {

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
            for (size_t i = 0; i < symbols.size(); ++i)
                if (const Table& table = tables[index[i]]; !table.has_escape && token_of(symbols[i], table) == 0) {
                    what = "a symbol lies outside a table without an escape";
                    return Status::bad_argument;
                }
            RangeEncoder local = std::move(encoder);  // its state in registers
            for (size_t i = 0; i < symbols.size(); ++i) (void)put_symbol(local, any, index[i], symbols[i]);
            encoder = std::move(local);
            return Status::ok;
        },
        indexes);
}

template <typename AnyTables>
Status get_all(RangeDecoder& decoder, std::span<int32_t> symbols, const Indexes& indexes, AnyTables&& any,
               std::string& what) {
    const Tables& tables = fixed(any);
    return std::visit(
        [&](auto index) {
            Status status = check_arguments(symbols.size(), index, tables.size(), what);
            if (status != Status::ok) return status;
            RangeDecoder local = decoder;  // its state in registers
            bool sound = true;
            for (size_t i = 0; i < symbols.size() && sound; ++i) sound = get_symbol(local, any, index[i], symbols[i]);
            decoder = local;
            if (sound) return check_end(decoder, what);
            what = "an escape is damaged";
            return Status::corrupt;
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
    return get_all(decoder, symbols, index, for_decoding(tables, symbols.size()), what);
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
