// Payloads: split into chunks, code each on a thread of its own, check everything on the way back.
#include <algorithm>
#include <cstring>
#include <exception>
#include <limits>
#include <mutex>
#include <type_traits>

#include "crew.hpp"
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

template <typename Work>
Status without_exceptions(Work work) {
    try {
        return work();
    } catch (const std::exception&) {  // bad_alloc, or length_error where a size is beyond all memory
        return Status::no_memory;
    }
}

// Runs work(i, worker, why) for i from 0 to n - 1 on at most `workers` threads; the first status that is not ok wins,
// by lowest i.
template <typename Work>
Status for_each(Crew& crew, size_t n, size_t workers, std::string& what, Work work) {
    std::mutex mutex;
    size_t failed = n;
    Status result = Status::ok;
    crew.run(n, workers, [&](size_t i, size_t worker) {
        std::string why;
        const Status status = without_exceptions([&] { return work(i, worker, why); });
        if (status == Status::ok) return;
        const std::lock_guard lock(mutex);
        if (i < failed) {
            failed = i;
            result = status;
            what = std::move(why);
        }
    });
    return result;
}

// CRC32C of `data`, computed in pieces by at most `workers` threads, of which there is one at least.
uint32_t checksum(Crew& crew, size_t workers, std::span<const uint8_t> data) {
    constexpr size_t kPiece = 65536;
    const size_t num_pieces = std::clamp<size_t>(data.size() / kPiece, 1, workers);
    if (num_pieces == 1) return crc32c(data);
    const size_t each = (data.size() + num_pieces - 1) / num_pieces;
    std::vector<uint32_t> crcs(num_pieces);
    const auto piece = [&](size_t i) { return data.subspan(i * each, std::min(each, data.size() - i * each)); };
    crew.run(num_pieces, num_pieces, [&](size_t i, size_t) { crcs[i] = crc32c(piece(i)); });
    for (size_t i = 1; i < num_pieces; ++i) crcs[0] = join_crc32c(crcs[0], crcs[i], piece(i).size());
    return crcs[0];
}

// Values of a type that kernels read: those of the caller, or a block of them converted. For one thread.
template <typename T>
class Reader {
 public:
    Reader(const Integers& values, size_t block) : values_(&values), direct_(values.contiguous<T>()) {
        if (!direct_) buffer_ = std::make_unique_for_overwrite<T[]>(std::min(block, values.size()));
    }
    // `count` values from the `first` on, valid until the next call; null if one does not fit T.
    const T* load(size_t first, size_t count) {
        if (direct_) return direct_ + first;
        return values_->read(first, count, buffer_.get()) ? buffer_.get() : nullptr;
    }

 private:
    const Integers* values_;
    const T* direct_;
    std::unique_ptr<T[]> buffer_;
};

// Symbols a block: whole groups of lanes, small enough for the caches where they are converted. A chunk whose states
// carry a part of the side stream is one block when it is decoded.
constexpr size_t kBlock = 4096;
constexpr size_t kDirectBlock = 65536;

const char* const kTooLarge = "a symbol is beyond int32";
const char* const kNoTable = "an index names no table";

template <typename Index>
bool all_below(const Index* index, size_t count, size_t num_tables) {
    Index most = 0;
    for (size_t i = 0; i < count; ++i) most = std::max(most, index[i]);
    return count == 0 || most < num_tables;
}

// Memory for words that the threads of a call use again and again. The caller's thread allocates it: what a thread of
// its own takes goes back to the system when it ends, and every page is faulted in anew the next time.
class WordBuffers {
 public:
    WordBuffers(size_t workers, size_t size) : size_(size) {
        if (size > kSmall) large_ = std::make_unique_for_overwrite<uint16_t[]>(workers * size);
    }
    // `small` has kSmall words.
    uint16_t* of(size_t worker, uint16_t* small) const { return large_ ? large_.get() + worker * size_ : small; }
    static constexpr size_t kSmall = 2048;

 private:
    size_t size_;
    std::unique_ptr<uint16_t[]> large_;
};

