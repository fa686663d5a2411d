#include "narrows/pointwise.hpp"

#include <algorithm>
#include <bit>
#include <limits>

#include "narrows/range.hpp"
#include "range_symbols.hpp"

namespace narrows {
namespace {

constexpr uint32_t kBits = 16;
constexpr uint64_t kSlots = 1u << kBits;
constexpr uint32_t kTokenBits = 8;  // a mixture has at most 2^8 tokens and the escape

Status refuse(std::string& what, const char* why) {
    what = why;
    return Status::bad_argument;
}

Status check_end(const RangeDecoder& decoder, std::string& what) {
    if (decoder.finished()) return Status::ok;
    const bool early = decoder.padded() > 4;
    what = early ? "the stream ends early" : "bytes are left over";
    return early ? Status::truncated : Status::corrupt;
}

// ---- rows: slot(t) = t + floor((weights below t) (2^16 - size) / (all weights)), so each symbol owns a slot or more

Status check_rows(size_t num_symbols, std::span<const uint32_t> weights, size_t size, std::string& what) {
    if (size < 1 || size > kSlots / 2) return refuse(what, "a row has 1 to 32,768 weights");
    if (num_symbols > std::numeric_limits<size_t>::max() / size || weights.size() != num_symbols * size)
        return refuse(what, "there must be a row of weights for each symbol");
    return Status::ok;
}

uint64_t sum_of(std::span<const uint32_t> row) noexcept {
    uint64_t sum = 0;
    for (uint32_t w : row) sum += w;
    return sum;
}

// ---- mixtures

// How far from its mean a component is worth slots, in scales: beyond, 2^-17 or less of it is left.
constexpr int64_t reach(Family family) { return family == Family::gaussian ? 5 : 12; }

class Mixture {
   public:
    Mixture(const DistributionTables& tables, const Mixtures& all) noexcept : tables_(tables), all_(all) {}

    // Takes up mixture i; false if its weights or a scale are out of range.
    bool take(size_t i) noexcept {
        first_ = i * all_.num_components;
        total_ = 0;
        int64_t low = std::numeric_limits<int64_t>::max(), high = std::numeric_limits<int64_t>::min();
        for (size_t c = first_; c < first_ + all_.num_components; ++c) {
            const int64_t scale = all_.scales[c];
            if (scale < 1 || scale >= int64_t{1} << 30) return false;
            total_ += all_.weights[c];
            if (all_.weights[c] == 0) continue;
            const int64_t far = reach(all_.family) * scale;
            low = std::min(low, (all_.means[c] - far) >> all_.fraction_bits);
            high = std::max(high, -((-int64_t{all_.means[c]} - far) >> all_.fraction_bits));
        }
        if (total_ < 1 || total_ > 1u << 15) return false;
        constexpr int64_t kLeast = std::numeric_limits<int32_t>::min(), kMost = std::numeric_limits<int32_t>::max();
        low = std::clamp(low, kLeast, kMost);
        const uint64_t last = static_cast<uint64_t>(std::clamp(high, low, kMost) - low);
        const uint32_t width = static_cast<uint32_t>(std::bit_width(last));
        const uint32_t shift = width > kTokenBits ? width - kTokenBits : 0;
        const uint32_t num_tokens = static_cast<uint32_t>(last >> shift) + 1;
        low = std::min(low, kMost + 1 - (int64_t{num_tokens} << shift));
        table_ = {static_cast<int32_t>(low), num_tokens + 1, 0, static_cast<uint8_t>(shift), 0, true};
        below_ = mass_below(0);
        tail_ = (total_ << 32) - (mass_below(num_tokens) - below_);
        return true;
    }
    const Table& table() const noexcept { return table_; }
    // The first slot of a token, 0 the escape; of the one behind the last, 2^16.
    uint32_t slot(uint32_t token) const noexcept {
        if (token == 0) return 0;
        const uint64_t mass = tail_ + (mass_below(token - 1) - below_);
        // mass <= 2^47, and floors nest: first by 2^32, then by the sum of weights.
        return token + static_cast<uint32_t>(((mass * (kSlots - table_.num_tokens)) >> 32) / total_);
    }

