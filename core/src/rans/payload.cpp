// Payloads: split into chunks, code each on a thread of its own, check everything on the way back.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <type_traits>

#include "narrows/crc.hpp"
#include "narrows/rans.hpp"
#include "rans/chunk.hpp"
#include "rans/kernels.hpp"
#include "rans/lane.hpp"
#include "rans/side.hpp"

namespace narrows {
namespace {

template <typename Symbol, typename Index>
Kernels::Encode<Symbol, Index> encoder(const Kernels& k) {
    constexpr bool narrow = sizeof(Index) == 1;
    if constexpr (sizeof(Symbol) == 1 && narrow) return k.encode_i8_u8;
    else if constexpr (sizeof(Symbol) == 1) return k.encode_i8_u16;
    else if constexpr (sizeof(Symbol) == 2 && narrow) return k.encode_i16_u8;
    else if constexpr (sizeof(Symbol) == 2) return k.encode_i16_u16;
    else if constexpr (narrow) return k.encode_i32_u8;
    else return k.encode_i32_u16;
}

template <typename Symbol, typename Index>
Kernels::Decode<Symbol, Index> decoder(const Kernels& k) {
    constexpr bool narrow = sizeof(Index) == 1;
    if constexpr (sizeof(Symbol) == 2 && narrow) return k.decode_i16_u8;
    else if constexpr (sizeof(Symbol) == 2) return k.decode_i16_u16;
    else if constexpr (narrow) return k.decode_i32_u8;
    else return k.decode_i32_u16;
}

// Runs work(0 .. n - 1) on up to `threads` threads; the first status that is not ok wins, by lowest number.
template <typename Work>
Status for_each(size_t n, unsigned threads, std::string& what, Work work) {
    std::atomic<size_t> next{0};
    std::mutex mutex;
    size_t failed = n;
    Status result = Status::ok;
    const auto run = [&] {
        for (size_t i; (i = next.fetch_add(1)) < n;) {
            std::string why;
            Status status;
            try {
                status = work(i, why);
            } catch (const std::bad_alloc&) {
                status = Status::no_memory;
            }
            if (status == Status::ok) continue;
            const std::lock_guard lock(mutex);
            if (i < failed) {
                failed = i;
                result = status;
                what = std::move(why);
            }
        }
    };
    std::vector<std::thread> pool;
    const size_t wanted = std::min<size_t>({threads, n, 256});
    pool.reserve(wanted);
    try {
        while (pool.size() + 1 < wanted) pool.emplace_back(run);
    } catch (const std::system_error&) {
        // The system has no more threads: those that there are do the work.
    }
    run();
    for (std::thread& thread : pool) thread.join();
    return result;
}

template <typename Index>
bool all_below(std::span<const Index> index, size_t num_tables) {
    Index most = 0;
    for (Index i : index) most = std::max(most, i);
    return index.empty() || most < num_tables;
}

// Expected cost in 1/256 bit; above 2,047 symbols from a sample, every (n / 1024)th.
template <typename Index>
uint64_t expected_cost(std::span<const Index> index, const Tables& tables) {
    if (index.empty()) return 0;
    const std::span<const uint32_t> entropy = tables.entropy_256();
    const size_t stride = std::max<size_t>(1, index.size() / 1024);
    uint64_t sum = 0, taken = 0;
    for (size_t i = 0; i < index.size(); i += stride, ++taken) sum += entropy[index[i]];
    return sum * index.size() / taken;
}

// Lanes cost 3 bytes each; 128 bytes or more of data a lane keep that below 2.4 %.
uint32_t log2_lanes(uint64_t cost) {
    const uint64_t lanes = cost / (128 * 2048);
    return lanes < 2 ? 0 : std::min(5u, static_cast<uint32_t>(std::bit_width(lanes)) - 1);
}

constexpr size_t kMaxChunkSymbols = size_t{1} << 22;

size_t chunk_symbols(size_t n, uint64_t cost, uint32_t chunk_bytes) {
    const uint64_t target = uint64_t{chunk_bytes} * 2048;
    const uint64_t chunks = std::max<uint64_t>((cost + target / 2) / target, 1);
    const size_t each = static_cast<size_t>((n + chunks - 1) / chunks);
    return std::clamp<size_t>((each + 31) / 32 * 32, 32, kMaxChunkSymbols);
}

// Bytes a symbol if stored: 1, 2 or 4.
template <typename Symbol>
uint8_t stored_width(std::span<const Symbol> symbols) {
    int32_t low = 0, high = 0;
    for (Symbol s : symbols) {
        low = std::min<int32_t>(low, s);
        high = std::max<int32_t>(high, s);
    }
    return low >= INT8_MIN && high <= INT8_MAX ? 1 : low >= INT16_MIN && high <= INT16_MAX ? 2 : 4;
}

// Escapes and raw bits in the order of the symbols.
template <typename Symbol, typename Index>
void write_side(const EncodeJob<Symbol, Index>& job, const Tables& tables, BitWriter& side) {
    const auto escape = [&](uint32_t i) {
        const Table& table = tables[job.index[i]];
        side.put_exp_golomb(escape_distance(job.symbols[i], table) >> table.slot_shift,
                            table.shift - table.slot_shift + 2u);
    };
    size_t left = job.escapes.size();
    if (!tables.any_raw()) {
        while (left > 0) escape(job.escapes[--left]);
        return;
    }
    for (uint32_t i = 0; i < job.n; ++i) {
        if (left > 0 && job.escapes[left - 1] == i) {
            escape(i);
            --left;
            continue;
        }
        const Table& table = tables[job.index[i]];
        const uint32_t above = static_cast<uint32_t>(job.symbols[i]) - static_cast<uint32_t>(table.offset);
        side.put((above & ((1u << table.shift) - 1)) >> table.slot_shift, table.shift - table.slot_shift);
    }
}

template <typename Symbol, typename Index>
Status encode_chunk(std::span<const Symbol> symbols, std::span<const Index> index, const Tables& tables,
                    const EncodeOptions& options, std::vector<uint8_t>& bytes, std::string& what) {
    EncodeJob<Symbol, Index> job{};
    job.symbols = symbols.data();
    job.index = index.data();
    job.n = static_cast<uint32_t>(symbols.size());
    const uint32_t log2 = log2_lanes(expected_cost(index, tables));
    job.lanes = 1u << log2;
    const TableView view(tables);
    job.view = &view;
    std::fill_n(job.states, kMaxLanes, kLow);
    const auto words = std::make_unique_for_overwrite<uint16_t[]>(symbols.size() + kMaxLanes);
    job.words = words.get();

    ChunkHeader header;
    header.bits = static_cast<uint8_t>(tables.bits());
    header.tables_digest = tables.digest();
    header.num_symbols = job.n;
    header.num_words = encoder<Symbol, Index>(kernels(current_isa()))(job);
    if (job.closed) {
        what = "a symbol lies outside a table without an escape";
        return Status::bad_argument;
    }
    BitWriter writer;
    write_side(job, tables, writer);
    const std::vector<uint8_t>& side = writer.finish();
    header.num_side_bytes = static_cast<uint32_t>(side.size());
    header.flags = static_cast<uint8_t>(log2 | (side.empty() ? 0 : kSideStream) | (options.check ? kCheck : 0) |
                                        (options.hash_index ? kIndexHash : 0));
    if (options.hash_index) header.index_hash = hash_index(index);

    if (header.body_bytes() > symbols.size()) {
        ChunkHeader stored = header;
        stored.profile = Profile::raw;
        stored.flags &= kCheck | kIndexHash;
        stored.num_words = 0;
        stored.bits = stored_width(symbols);
        stored.num_side_bytes = stored.bits * job.n;
        if (header_bytes(stored) + stored.body_bytes() < header_bytes(header) + header.body_bytes()) {
            bytes.reserve(header_bytes(stored) + stored.body_bytes() + 4);
            append_header(bytes, stored);
            for (Symbol s : symbols)
                for (uint32_t i = 0; i < stored.bits; ++i)
                    bytes.push_back(static_cast<uint8_t>(static_cast<uint32_t>(int32_t{s}) >> (8 * i)));
            return Status::ok;
        }
    }
    bytes.reserve(header_bytes(header) + header.body_bytes() + 4);
    append_header(bytes, header);
    const size_t at = bytes.size();
    bytes.resize(at + 2 * size_t{header.num_words});
    if constexpr (std::endian::native == std::endian::little) {
        std::memcpy(bytes.data() + at, words.get(), 2 * size_t{header.num_words});
    } else {
        for (size_t i = 0; i < header.num_words; ++i) {
            bytes[at + 2 * i] = static_cast<uint8_t>(words[i]);
            bytes[at + 2 * i + 1] = static_cast<uint8_t>(words[i] >> 8);
        }
    }
    for (uint32_t lane = 0; lane < job.lanes; ++lane) append32(bytes, job.states[lane]);
    bytes.insert(bytes.end(), side.begin(), side.end());
    return Status::ok;
}

template <typename Symbol, typename Index>
Status encode_typed(std::span<const Symbol> symbols, std::span<const Index> index, const Tables& tables,
                    const EncodeOptions& options, std::vector<uint8_t>& payload, std::string& what) {
    if (symbols.size() != index.size()) {
        what = "symbols and index differ in length";
        return Status::bad_argument;
    }
    if (!all_below(index, tables.size())) {
        what = "an index names no table";
        return Status::bad_argument;
    }
    if (options.chunk_bytes < 1) {
        what = "chunk_bytes must be positive";
        return Status::bad_argument;
    }
    const size_t n = symbols.size();
    const size_t each = chunk_symbols(n, expected_cost(index, tables), options.chunk_bytes);
    const size_t num_chunks = std::max<size_t>(1, (n + each - 1) / each);
    std::vector<std::vector<uint8_t>> chunks(num_chunks);
    const Status status = for_each(num_chunks, options.threads, what, [&](size_t i, std::string& why) {
        const size_t first = i * each, count = std::min(each, n - first);
        return encode_chunk(symbols.subspan(first, count), index.subspan(first, count), tables, options, chunks[i],
                            why);
    });
    if (status != Status::ok) return status;
    const size_t begin = payload.size();
    if (num_chunks == 1 && begin == 0) {
        payload = std::move(chunks[0]);
    } else {
        size_t total = begin + 4;
        for (const auto& chunk : chunks) total += chunk.size();
        payload.reserve(total);
        for (const auto& chunk : chunks) payload.insert(payload.end(), chunk.begin(), chunk.end());
    }
    if (options.check) append32(payload, crc32c(std::span(payload).subspan(begin)));
    return Status::ok;
}

// Replaces what kernels left at escapes and adds raw bits. False if the side stream lies.
template <typename Symbol, typename Index>
bool read_side(DecodeJob<Symbol, Index>& job, const Tables& tables, BitReader& side) {
    const auto fits = [](int64_t value) { return static_cast<Symbol>(value) == value; };
    const auto escape = [&](uint32_t i, const Table& table) {
        uint64_t z;
        int32_t value;
        if (!side.get_exp_golomb(table.shift - table.slot_shift + 2u, z)) return false;
        // What the slots carried: the kernel added it to a number like offset in its low bits.
        const uint32_t low = (static_cast<uint32_t>(job.symbols[i]) - static_cast<uint32_t>(table.offset)) &
                             ((1u << table.slot_shift) - 1);
        if (!escape_value(z << table.slot_shift | low, table, value)) return false;
        job.symbols[i] = static_cast<Symbol>(value);
        job.fits &= fits(value);
        return !side.overrun();
    };
    if (!tables.any_raw()) {
        for (size_t k = 0; k < job.candidates.size(); ++k) {
            const uint32_t i = job.candidates[k];
            const Table& table = tables[job.index[i]];
            if (table.has_escape && !escape(i, table)) return false;
        }
        return true;
    }
    size_t k = 0;
    for (uint32_t i = 0; i < job.n; ++i) {
        const Table& table = tables[job.index[i]];
        const bool candidate = k < job.candidates.size() && job.candidates[k] == i;
        k += candidate;
        if (candidate && table.has_escape) {
            if (!escape(i, table)) return false;
        } else if (table.shift > table.slot_shift) {
            const uint32_t high = side.get(table.shift - table.slot_shift) << table.slot_shift;
            if (side.overrun()) return false;
            // At most 2^shift - 1 above a token's first value, so within int32.
            const int64_t value = int64_t{job.symbols[i]} + high;
            job.symbols[i] = static_cast<Symbol>(value);
            job.fits &= fits(value);
        }
    }
    return true;
}

template <typename Symbol, typename Index>
Status decode_chunk(std::span<const uint8_t> payload, const Place& place, std::span<const Index> all_index,
                    const Tables& tables, std::span<Symbol> all_symbols, std::string& what) {
    const auto corrupt = [&what](const char* why) {
        what = why;
        return Status::corrupt;
    };
    const ChunkHeader& header = place.header;
    const auto index = all_index.subspan(place.first, header.num_symbols);
    const auto symbols = all_symbols.subspan(place.first, header.num_symbols);
    if (header.flags & kIndexHash && hash_index(index) != header.index_hash)
        return corrupt("indexes differ: the model computed other indexes than the encoder's");

    const uint8_t* body = payload.data() + place.body;
    if (header.profile == Profile::raw) {
        for (size_t i = 0; i < symbols.size(); ++i, body += header.bits) {
            uint32_t value = 0;
            for (uint32_t k = 0; k < header.bits; ++k) value |= uint32_t{body[k]} << (8 * k);
            const uint32_t unused = 32 - 8 * header.bits;
            const int32_t symbol = static_cast<int32_t>(value << unused) >> unused;
            symbols[i] = static_cast<Symbol>(symbol);
            if (symbols[i] != symbol) return corrupt("a symbol does not fit the dtype asked for");
        }
        return Status::ok;
    }

    DecodeJob<Symbol, Index> job{};
    job.symbols = symbols.data();
    job.index = index.data();
    job.n = header.num_symbols;
    job.lanes = header.lanes();
    TableView view(tables);
    view.for_decoding(tables);
    job.view = &view;
    job.num_words = header.num_words;
    const size_t word_bytes = 2 * size_t{header.num_words};
    for (uint32_t lane = 0; lane < job.lanes; ++lane) {
        job.states[lane] = load32(body + word_bytes + 4 * lane);
        if (job.states[lane] < kLow) return corrupt("a lane's state is out of range");
    }
    // A copy: aligned, in this machine's byte order, and with room to read before the first word.
    const auto words = std::make_unique_for_overwrite<uint16_t[]>(kPadding + header.num_words + kPadding);
    std::memset(words.get(), 0, 2 * kPadding);
    if constexpr (std::endian::native == std::endian::little) {
        std::memcpy(words.get() + kPadding, body, word_bytes);
    } else {
        for (size_t i = 0; i < header.num_words; ++i)
            words[kPadding + i] = static_cast<uint16_t>(body[2 * i] | body[2 * i + 1] << 8);
    }
    job.words = words.get() + kPadding;
    const uint32_t left = decoder<Symbol, Index>(kernels(current_isa()))(job);
    if (left == kOverrun) return corrupt("a chunk's words run out: other tables, other indexes, or damage");
    if (left != 0) return corrupt("a chunk's words are left over: other tables, other indexes, or damage");

    // Lanes began at 2^16, plus 16 bits of the side stream each where the flag says so.
    std::vector<uint8_t> with_states;
    std::span<const uint8_t> side_bytes(body + word_bytes + 4 * size_t{job.lanes}, header.num_side_bytes);
    for (uint32_t lane = 0; lane < job.lanes; ++lane) {
        const uint32_t payload_bits = job.states[lane] - kLow;
        if (header.flags & kStatePayload ? payload_bits > 0xFFFF : payload_bits != 0)
            return corrupt("a lane ends in a wrong state: other tables, other indexes, or damage");
        if (header.flags & kStatePayload) {
            with_states.push_back(static_cast<uint8_t>(payload_bits));
            with_states.push_back(static_cast<uint8_t>(payload_bits >> 8));
        }
    }
    if (header.flags & kStatePayload) {
        with_states.insert(with_states.end(), side_bytes.begin(), side_bytes.end());
        side_bytes = with_states;
    }
    BitReader side(side_bytes);
    if (!read_side(job, tables, side)) return corrupt("the side stream is damaged");
    // Bits in the states are there whether needed or not.
    const bool states_only = header.flags & kStatePayload && header.num_side_bytes == 0;
    if (!(states_only ? side.rest_is_zero() : side.finished())) return corrupt("the side stream is not used up");
    if (!job.fits) return corrupt("a symbol does not fit the dtype asked for");
    return Status::ok;
}

template <typename Symbol, typename Index>
Status decode_typed(std::span<const uint8_t> payload, std::span<const Index> index, const Tables& tables,
                    const DecodeOptions& options, std::span<Symbol> symbols, std::string& what) {
    if (symbols.size() != index.size()) {
        what = "symbols and index differ in length";
        return Status::bad_argument;
    }
    if (!all_below(index, tables.size())) {
        what = "an index names no table";
        return Status::bad_argument;
    }
    std::vector<Place> places;
    Status status = read_places(payload, index.size(), tables.digest(), options.check, places, what);
    if (status != Status::ok) return status;
    for (const Place& place : places)
        if (place.header.profile == Profile::range) {
            what = "the payload was coded with Adaptive tables";
            return Status::corrupt;
        }
    return for_each(places.size(), options.threads, what, [&](size_t i, std::string& why) {
        return decode_chunk(payload, places[i], index, tables, symbols, why);
    });
}

}  // namespace

Status encode(const Symbols& symbols, const Indexes& index, const Tables& tables, const EncodeOptions& options,
              std::vector<uint8_t>& payload, std::string& what) {
    return std::visit(
        [&](auto s, auto i) { return encode_typed(s, i, tables, options, payload, what); }, symbols, index);
}

Status decode(std::span<const uint8_t> payload, const Indexes& index, const Tables& tables,
              const DecodeOptions& options, const MutableSymbols& symbols, std::string& what) {
    return std::visit(
        [&](auto i, auto s) { return decode_typed(payload, i, tables, options, s, what); }, index, symbols);
}

}  // namespace narrows