// Expected cost in 1/256 bit of `n` symbols from `first` on; above 2,047 symbols from a sample, every (n / 1024)th.
// Indexes that name no table, which are refused later, cost nothing.
template <typename Index>
uint64_t expected_cost(const Integers& index, size_t first, size_t n, const Tables& tables) {
    if (n == 0) return 0;
    const std::span<const uint32_t> entropy = tables.entropy_256();
    const Index* direct = index.contiguous<Index>();
    const size_t stride = std::max<size_t>(1, n / 1024);
    uint64_t sum = 0, taken = 0;
    for (size_t i = 0; i < n; i += stride, ++taken) {
        Index table = 0;
        if (direct) table = direct[first + i];
        else if (!index.read(first + i, 1, &table)) continue;
        if (table < entropy.size()) sum += entropy[table];
    }
    return sum * n / taken;
}

// Lanes cost 3 bytes each; 128 bytes or more of data a lane keep that below 2.4 %.
uint32_t log2_lanes(uint64_t cost) {
    const uint64_t lanes = cost / (128 * 2048);
    return lanes < 2 ? 0 : std::min(5u, static_cast<uint32_t>(std::bit_width(lanes)) - 1);
}

constexpr size_t kMaxChunkSymbols = size_t{1} << 22;

size_t chunk_symbols(size_t n, uint64_t cost, uint32_t chunk_bytes) {
    const uint64_t target = uint64_t{chunk_bytes} * 2048;
    uint64_t chunks = std::max<uint64_t>((cost + target / 2) / target, 1);
    if (chunks > 4) chunks = (chunks + 2) / 4 * 4;  // so that 2 or 4 threads have about equal parts
    const size_t each = static_cast<size_t>((n + chunks - 1) / chunks);
    return std::clamp<size_t>((each + 31) / 32 * 32, 32, kMaxChunkSymbols);
}

// Bytes a symbol if stored: 1, 2 or 4.
template <typename Symbol>
uint8_t stored_width(const Symbol* symbols, size_t count) {
    int32_t low = 0, high = 0;
    for (size_t i = 0; i < count; ++i) {
        low = std::min<int32_t>(low, symbols[i]);
        high = std::max<int32_t>(high, symbols[i]);
    }
    return low >= INT8_MIN && high <= INT8_MAX ? 1 : low >= INT16_MIN && high <= INT16_MAX ? 2 : 4;
}

// An escape as the side stream has it.
struct Escape {
    uint32_t position;
    uint32_t z;
    uint32_t order;
};

// One chunk, from the last block to the first.
template <typename Symbol, typename Index>
class ChunkEncoder {
 public:
    ChunkEncoder(const Integers& symbols, const Integers& index, size_t first, size_t count, const Tables& tables)
        : tables_(tables),
          first_(first),
          count_(count),
          block_(symbols.contiguous<Symbol>() && index.contiguous<Index>() ? kDirectBlock : kBlock),
          symbols_(symbols, block_),
          index_(index, block_),
          cost_(expected_cost<Index>(index, first, count, tables)) {}

