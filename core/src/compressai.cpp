#include "narrows/compressai.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace narrows::compressai {

namespace {

constexpr uint32_t kBits = 16;
constexpr uint64_t kLow = uint64_t{1} << 31;         // a state lies in [2^31, 2^63)
constexpr uint32_t kNibbleBits = 4;
constexpr uint32_t kMaxNibbles = 9;                  // of an escape's distance: below 2^34 for any two int32
constexpr uint64_t kOriginalMax = uint64_t{1} << 31; // distances from here on overflow in CompressAI's decoder
constexpr size_t kBlock = 1024;
constexpr size_t kWordsOfBlock = 2 * kBlock + 2;     // 16 + 4 + 36 bits a symbol at most, and what the state holds
constexpr unsigned kSideBySide = 4;

uint64_t high_half(uint64_t a, uint64_t b) noexcept {
    return static_cast<uint64_t>(static_cast<unsigned __int128>(a) * b >> 64);
}

uint32_t load32(const uint8_t* p) noexcept {
    return uint32_t{p[0]} | uint32_t{p[1]} << 8 | uint32_t{p[2]} << 16 | uint32_t{p[3]} << 24;
}

void store32(uint8_t* p, uint32_t value) noexcept {
    for (int i = 0; i < 4; ++i) p[i] = static_cast<uint8_t>(value >> (8 * i));
}

// Words in the order of emission run towards the front.
class Words {
   public:
    // Makes room for `count` more.
    void reserve(size_t count) {
        if (at_ >= count) return;
        const size_t used = size_ - at_;
        const size_t size = std::max<size_t>(used + count, 2 * size_);
        auto grown = std::make_unique_for_overwrite<uint32_t[]>(size);
        std::copy_n(words_.get() + at_, used, grown.get() + size - used);
        words_ = std::move(grown);
        at_ = size - used;
        size_ = size;
    }
    uint32_t* front() noexcept { return words_.get() + at_; }
    void set_front(const uint32_t* front) noexcept { at_ = static_cast<size_t>(front - words_.get()); }
    std::span<const uint32_t> all() const noexcept { return {words_.get() + at_, size_ - at_}; }

   private:
    std::unique_ptr<uint32_t[]> words_;
    size_t at_ = 0;
    size_t size_ = 0;
};

struct EncoderState {
    uint64_t x = kLow;
    Words words;
    size_t num_beyond = 0;