   private:
    // Weights times 2^32 P(X < lower edge of value token t), t from 0.
    uint64_t mass_below(uint32_t t) const noexcept {
        const int64_t edge = 2 * (table_.offset + (int64_t{t} << table_.shift)) - 1;
        uint64_t mass = 0;
        for (size_t c = first_; c < first_ + all_.num_components; ++c) {
            if (all_.weights[c] == 0) continue;
            const int64_t distance = edge * (int64_t{1} << all_.fraction_bits) - 2 * int64_t{all_.means[c]};
            mass += all_.weights[c] * cumulative(tables_, all_.family, distance, 2 * static_cast<uint32_t>(all_.scales[c]));
        }
        return mass;
    }
    const DistributionTables& tables_;
    const Mixtures& all_;
    size_t first_ = 0;
    uint64_t total_ = 0, below_ = 0, tail_ = 0;
    Table table_{};
};

Status check_mixtures(const DistributionTables& tables, const Mixtures& m, size_t num_symbols, std::string& what) {
    if (!tables.valid()) return refuse(what, "the distribution tables are of another shape or rise");
    if (m.num_components < 1 || m.num_components > 16) return refuse(what, "a mixture has 1 to 16 components");
    if (m.fraction_bits > 20) return refuse(what, "fraction_bits is 0 to 20");
    if (num_symbols > std::numeric_limits<size_t>::max() / 16) return refuse(what, "too many symbols");
    const size_t n = num_symbols * m.num_components;
    if (m.weights.size() != n || m.means.size() != n || m.scales.size() != n)
        return refuse(what, "there must be weights, means and scales for each symbol");
    return Status::ok;
}
constexpr const char* kRange = "the weights of a mixture sum to 1 to 2^15, and a scale is 1 to 2^30 - 1";

}  // namespace

Status encode_rows(std::span<const int32_t> symbols, std::span<const uint32_t> weights, size_t size,
                   std::vector<uint8_t>& stream, std::string& what) {
    if (Status status = check_rows(symbols.size(), weights, size, what); status != Status::ok) return status;
    RangeEncoder encoder;
    for (size_t i = 0; i < symbols.size(); ++i) {
        const auto row = weights.subspan(i * size, size);
        const uint64_t total = sum_of(row);
        if (total == 0) return refuse(what, "a row of weights is all zeros");
        if (symbols[i] < 0 || static_cast<size_t>(symbols[i]) >= size) return refuse(what, "a symbol has no weight in its row");
        const size_t s = static_cast<size_t>(symbols[i]);
        const uint64_t below = sum_of(row.first(s)), up_to = below + row[s];
        // Sums are below 2^47, so products fit.
        const uint64_t start = below * (kSlots - size) / total + s, end = up_to * (kSlots - size) / total + s + 1;
        encoder.encode(static_cast<uint32_t>(start), static_cast<uint32_t>(end - start), kBits);
    }
    stream = encoder.finish();
    return Status::ok;
}

Status decode_rows(std::span<int32_t> symbols, std::span<const uint32_t> weights, size_t size,
                   std::span<const uint8_t> stream, std::string& what) {
    if (Status status = check_rows(symbols.size(), weights, size, what); status != Status::ok) return status;
    RangeDecoder decoder(stream);
    for (size_t i = 0; i < symbols.size(); ++i) {
        const auto row = weights.subspan(i * size, size);
        const uint64_t total = sum_of(row);
        if (total == 0) return refuse(what, "a row of weights is all zeros");
        const uint64_t target = decoder.target(kBits);
        // The next symbol begins beyond the target as soon as (weights up to s)(2^16 - size) >= (target - s) total.
        uint64_t below = 0;
        size_t s = 0;
        while (target > s && (below + row[s]) * (kSlots - size) < (target - s) * total) below += row[s++];
        const uint64_t start = below * (kSlots - size) / total + s, end = (below + row[s]) * (kSlots - size) / total + s + 1;
        decoder.take(static_cast<uint32_t>(start), static_cast<uint32_t>(end - start), kBits);
        symbols[i] = static_cast<int32_t>(s);
    }
    return check_end(decoder, what);
}

Status encode_mixtures(const DistributionTables& tables, const Mixtures& mixtures, std::span<const int32_t> symbols,
                       std::vector<uint8_t>& stream, std::string& what) {
    if (Status status = check_mixtures(tables, mixtures, symbols.size(), what); status != Status::ok) return status;
    RangeEncoder encoder;
    Mixture mixture(tables, mixtures);
    for (size_t i = 0; i < symbols.size(); ++i) {
        if (!mixture.take(i)) return refuse(what, kRange);
        const Table& table = mixture.table();
        const uint32_t token = token_of(symbols[i], table);
        const uint32_t start = mixture.slot(token);
        encoder.encode(start, mixture.slot(token + 1) - start, kBits);
        put_rest(encoder, table, token, symbols[i]);
    }
    stream = encoder.finish();
    return Status::ok;
}

Status decode_mixtures(const DistributionTables& tables, const Mixtures& mixtures, std::span<int32_t> symbols,
                       std::span<const uint8_t> stream, std::string& what) {
    if (Status status = check_mixtures(tables, mixtures, symbols.size(), what); status != Status::ok) return status;
    RangeDecoder decoder(stream);
    Mixture mixture(tables, mixtures);
    for (size_t i = 0; i < symbols.size(); ++i) {
        if (!mixture.take(i)) return refuse(what, kRange);
        const Table& table = mixture.table();
        const uint32_t target = decoder.target(kBits);
        // The last token that does not begin beyond the target.
        uint32_t token = 0, beyond = table.num_tokens, start = 0, end = kSlots;
        while (beyond - token > 1) {
            const uint32_t middle = (token + beyond) / 2, slot = mixture.slot(middle);
            if (slot <= target) {
                token = middle;
                start = slot;
            } else {
                beyond = middle;
                end = slot;
            }
        }
        decoder.take(start, end - start, kBits);
        if (!get_rest(decoder, table, token, symbols[i])) {
            what = "an escape is damaged";
            return Status::corrupt;
        }
        if (decoder.padded() > 4) break;
    }
    return check_end(decoder, what);
}

}  // namespace narrows