    // Puts the chunk into `bytes`, which is empty. `words` has room for num_words(count).
    Status run(const EncodeOptions& options, uint16_t* words, std::vector<uint8_t>& bytes, std::string& what) {
        const TableView view(tables_);
        const uint32_t log2 = log2_lanes(cost_);

        EncodeJob<Symbol, Index> job{};
        job.lanes = 1u << log2;
        job.view = &view;
        job.words = words;
        std::fill_n(job.states, kMaxLanes, kLow);
        const auto code = encoder<Symbol, Index>(kernels(current_isa()));
        const auto refuse = [&what](const char* why) {
            what = why;
            return Status::bad_argument;
        };
        for (size_t end = count_; end > 0;) {
            const size_t begin = (end - 1) / block_ * block_;
            job.n = static_cast<uint32_t>(end - begin);
            job.index = index_.load(first_ + begin, end - begin);
            if (!job.index || !all_below(job.index, end - begin, tables_.size())) return refuse(kNoTable);
            job.symbols = symbols_.load(first_ + begin, end - begin);
            if (!job.symbols) return refuse(kTooLarge);
            job.words += code(job);
            if (job.closed) return refuse("a symbol lies outside a table without an escape");
            if (job.escapes.size() > 0) keep(job, static_cast<uint32_t>(begin));
            end = begin;
        }

        ChunkHeader header;
        header.bits = static_cast<uint8_t>(tables_.bits());
        header.tables_digest = tables_.digest();
        header.num_symbols = static_cast<uint32_t>(count_);
        header.num_words = static_cast<uint32_t>(job.words - words);
        BitWriter writer;
        write_side(writer);
        const std::vector<uint8_t>& side = writer.finish();
        header.num_side_bytes = static_cast<uint32_t>(side.size());
        header.flags = static_cast<uint8_t>(log2 | (side.empty() ? 0 : kSideStream) | (options.check ? kCheck : 0) |
                                            (options.hash_index ? kIndexHash : 0));
        if (options.hash_index) header.index_hash = hash();
        // Stored takes a byte a symbol at least, and at most 8 bytes less of header.
        if (header.body_bytes() + 8 > count_ && store(header, bytes)) return Status::ok;

        bytes.reserve(header_bytes(header) + header.body_bytes());
        append_header(bytes, header);
        if constexpr (std::endian::native == std::endian::little) {
            const auto* const low = reinterpret_cast<const uint8_t*>(words);
            bytes.insert(bytes.end(), low, low + 2 * size_t{header.num_words});
        } else {
            for (size_t i = 0; i < header.num_words; ++i) {
                bytes.push_back(static_cast<uint8_t>(words[i]));
                bytes.push_back(static_cast<uint8_t>(words[i] >> 8));
            }
        }
        for (uint32_t lane = 0; lane < job.lanes; ++lane) append32(bytes, job.states[lane]);
        bytes.insert(bytes.end(), side.begin(), side.end());
        return Status::ok;
    }

    static size_t num_words(size_t count) { return count + kMaxLanes; }

 private:
    // Calls visit(begin, count, symbols, index) for each block from the first on; all have been loaded before.
    template <typename Visit>
    void for_each_block(Visit visit) {
        for (size_t begin = 0; begin < count_; begin += block_) {
            const size_t count = std::min(block_, count_ - begin);
            const Index* index = index_.load(first_ + begin, count);
            visit(begin, count, symbols_.load(first_ + begin, count), index);
        }
    }

    // Takes over the escapes of a block: after all of them the list descends.
    void keep(EncodeJob<Symbol, Index>& job, uint32_t begin) {
        for (size_t k = 0; k < job.escapes.size(); ++k) {
            const uint32_t i = job.escapes[k];
            const Table& table = tables_[job.index[i]];
            escapes_.push_back({begin + i, escape_distance(job.symbols[i], table) >> table.slot_shift,
                                table.shift - table.slot_shift + 2u});
        }
        job.escapes.clear();
    }

    // Escapes and raw bits in the order of the symbols.
    void write_side(BitWriter& side) {
        const auto escape = [&side](const Escape& e) { side.put_exp_golomb(e.z, e.order); };
        if (!tables_.any_raw()) {
            for (size_t left = escapes_.size(); left > 0;) escape(escapes_[--left]);
            return;
        }
        size_t left = escapes_.size();
        for_each_block([&](size_t begin, size_t count, const Symbol* symbols, const Index* index) {
            for (size_t i = 0; i < count; ++i) {
                if (left > 0 && escapes_[left - 1].position == begin + i) {
                    escape(escapes_[--left]);
                    continue;
                }
                const Table& table = tables_[index[i]];
                const uint32_t above = static_cast<uint32_t>(symbols[i]) - static_cast<uint32_t>(table.offset);
                side.put((above & ((1u << table.shift) - 1)) >> table.slot_shift, table.shift - table.slot_shift);
            }
        });
    }

    uint32_t hash() {
        uint32_t crc = 0;
        for_each_block([&](size_t, size_t count, const Symbol*, const Index* index) {
            crc = hash_index(std::span<const Index>(index, count), crc);
        });
        return crc;
    }