    std::vector<uint8_t> finish() const {
        const std::span<const uint32_t> all = words.all();
        std::vector<uint8_t> bytes(4 * all.size() + 8);
        store32(bytes.data(), static_cast<uint32_t>(x));
        store32(bytes.data() + 4, static_cast<uint32_t>(x >> 32));
        for (size_t i = 0; i < all.size(); ++i) store32(bytes.data() + 8 + 4 * i, all[i]);
        return bytes;
    }
};

[[gnu::always_inline]] inline void push(uint64_t& x, uint32_t*& words, const Tables::Token& token) noexcept {
    if (x >= uint64_t{token.frequency} << 47) {
        *--words = static_cast<uint32_t>(x);
        x >>= 32;
    }
    const uint64_t q = high_half(x, token.reciprocal) >> token.shift;
    x += token.bias + q * ((1u << kBits) - token.frequency);
}

void push_nibble(uint64_t& x, uint32_t*& words, uint64_t value) noexcept {
    if (x >= uint64_t{1} << 59) {
        *--words = static_cast<uint32_t>(x);
        x >>= 32;
    }
    x = x << kNibbleBits | value;
}

// A symbol outside its table, by its distance from it: last step first.
void push_distance(uint64_t& x, uint32_t*& words, uint64_t distance) noexcept {
    const unsigned count = (static_cast<unsigned>(std::bit_width(distance)) + 3) / 4;
    for (unsigned i = count; i-- > 0;) push_nibble(x, words, distance >> (4 * i) & 15);
    push_nibble(x, words, count);  // below 15, so it needs no second nibble
}

// The caller has checked the indexes, and that no symbol owns no slots.
template <typename Index>
void encode_reversed(EncoderState& state, std::span<const int32_t> symbols, std::span<const Index> index,
                     const Tables& tables) {
    const Tables::Row* rows = tables.rows().data();
    const Tables::Token* tokens = tables.tokens().data();
    uint64_t x = state.x;
    for (size_t end = symbols.size(); end > 0;) {
        const size_t begin = end > kBlock ? end - kBlock : 0;
        state.words.reserve(kWordsOfBlock);
        uint32_t* words = state.words.front();
        for (size_t i = end; i-- > begin;) {
            const Tables::Row& row = rows[index[i]];
            const int64_t value = int64_t{symbols[i]} - row.offset;
            if (static_cast<uint64_t>(value) >= row.escape) [[unlikely]] {
                const uint64_t distance = value < 0 ? 2 * static_cast<uint64_t>(-value) - 1
                                                    : 2 * (static_cast<uint64_t>(value) - row.escape);
                state.num_beyond += distance >= kOriginalMax;
                push_distance(x, words, distance);
                push(x, words, tokens[row.first + row.escape]);
                continue;
            }
            push(x, words, tokens[row.first + static_cast<uint32_t>(value)]);
        }
        state.words.set_front(words);
        end = begin;
    }
    state.x = x;
}

template <typename Index>
Status check_index(std::span<const Index> index, const Tables& tables, std::string& what) {
    uint32_t most = 0;
    for (const Index i : index) most = std::max(most, static_cast<uint32_t>(i));
    if (index.empty() || most < tables.size()) return Status::ok;
    what = "an index names no table";
    return Status::bad_argument;
}

template <typename Index>
Status check_symbols(std::span<const int32_t> symbols, std::span<const Index> index, const Tables& tables,
                     std::string& what) {
    if (symbols.size() != index.size()) {
        what = "symbols and index differ in length";
        return Status::bad_argument;
    }
    const Status status = check_index(index, tables, what);
    if (status != Status::ok || !tables.any_empty()) return status;
    for (size_t i = 0; i < symbols.size(); ++i) {
        const Tables::Row& row = tables.rows()[index[i]];
        const int64_t value = int64_t{symbols[i]} - row.offset;
        const auto token = static_cast<uint32_t>(std::min<uint64_t>(static_cast<uint64_t>(value), row.escape));
        if (tables.tokens()[row.first + token].frequency == 0) {
            what = "a symbol has probability zero in its table";
            return Status::bad_argument;
        }
    }
    return Status::ok;
}

// A string being read. `words` moves; the state follows.
struct Reader {
    uint64_t x;
    const uint8_t* words;
    const uint8_t* end;
};

Status open_reader(std::span<const uint8_t> string, Reader& reader, std::string& what) {
    if (string.size() < 8) {
        what = "a string of CompressAI's has at least 8 bytes";
        return Status::truncated;
    }
    reader.x = uint64_t{load32(string.data())} | uint64_t{load32(string.data() + 4)} << 32;
    reader.words = string.data() + 8;
    reader.end = string.data() + string.size();
    if (string.size() % 4 != 0) {
        what = "a string of CompressAI's is a multiple of 4 bytes long";
        return Status::truncated;
    }
    if (reader.x < kLow || reader.x >> 63) {
        what = "the string begins with a state that no encoder leaves";
        return Status::corrupt;
    }
    return Status::ok;
}

Status close_reader(const Reader& reader, std::string& what) {
    if (reader.words == reader.end && reader.x == kLow) return Status::ok;
    what = "the string is damaged, or was coded with other tables, indexes or a different number of symbols";
    return Status::corrupt;
}

bool pop_nibble(Reader& r, uint32_t& nibble) noexcept {
    nibble = static_cast<uint32_t>(r.x & 15);
    r.x >>= kNibbleBits;
    if (r.x < kLow) {
        if (r.words == r.end) return false;
        r.x = r.x << 32 | load32(r.words);
        r.words += 4;
    }
    return true;
}

// The symbol behind an escape. At most kMaxNibbles + 1 steps whatever the string says.
Status pop_escaped(Reader& r, const Tables::Row& row, int32_t& symbol) noexcept {
    uint32_t count = 0;
    if (!pop_nibble(r, count)) return Status::truncated;
    if (count > kMaxNibbles) return Status::corrupt;
    uint64_t distance = 0;
    uint32_t nibble = 1;
    for (uint32_t i = 0; i < count; ++i) {
        if (!pop_nibble(r, nibble)) return Status::truncated;
        distance |= uint64_t{nibble} << (4 * i);
    }
    if (nibble == 0) return Status::corrupt;  // an encoder sends no leading zeros
    const auto half = static_cast<int64_t>(distance >> 1);
    const int64_t value = row.offset + (distance & 1 ? -half - 1 : half + int64_t{row.escape});
    symbol = static_cast<int32_t>(value);
    return symbol == value ? Status::ok : Status::corrupt;
}

// The token that owns `slot`, where a bucket holds more than two: a search of the row.
[[gnu::noinline]] uint32_t find_token(const Tables& tables, size_t table, uint32_t slot) noexcept {
    const Tables::Row& row = tables.rows()[table];
    const uint32_t* cdf = tables.cdf().data() + row.first + table;
    return static_cast<uint32_t>(std::upper_bound(cdf, cdf + row.escape + 1, slot) - cdf) - 1;
}

// Decodes symbol `i` of one string. Truncation and damage go to `failed`, which callers look at after a block.
template <typename Index>
[[gnu::always_inline]] inline Status pop(Reader& r, const Tables& tables, const Tables::Row* rows,
                                         const uint64_t* buckets, Index table, int32_t& symbol) noexcept {
    const Tables::Row& row = rows[table];
    const auto slot = static_cast<uint32_t>(r.x & 0xffff);
    const uint64_t high = r.x >> kBits;
    const uint64_t bucket = buckets[row.first_bucket + (slot >> row.bucket_shift)];
    const auto frequency = static_cast<uint32_t>(bucket >> 16) & 0xffff;
    const auto next_frequency = static_cast<uint32_t>(bucket >> 32) & 0xffff;
    const uint32_t within = slot - static_cast<uint32_t>(bucket & 0xffff);
    const uint32_t within_next = within - frequency;
    // Both products start before it is known which one counts: they are most of what the next step waits for.
    const uint64_t x = frequency * high + within;
    const uint64_t x_next = next_frequency * high + within_next;
    const bool is_next = within >= frequency;
    r.x = is_next ? x_next : x;
    uint32_t token = static_cast<uint32_t>(bucket >> 48) + is_next;
    if (is_next & (within_next >= next_frequency)) [[unlikely]] {
        token = find_token(tables, table, slot);
        const uint32_t* cdf = tables.cdf().data() + row.first + table + token;
        r.x = (cdf[1] - cdf[0]) * high + slot - cdf[0];
    }
    // A state of 2^31 or more leaves at least 2^15, so one word always restores it.
    if (r.x < kLow) {
        if (r.words == r.end) [[unlikely]] return Status::truncated;
        r.x = r.x << 32 | load32(r.words);
        r.words += 4;
    }
    if (token == row.escape) [[unlikely]] return pop_escaped(r, row, symbol);
    symbol = static_cast<int32_t>(static_cast<uint32_t>(row.offset) + token);
    return Status::ok;
}

Status explain(Status status, std::string& what) {
    if (status == Status::truncated) what = "the string ends early";
    if (status == Status::corrupt) what = "the string holds an escape that no symbol has";
    return status;
}

// Decodes `n` symbols of each of `Count` strings, a symbol of each in turn: the steps of one string wait for each
// other, those of several do not. The caller has checked the indexes.
template <unsigned Count, typename Index>
Status decode_side_by_side(Reader* readers, const Index* const* index, int32_t* const* symbols, size_t n,
                           const Tables& tables) noexcept {
    const Tables::Row* rows = tables.rows().data();
    const uint64_t* buckets = tables.buckets().data();
    Reader local[Count];
    for (unsigned k = 0; k < Count; ++k) local[k] = readers[k];
    for (size_t i = 0; i < n; ++i) {
#pragma GCC unroll 4
        for (unsigned k = 0; k < Count; ++k) {
            const Status status = pop(local[k], tables, rows, buckets, index[k][i], symbols[k][i]);
            if (status != Status::ok) [[unlikely]] return status;
        }
    }
    for (unsigned k = 0; k < Count; ++k) readers[k] = local[k];
    return Status::ok;
}

// All strings, in groups side by side; in a group each runs on alone from where the shortest ends.
template <typename Index>
Status decode_all(std::span<const std::span<const uint8_t>> strings, std::span<const Index> index,
                  std::span<const size_t> counts, const Tables& tables, std::span<int32_t> symbols,
                  std::string& what) {
    size_t first = 0;
    for (size_t s = 0; s < strings.size();) {
        const size_t in_group = strings.size() - s >= kSideBySide ? kSideBySide : strings.size() - s >= 2 ? 2 : 1;
        Reader readers[kSideBySide];
        const Index* which[kSideBySide];
        int32_t* out[kSideBySide];
        size_t common = SIZE_MAX;
        for (size_t k = 0; k < in_group; ++k) {
            const Status status = open_reader(strings[s + k], readers[k], what);
            if (status != Status::ok) return status;
            which[k] = index.data() + first;
            out[k] = symbols.data() + first;
            first += counts[s + k];
            common = std::min(common, counts[s + k]);
        }
        Status status = in_group == 4   ? decode_side_by_side<4>(readers, which, out, common, tables)
                        : in_group == 2 ? decode_side_by_side<2>(readers, which, out, common, tables)
                                        : decode_side_by_side<1>(readers, which, out, common, tables);
        for (size_t k = 0; k < in_group && status == Status::ok; ++k) {
            const Index* rest_which = which[k] + common;
            int32_t* rest_out = out[k] + common;
            status = decode_side_by_side<1>(&readers[k], &rest_which, &rest_out, counts[s + k] - common, tables);
        }
        if (status != Status::ok) return explain(status, what);
        for (size_t k = 0; k < in_group; ++k)
            if ((status = close_reader(readers[k], what)) != Status::ok) return status;
        s += in_group;
    }
    return Status::ok;
}

// The number of symbols that `counts` speak of; SIZE_MAX if it overflows.
size_t total_of(std::span<const size_t> counts) noexcept {
    size_t total = 0;
    for (const size_t count : counts) {
        if (count > SIZE_MAX / 8 - total) return SIZE_MAX;
        total += count;
    }
    return total;
}

}  // namespace