    // Puts the chunk there as stored if that is shorter.
    bool store(const ChunkHeader& coded, std::vector<uint8_t>& bytes) {
        ChunkHeader header = coded;
        header.profile = Profile::raw;
        header.flags &= kCheck | kIndexHash;
        header.num_words = 0;
        header.bits = 1;
        for_each_block([&](size_t, size_t count, const Symbol* symbols, const Index*) {
            header.bits = std::max(header.bits, stored_width(symbols, count));
        });
        header.num_side_bytes = header.bits * header.num_symbols;
        if (header_bytes(header) + header.body_bytes() >= header_bytes(coded) + coded.body_bytes()) return false;
        bytes.reserve(header_bytes(header) + header.body_bytes());
        append_header(bytes, header);
        for_each_block([&](size_t, size_t count, const Symbol* symbols, const Index*) {
            for (size_t k = 0; k < count; ++k)
                for (uint32_t i = 0; i < header.bits; ++i)
                    bytes.push_back(static_cast<uint8_t>(static_cast<uint32_t>(int32_t{symbols[k]}) >> (8 * i)));
        });
        return true;
    }

    const Tables& tables_;
    size_t first_;
    size_t count_;
    size_t block_;
    Reader<Symbol> symbols_;
    Reader<Index> index_;
    uint64_t cost_;
    std::vector<Escape> escapes_;
};

template <typename Symbol, typename Index>
Status encode_typed(const Integers& symbols, const Integers& index, const Tables& tables, const EncodeOptions& options,
                    const Allocate& allocate, std::string& what) {
    const size_t n = symbols.size();
    const uint64_t cost = expected_cost<Index>(index, 0, n, tables);
    const size_t each = chunk_symbols(n, cost, options.chunk_bytes);
    const size_t num_chunks = std::max<size_t>(1, (n + each - 1) / each);
    std::vector<std::vector<uint8_t>> chunks(num_chunks);
    Crew crew(options.threads);
    const size_t workers = std::min(num_chunks, crew.most());
    const WordBuffers buffers(workers, ChunkEncoder<Symbol, Index>::num_words(std::min(n, each)));
    if (workers > 1)  // in this thread, as WordBuffers says
        for (auto& chunk : chunks) chunk.reserve(cost / 2000 / num_chunks + 256);
    const Status status = for_each(crew, num_chunks, workers, what, [&](size_t i, size_t worker, std::string& why) {
        uint16_t small[WordBuffers::kSmall];
        ChunkEncoder<Symbol, Index> chunk(symbols, index, i * each, std::min(each, n - i * each), tables);
        return chunk.run(options, buffers.of(worker, small), chunks[i], why);
    });
    if (status != Status::ok) return status;
    std::vector<size_t> begins(num_chunks);
    size_t total = 0;
    for (size_t i = 0; i < num_chunks; ++i) {
        begins[i] = total;
        total += chunks[i].size();
    }
    uint8_t* const payload = allocate(total + (options.check ? 4 : 0));
    if (!payload) return Status::no_memory;
    crew.run(num_chunks, workers,
             [&](size_t i, size_t) { std::memcpy(payload + begins[i], chunks[i].data(), chunks[i].size()); });
    if (options.check) store32(payload + total, checksum(crew, workers, {payload, total}));
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

const char* const kWrongState = "a lane ends in a wrong state: other tables, other indexes, or damage";
const char* const kOtherType = "a symbol does not fit the dtype asked for";

Status decode_stored(const uint8_t* body, const ChunkHeader& header, size_t first, const MutableIntegers& symbols,
                     std::string& what) {
    int32_t block[1024];
    for (size_t begin = 0; begin < header.num_symbols;) {
        const size_t count = std::min<size_t>(std::size(block), header.num_symbols - begin);
        for (size_t i = 0; i < count; ++i, body += header.bits) {
            uint32_t value = 0;
            for (uint32_t k = 0; k < header.bits; ++k) value |= uint32_t{body[k]} << (8 * k);
            const uint32_t unused = 32 - 8 * header.bits;
            block[i] = static_cast<int32_t>(value << unused) >> unused;
        }
        if (!symbols.write(first + begin, count, block)) {
            what = kOtherType;
            return Status::corrupt;
        }
        begin += count;
    }
    return Status::ok;
}

size_t padded_words(const Place& place) { return kPadding + place.header.num_words + kPadding; }

// Chunk `place`, whose first symbol and index are the `first` of those given. `words` has room for padded_words(place).
template <typename Symbol, typename Index>
Status decode_chunk(std::span<const uint8_t> payload, const Place& place, const Integers& all_index, size_t first,
                    const Tables& tables, const MutableIntegers& all_symbols, uint16_t* words, std::string& what) {
    const auto corrupt = [&what](const char* why) {
        what = why;
        return Status::corrupt;
    };
    const ChunkHeader& header = place.header;
    const size_t count = header.num_symbols;
    Symbol* const direct = all_symbols.contiguous<Symbol>();
    const bool state_payload = header.profile == Profile::rans && header.flags & kStatePayload;
    // In one block where the side stream begins with what the last states carry.
    const size_t block = state_payload ? std::max<size_t>(count, 1)
                         : direct && all_index.contiguous<Index>() ? kDirectBlock
                                                                   : kBlock;
    Reader<Index> reader(all_index, block);
    // Indexes are checked a block at a time too: before a kernel sees them.
    if (header.flags & kIndexHash) {
        uint32_t crc = 0;
        for (size_t begin = 0; begin < count; begin += block) {
            const size_t n = std::min(block, count - begin);
            const Index* index = reader.load(first + begin, n);
            if (!index) {
                what = kNoTable;
                return Status::bad_argument;
            }
            crc = hash_index(std::span<const Index>(index, n), crc);
        }
        if (crc != header.index_hash)
            return corrupt("indexes differ: the model computed other indexes than the encoder's");
    }
    const uint8_t* body = payload.data() + place.body;

    DecodeJob<Symbol, Index> job{};
    job.lanes = std::max(header.lanes(), 1u);
    TableView view(tables);
    view.for_decoding(tables);
    job.view = &view;
    job.num_words = header.num_words;
    const size_t word_bytes = 2 * size_t{header.num_words};
    if (header.profile == Profile::rans)
        for (uint32_t lane = 0; lane < job.lanes; ++lane) {
            job.states[lane] = load32(body + word_bytes + 4 * lane);
            if (job.states[lane] < kLow) return corrupt("a lane's state is out of range");
        }
    // A copy: aligned, in this machine's byte order, and with room to read before the first word.
    std::memset(words, 0, 2 * kPadding);
    if constexpr (std::endian::native == std::endian::little) {
        if (word_bytes) std::memcpy(words + kPadding, body, word_bytes);
    } else {
        for (size_t i = 0; i < header.num_words; ++i)
            words[kPadding + i] = static_cast<uint16_t>(body[2 * i] | body[2 * i + 1] << 8);
    }
    std::memset(words + kPadding + header.num_words, 0, 2 * kPadding);
    job.words = words + kPadding;

    const std::span<const uint8_t> side_bytes(body + word_bytes + 4 * size_t{header.lanes()}, header.num_side_bytes);
    BitReader side(side_bytes);
    std::vector<uint8_t> with_states;
    std::unique_ptr<Symbol[]> buffer;
    if (!direct) buffer = std::make_unique_for_overwrite<Symbol[]>(std::min(block, count));
    const auto take_states = [&] {
        for (uint32_t lane = 0; lane < job.lanes; ++lane) {
            const uint32_t bits = job.states[lane] - kLow;
            if (bits > 0xFFFF) return false;
            with_states.push_back(static_cast<uint8_t>(bits));
            with_states.push_back(static_cast<uint8_t>(bits >> 8));
        }
        with_states.insert(with_states.end(), side_bytes.begin(), side_bytes.end());
        side = BitReader(with_states);
        return true;
    };
    if (state_payload && count == 0 && !take_states()) return corrupt(kWrongState);
    const auto decode_block = decoder<Symbol, Index>(kernels(current_isa()));
    for (size_t begin = 0; begin < count; begin += block) {
        const size_t n = std::min(block, count - begin);
        job.index = reader.load(first + begin, n);
        if (!job.index || !all_below(job.index, n, tables.size())) {
            what = kNoTable;
            return Status::bad_argument;
        }
        if (header.profile == Profile::raw) continue;
        job.symbols = direct ? direct + first + begin : buffer.get();
        job.n = static_cast<uint32_t>(n);
        job.num_words = decode_block(job);
        if (job.num_words == kOverrun)
            return corrupt("a chunk's words run out: other tables, other indexes, or damage");
        if (state_payload && !take_states()) return corrupt(kWrongState);
        if (!read_side(job, tables, side)) return corrupt("the side stream is damaged");
        job.candidates.clear();
        if (!direct) job.fits &= all_symbols.write(first + begin, n, buffer.get());
    }
    if (header.profile == Profile::raw) return decode_stored(body, header, first, all_symbols, what);

    if (job.num_words != 0) return corrupt("a chunk's words are left over: other tables, other indexes, or damage");
    // Lanes began at 2^16, plus 16 bits of the side stream each where the flag says so.
    for (uint32_t lane = 0; lane < job.lanes; ++lane)
        if (!state_payload && job.states[lane] != kLow) return corrupt(kWrongState);
    // Bits in the states are there whether needed or not.
    const bool states_only = state_payload && header.num_side_bytes == 0;
    if (!(states_only ? side.rest_is_zero() : side.finished())) return corrupt("the side stream is not used up");
    if (!job.fits) return corrupt(kOtherType);
    return Status::ok;
}

template <typename Symbol, typename Index>
Status decode_chunks(std::span<const uint8_t> payload, const Integers& index, const Tables& tables,
                     const DecodeOptions& options, const MutableIntegers& symbols, std::string& what) {
    Crew crew(options.threads);
    std::vector<Place> places;
    const bool whole = options.chunk == DecodeOptions::kAll;
    // By as many threads as chunks are going to want: to hire one for this alone costs more than it saves.
    const auto checksum_of = [&](std::span<const uint8_t> data) {
        return checksum(crew, whole ? std::min(places.size(), crew.most()) : 1, data);
    };
    Status status = find_chunks(payload, whole ? index.size() : kAnyNumber, options.check, places, what, checksum_of);
    if (status != Status::ok) return status;
    std::span<const Place> wanted = places;
    if (!whole) {
        if (options.chunk >= places.size()) {
            what = "the payload has " + std::to_string(places.size()) + " chunks";
            return Status::bad_argument;
        }
        wanted = wanted.subspan(options.chunk, 1);
        if (wanted[0].header.num_symbols != index.size()) {
            what = "the chunk holds " + std::to_string(wanted[0].header.num_symbols) + " symbols, not as many as indexes";
            return Status::corrupt;
        }
    }
    if (status = check_tables(wanted, tables.digest(), what); status != Status::ok) return status;
    for (const Place& place : wanted)
        if (place.header.profile == Profile::range) {
            what = "the payload was coded with Adaptive tables";
            return Status::corrupt;
        }
    size_t most_words = 0, all_words = 0;
    for (const Place& place : wanted) {
        most_words = std::max(most_words, padded_words(place));
        all_words += padded_words(place);
    }
    // No more memory than two copies of all words and their padding, however unequal the chunks.
    const size_t workers = std::min({wanted.size(), crew.most(), 2 * all_words / most_words});
    const WordBuffers buffers(workers, most_words);
    return for_each(crew, wanted.size(), workers, what, [&](size_t i, size_t worker, std::string& why) {
        uint16_t small[WordBuffers::kSmall];
        const size_t first = wanted[i].first - wanted[0].first;
        return decode_chunk<Symbol, Index>(payload, wanted[i], index, first, tables, symbols,
                                           buffers.of(worker, small), why);
    });
}

// An index that names no table is the caller's mistake whatever the payload: asked only where decoding fails.
template <typename Symbol, typename Index>
Status decode_typed(std::span<const uint8_t> payload, const Integers& index, const Tables& tables,
                    const DecodeOptions& options, const MutableIntegers& symbols, std::string& what) {
    const Status status = decode_chunks<Symbol, Index>(payload, index, tables, options, symbols, what);
    if (status == Status::ok || status == Status::bad_argument) return status;
    Reader<Index> reader(index, kBlock);
    for (size_t first = 0; first < index.size(); first += kBlock) {
        const size_t n = std::min(kBlock, index.size() - first);
        const Index* some = reader.load(first, n);
        if (!some || !all_below(some, n, tables.size())) {
            what = kNoTable;
            return Status::bad_argument;
        }
    }
    return status;
}

// What kernels read and write where the caller's type is another.
template <typename Call>
Status with_index(const Integers& index, Call call) {
    return index.type() == IntegerType::u8 ? call(uint8_t{}) : call(uint16_t{});
}

}  // namespace