Status Tables::make(std::span<const int32_t> cdf, size_t stride, std::span<const int32_t> lengths,
                    std::span<const int32_t> offsets, std::shared_ptr<const Tables>& tables, const char*& what) {
    const auto refuse = [&](const char* why) {
        what = why;
        return Status::bad_argument;
    };
    const size_t num_tables = lengths.size();
    if (num_tables == 0 || num_tables > kMaxTables || offsets.size() != num_tables || stride == 0 ||
        cdf.size() / stride != num_tables || cdf.size() % stride != 0)
        return refuse("cdfs, lengths and offsets differ in number of tables, or there are none");
    size_t num_tokens = 0;
    for (const int32_t length : lengths) {
        if (length < 2 || static_cast<size_t>(length) > stride || length > (1 << kBits))
            return refuse("a cdf's length is not 2 to its row's, at most 65,536");
        num_tokens += static_cast<size_t>(length) - 1;
    }
    if (num_tokens > kMaxTokens) return refuse("the tables hold too many tokens");

    auto made = std::make_shared<Tables>();
    made->rows_.reserve(num_tables);
    made->tokens_.reserve(num_tokens);
    made->cdf_.reserve(num_tokens + num_tables);
    for (size_t t = 0; t < num_tables; ++t) {
        const auto row = cdf.subspan(t * stride, static_cast<size_t>(lengths[t]));
        if (row.front() != 0 || row.back() != 1 << kBits) return refuse("a cdf does not run from 0 to 65,536");
        made->rows_.push_back({offsets[t], static_cast<uint32_t>(row.size() - 2),
                               static_cast<uint32_t>(made->tokens_.size()), 0, 0});
        for (size_t i = 0; i + 1 < row.size(); ++i) {
            if (row[i + 1] < row[i]) return refuse("a cdf falls");
            const auto start = static_cast<uint32_t>(row[i]);
            const auto frequency = static_cast<uint32_t>(row[i + 1] - row[i]);
            if (frequency == 1u << kBits) return refuse("a token owns every slot, which CompressAI cannot encode");
            Token token{0, 0, static_cast<uint16_t>(frequency), 0};
            if (frequency == 1) {
                // q is then x - 1, which the bias makes good.
                token.reciprocal = ~uint64_t{0};
                token.bias = start + (1u << kBits) - 1;
            } else if (frequency > 1) {
                // Exact for x < 2^63 (Granlund and Montgomery 1994).
                const auto log2 = static_cast<unsigned>(std::bit_width(frequency - 1));
                token.reciprocal = static_cast<uint64_t>(
                    ((static_cast<unsigned __int128>(1) << (log2 + 63)) + frequency - 1) / frequency);
                token.bias = start;
                token.shift = static_cast<uint8_t>(log2 - 1);
            } else {
                made->any_empty_ = true;
            }
            made->tokens_.push_back(token);
            made->cdf_.push_back(start);
        }
        made->cdf_.push_back(1u << kBits);
    }
    made->make_buckets();
    tables = std::move(made);
    return Status::ok;
}