Status encode(const Integers& symbols, const Integers& index, const Tables& tables, const EncodeOptions& options,
              const Allocate& allocate, std::string& what) {
    if (symbols.size() != index.size()) {
        what = "symbols and index differ in length";
        return Status::bad_argument;
    }
    if (options.chunk_bytes < 1) {
        what = "chunk_bytes must be positive";
        return Status::bad_argument;
    }
    const auto typed = [&](auto i) {
        using Index = decltype(i);
        switch (symbols.type()) {
            case IntegerType::i8: return encode_typed<int8_t, Index>(symbols, index, tables, options, allocate, what);
            case IntegerType::u8:
            case IntegerType::i16: return encode_typed<int16_t, Index>(symbols, index, tables, options, allocate, what);
            default: return encode_typed<int32_t, Index>(symbols, index, tables, options, allocate, what);
        }
    };
    return without_exceptions([&] { return with_index(index, typed); });
}

Status encode(const Integers& symbols, const Integers& index, const Tables& tables, const EncodeOptions& options,
              std::vector<uint8_t>& payload, std::string& what) {
    const auto append = [&payload](size_t num_bytes) {
        payload.resize(payload.size() + num_bytes);
        return payload.data() + payload.size() - num_bytes;
    };
    return encode(symbols, index, tables, options, append, what);
}