// Each table gets the fewest buckets that leave one slot in 256 or less to a search, as far as a budget goes: a
// large lookup costs more in cache misses than a rare search does.
void Tables::make_buckets() {
    constexpr uint32_t kMaxLog2 = 10;
    constexpr uint32_t kMaxSearched = (1u << kBits) / 256;
    constexpr size_t kBudget = size_t{1} << 16;
    const size_t share = std::max<size_t>(kBudget / rows_.size(), 1);
    const uint32_t most = std::min<uint32_t>(kMaxLog2, static_cast<uint32_t>(std::bit_width(share)) - 1);
    for (size_t t = 0; t < rows_.size(); ++t) {
        Row& row = rows_[t];
        const uint32_t* cdf = cdf_.data() + row.first + t;
        uint32_t log2 = std::min<uint32_t>(most, 2);
        for (; log2 < most; ++log2) {
            // Slots behind the second boundary of their bucket need a search.
            const uint32_t width = (1u << kBits) >> log2;
            uint32_t searched = 0;
            for (uint32_t i = 2; i <= row.escape; ++i) {
                const uint32_t bucket = cdf[i] / width;
                if (cdf[i - 1] / width == bucket && cdf[i - 1] % width != 0)
                    searched += std::min(cdf[i + 1], (bucket + 1) * width) - cdf[i];
            }
            if (searched <= kMaxSearched) break;
        }
        row.bucket_shift = kBits - log2;
        row.first_bucket = static_cast<uint32_t>(buckets_.size());
        uint32_t token = 0;
        for (uint32_t bucket = 0; bucket < 1u << log2; ++bucket) {
            while (cdf[token + 1] <= bucket << row.bucket_shift) ++token;
            const uint32_t next = token < row.escape ? cdf[token + 2] - cdf[token + 1] : 0;
            buckets_.push_back(cdf[token] | (uint64_t{cdf[token + 1]} - cdf[token]) << 16 | uint64_t{next} << 32 |
                               uint64_t{token} << 48);
        }
    }
}

Status Encoder::put(std::span<const int32_t> symbols, const Indexes& index, std::shared_ptr<const Tables> tables,
                    std::string& what) {
    return std::visit(
        [&](auto which) {
            const Status status = check_symbols(symbols, which, *tables, what);
            if (status == Status::ok)
                calls_.push_back({{symbols.begin(), symbols.end()}, {which.begin(), which.end()}, std::move(tables)});
            return status;
        },
        index);
}

std::vector<uint8_t> Encoder::finish(size_t& num_beyond) {
    EncoderState state;
    for (; !calls_.empty(); calls_.pop_back()) {
        const Call& call = calls_.back();
        encode_reversed<int32_t>(state, call.symbols, call.index, *call.tables);
    }
    num_beyond = state.num_beyond;
    return state.finish();
}

Status Decoder::open(std::span<const uint8_t> string, std::string& what) {
    Reader reader{};
    const Status status = open_reader(string, reader, what);
    if (status != Status::ok) return status;
    bytes_.assign(string.begin(), string.end());
    state_ = reader.x;
    at_ = 8;
    return Status::ok;
}

Status Decoder::get(const Indexes& index, const Tables& tables, std::span<int32_t> symbols, std::string& what) {
    return std::visit(
        [&](auto which) {
            using Index = typename decltype(which)::value_type;
            if (symbols.size() != which.size()) {
                what = "symbols and index differ in length";
                return Status::bad_argument;
            }
            Status status = check_index(which, tables, what);
            if (status != Status::ok) return status;
            if (state_ == 0) {
                what = "the decoder has no string, or met damage in it";
                return Status::corrupt;
            }
            Reader reader{state_, bytes_.data() + at_, bytes_.data() + bytes_.size()};
            const Index* first = which.data();
            int32_t* out = symbols.data();
            status = decode_side_by_side<1>(&reader, &first, &out, symbols.size(), tables);
            state_ = status == Status::ok ? reader.x : 0;
            at_ = static_cast<size_t>(reader.words - bytes_.data());
            return explain(status, what);
        },
        index);
}