Status decode(std::span<const uint8_t> payload, const Integers& index, const Tables& tables,
              const DecodeOptions& options, const MutableIntegers& symbols, std::string& what) {
    if (symbols.size() != index.size()) {
        what = "symbols and index differ in length";
        return Status::bad_argument;
    }
    const auto typed = [&](auto i) {
        using Index = decltype(i);
        // Raw bits are added to what the slots gave, which may lie below the type of the sum.
        return symbols.type() == IntegerType::i32 || tables.any_raw()
                   ? decode_typed<int32_t, Index>(payload, index, tables, options, symbols, what)
                   : decode_typed<int16_t, Index>(payload, index, tables, options, symbols, what);
    };
    return without_exceptions([&] { return with_index(index, typed); });
}

bool pack(std::span<int16_t> symbols, const Integers& index) {
    Reader<uint8_t> reader(index, kBlock);
    int16_t lost = 0;
    for (size_t first = 0; first < symbols.size(); first += kBlock) {
        const size_t n = std::min(kBlock, symbols.size() - first);
        const uint8_t* const low = reader.load(first, n);
        if (!low) return false;
        int16_t* const pairs = symbols.data() + first;
        for (size_t i = 0; i < n; ++i) {
            lost |= static_cast<int16_t>(pairs[i] ^ static_cast<int8_t>(pairs[i]));
            pairs[i] = static_cast<int16_t>(static_cast<uint16_t>(pairs[i]) << 8 | low[i]);
        }
    }
    return lost == 0;
}

Status list_chunks(std::span<const uint8_t> payload, bool check, std::vector<ChunkRange>& chunks, std::string& what) {
    std::vector<Place> places;
    const Status status = find_chunks(payload, kAnyNumber, check, places, what, plain_checksum);
    if (status != Status::ok) return status;
    for (const Place& place : places)
        chunks.push_back({place.begin, place.body - place.begin + static_cast<size_t>(place.header.body_bytes()),
                          place.first, place.header.num_symbols});
    return Status::ok;
}

}  // namespace narrows