Status Decoder::finish(std::string& what) {
    const Reader reader{state_, bytes_.data() + at_, bytes_.data() + bytes_.size()};
    state_ = 0;
    return close_reader(reader, what);
}

Status encode(std::span<const int32_t> symbols, const Indexes& index, std::span<const size_t> counts,
              const Tables& tables, std::vector<std::vector<uint8_t>>& strings, size_t& num_beyond,
              std::string& what) {
    return std::visit(
        [&](auto which) {
            const Status status = check_symbols(symbols, which, tables, what);
            if (status != Status::ok) return status;
            if (total_of(counts) != symbols.size()) {
                what = "the counts of the strings do not add up to the symbols";
                return Status::bad_argument;
            }
            num_beyond = 0;
            strings.reserve(counts.size());
            size_t first = 0;
            for (const size_t count : counts) {
                EncoderState state;
                encode_reversed(state, symbols.subspan(first, count), which.subspan(first, count), tables);
                strings.push_back(state.finish());
                num_beyond += state.num_beyond;
                first += count;
            }
            return Status::ok;
        },
        index);
}

Status decode(std::span<const std::span<const uint8_t>> strings, const Indexes& index,
              std::span<const size_t> counts, const Tables& tables, std::span<int32_t> symbols, std::string& what) {
    return std::visit(
        [&](auto which) {
            const Status status = check_index(which, tables, what);
            if (status != Status::ok) return status;
            if (strings.size() != counts.size() || total_of(counts) != which.size() ||
                symbols.size() != which.size()) {
                what = "the counts of the strings do not add up to the indexes";
                return Status::bad_argument;
            }
            return decode_all(strings, which, counts, tables, symbols, what);
        },
        index);
}

Status pmf_to_quantized_cdf(std::span<const float> pmf, unsigned precision, std::span<uint32_t> cdf,
                            std::string& what) {
    const auto refuse = [&](const char* why) {
        what = why;
        return Status::bad_argument;
    };
    if (precision < 1 || precision > kBits || cdf.size() != pmf.size() + 1)
        return refuse("precision is 1 to 16, and a cdf has one entry more than a pmf");
    const uint32_t slots = 1u << precision;
    if (pmf.empty() || pmf.size() > slots) return refuse("a pmf has 1 to 2^precision entries");
    uint64_t total = 0;
    for (const float p : pmf) {
        if (!(p >= 0) || !std::isfinite(p)) return refuse("a pmf holds a negative, infinite or undefined entry");
        const float scaled = std::round(p * static_cast<float>(slots));
        if (scaled >= 0x1p31f) return refuse("a pmf's entries add up to too much");
        total += static_cast<uint64_t>(scaled);
    }
    if (total == 0) return refuse("a pmf needs an entry that is not zero");
    if (total >> 31) return refuse("a pmf's entries add up to too much");

    std::vector<uint32_t> frequency(pmf.size());
    uint32_t left = slots;
    for (size_t i = 0; i < pmf.size(); ++i) {
        const auto scaled = static_cast<uint64_t>(std::round(pmf[i] * static_cast<float>(slots)));
        frequency[i] = i + 1 < pmf.size() ? static_cast<uint32_t>(slots * scaled / total) : left;
        left -= frequency[i];
    }
    // Tokens without a slot take one, in order, each from the smallest frequency above one, the first of equals.
    // Whoever gave is then the smallest, so it gives until it has one left.
    std::vector<uint32_t> givers;
    for (uint32_t i = 0; i < frequency.size(); ++i)
        if (frequency[i] > 1) givers.push_back(i);
    std::stable_sort(givers.begin(), givers.end(),
                     [&](uint32_t a, uint32_t b) { return frequency[a] < frequency[b]; });
    size_t giver = 0;
    for (uint32_t& f : frequency) {
        if (f != 0) continue;
        while (giver < givers.size() && frequency[givers[giver]] == 1) ++giver;
        if (giver == givers.size()) return refuse("a pmf has more entries than there are slots");
        --frequency[givers[giver]];
        f = 1;
    }
    cdf[0] = 0;
    for (size_t i = 0; i < frequency.size(); ++i) cdf[i + 1] = cdf[i] + frequency[i];
    return Status::ok;
}

}  // namespace narrows::compressai
