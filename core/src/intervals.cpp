#include "narrows/intervals.hpp"

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "narrows/crc.hpp"

namespace narrows {

namespace {

constexpr size_t kTrailer = 5;  // words behind a payload's own: state, state, number of symbols, sum, CRC32C

uint32_t mixed(Interval interval, size_t position) noexcept {
    const uint64_t z = (uint64_t{interval.start} << 32 | interval.size) ^ (position * 0x9E3779B97F4A7C15u);
    return static_cast<uint32_t>(z * 0xBF58476D1CE4E5B9u >> 32) ^ static_cast<uint32_t>(z);
}

uint32_t crc_of(std::span<const uint32_t> words) {
    uint32_t crc = 0;
    uint8_t bytes[1024];
    while (!words.empty()) {
        const auto some = words.first(std::min<size_t>(words.size(), sizeof bytes / 4));
        for (size_t i = 0; i < some.size(); ++i)
            for (int k = 0; k < 4; ++k) bytes[4 * i + static_cast<size_t>(k)] = static_cast<uint8_t>(some[i] >> (8 * k));
        crc = crc32c(std::span<const uint8_t>(bytes, 4 * some.size()), crc);
        words = words.subspan(some.size());
    }
    return crc;
}

// A reader of rows has: select(i), called before the others; sound(i), whether row i is a distribution, as far as it
// costs little to say; at(j), the boundary below symbol j, 0xffffffff if there is none; kQuick, whether sound takes no
// time.

constexpr uint32_t kNone = 0xffffffff;
constexpr const char* kNoDistribution =
    "a model is no distribution: an entry is negative, undefined, falls or is too large, or a scale is not positive";
constexpr size_t kFew = 16;  // symbols of which counting the boundaries below is quicker than searching

class CdfReader {
   public:
    static constexpr bool kQuick = false;
    CdfReader(const CdfRows& rows, uint32_t) : rows_(rows) {}
    void select(size_t i) noexcept { row_ = rows_.cdf.data() + i * (rows_.num_symbols + 1); }
    bool sound(size_t) const noexcept { return std::is_sorted(row_, row_ + rows_.num_symbols + 1); }
    uint32_t at(size_t j) const noexcept { return row_[j]; }

   private:
    const CdfRows& rows_;
    const uint32_t* row_ = nullptr;
};

// Sums in a fixed order and IEEE arithmetic only, so the same boundaries everywhere.
template <typename Float>
class ProbabilityReader {
   public:
    static constexpr bool kQuick = true;
    ProbabilityReader(const ProbabilityRows<Float>& rows, uint32_t bits)
        : rows_(rows), slots_(1u << bits),
          shared_(static_cast<double>(slots_ - static_cast<uint32_t>(rows.num_symbols))), sums_(rows.num_symbols) {}
    void select(size_t i) noexcept {
        const Float* row = rows_.weights.data() + i * rows_.num_symbols;
        double sum = 0;
        bool positive = true;
        for (size_t j = 0; j < rows_.num_symbols; ++j) {
            positive &= row[j] >= 0;
            sums_[j] = sum;
            sum += static_cast<double>(row[j]);
        }
        scale_ = shared_ / sum;
        sound_ = positive && sum > 0 && std::isfinite(sum) && std::isfinite(scale_);
    }
    bool sound(size_t) const noexcept { return sound_; }
    uint32_t at(size_t j) const noexcept {
        if (j == rows_.num_symbols) return slots_;
        if (!sound_) return kNone;
        return static_cast<uint32_t>(std::min(sums_[j] * scale_, shared_)) + static_cast<uint32_t>(j);
    }

   private:
    const ProbabilityRows<Float>& rows_;
    uint32_t slots_;
    double shared_;
    std::vector<double> sums_;
    double scale_ = 0;
    bool sound_ = false;
};

class FloatCdfReader {
   public:
    static constexpr bool kQuick = false;
    FloatCdfReader(const FloatCdfRows& rows, uint32_t bits)
        : rows_(rows), slots_(1u << bits),
          factor_(static_cast<float>(slots_ - (rows.normalize ? static_cast<uint32_t>(rows.num_symbols) : 0))) {}
    void select(size_t i) noexcept { row_ = rows_.cdf.data() + i * (rows_.num_symbols + 1); }
    bool sound(size_t) const noexcept {
        bool rises = row_[0] >= 0 && row_[rows_.num_symbols] <= 1;
        for (size_t j = 0; j < rows_.num_symbols; ++j) rises &= row_[j] <= row_[j + 1];
        return rises;
    }
    uint32_t at(size_t j) const noexcept {
        if (j == rows_.num_symbols) return slots_;
        const float scaled = row_[j] * factor_;
        if (!(scaled >= 0 && scaled <= factor_)) return kNone;
        return static_cast<uint32_t>(std::nearbyint(scaled)) + (rows_.normalize ? static_cast<uint32_t>(j) : 0);
    }

   private:
    const FloatCdfRows& rows_;
    uint32_t slots_;
    float factor_;
    const float* row_ = nullptr;
};

class ShortCdfReader {
   public:
    static constexpr bool kQuick = false;
    ShortCdfReader(const ShortCdfRows& rows, uint32_t bits) : rows_(rows), slots_(1u << bits) {}
    void select(size_t i) noexcept { row_ = rows_.cdf.data() + i * (rows_.num_symbols + 1); }
    bool sound(size_t) const noexcept {
        bool rises = true;
        for (size_t j = 0; j + 1 < rows_.num_symbols; ++j)
            rises &= static_cast<uint16_t>(row_[j]) <= static_cast<uint16_t>(row_[j + 1]);
        return rises;
    }
    uint32_t at(size_t j) const noexcept { return j == rows_.num_symbols ? slots_ : static_cast<uint16_t>(row_[j]); }

   private:
    const ShortCdfRows& rows_;
    uint32_t slots_;
    const int16_t* row_ = nullptr;
};

// The floats given become integers once, exactly: a scale of 24 bits and distances in the same unit.
class DistributionReader {
   public:
    static constexpr bool kQuick = true;
    DistributionReader(const DistributionRows& rows, uint32_t bits)
        : rows_(rows), slots_(1u << bits), shared_(slots_ - static_cast<uint32_t>(rows.num_symbols)) {}
    void select(size_t i) noexcept {
        mean_ = rows_.means[i];
        sound_ = std::isfinite(mean_) && rows_.scales[i] > 0 && std::isfinite(rows_.scales[i]);
        if (!sound_) return;
        int exponent = 0;
        scale_ = static_cast<uint32_t>(std::frexp(std::clamp(rows_.scales[i], 0x1p-60, 0x1p60), &exponent) * 0x1p24);
        unit_ = std::ldexp(1, 24 - exponent);
        const double j = std::clamp(mean_ - rows_.first, 1.0, static_cast<double>(rows_.num_symbols));
        guess_ = std::min(static_cast<size_t>(j), rows_.num_symbols - 1);
        step_ = 1 + static_cast<size_t>(std::min(rows_.scales[i], 0x1p20));
    }
    // Where a search begins, and how far it goes first.
    size_t guess() const noexcept { return sound_ ? guess_ : 0; }
    size_t step() const noexcept { return step_; }
    bool sound(size_t) const noexcept { return sound_; }
    uint32_t at(size_t j) const noexcept {
        if (j == 0) return 0;
        if (j == rows_.num_symbols) return slots_;
        if (!sound_) return kNone;
        const double above = static_cast<double>(rows_.first) + static_cast<double>(j) - 0.5 - mean_;
        const double distance = std::clamp(above * unit_, -0x1p56, 0x1p56);
        const uint64_t below = cumulative(rows_.tables, rows_.family, static_cast<int64_t>(distance), scale_);
        return static_cast<uint32_t>(below * shared_ >> 32) + static_cast<uint32_t>(j);
    }

   private:
    const DistributionRows& rows_;
    uint32_t slots_;
    uint32_t shared_;
    double mean_ = 0;
    double unit_ = 0;
    uint32_t scale_ = 1;
    size_t guess_ = 0, step_ = 1;
    bool sound_ = false;
};

CdfReader reader_of(const CdfRows& rows, uint32_t bits) { return {rows, bits}; }
FloatCdfReader reader_of(const FloatCdfRows& rows, uint32_t bits) { return {rows, bits}; }
ShortCdfReader reader_of(const ShortCdfRows& rows, uint32_t bits) { return {rows, bits}; }
DistributionReader reader_of(const DistributionRows& rows, uint32_t bits) { return {rows, bits}; }
template <typename Float>
ProbabilityReader<Float> reader_of(const ProbabilityRows<Float>& rows, uint32_t bits) { return {rows, bits}; }

int32_t first_of(const DistributionRows& rows) noexcept { return rows.first; }
int32_t first_of(const auto&) noexcept { return 0; }

size_t size_of(const CdfRows& rows) noexcept { return rows.cdf.size() / (rows.num_symbols + 1); }
size_t size_of(const FloatCdfRows& rows) noexcept { return rows.cdf.size() / (rows.num_symbols + 1); }
size_t size_of(const ShortCdfRows& rows) noexcept { return rows.cdf.size() / (rows.num_symbols + 1); }
size_t size_of(const DistributionRows& rows) noexcept { return std::min(rows.means.size(), rows.scales.size()); }
template <typename Float>
size_t size_of(const ProbabilityRows<Float>& rows) noexcept { return rows.weights.size() / rows.num_symbols; }

template <typename Rows>
Status check_rows(const Rows& rows, uint32_t bits, size_t num_symbols, std::string& what) {
    const int64_t last = int64_t{first_of(rows)} + static_cast<int64_t>(rows.num_symbols) - 1;
    if (rows.num_symbols == 0 || rows.num_symbols > size_t{1} << bits || last > INT32_MAX)
        what = "a distribution has 1 to 2^bits symbols, all of 32 bits";
    else if (size_of(rows) < rows.num_rows || (rows.num_rows != 1 && rows.num_rows != num_symbols))
        what = "there must be one distribution, or one for each symbol";
    else
        return Status::ok;
    return Status::bad_argument;
}

}  // namespace

void IntervalStack::push(std::span<const Interval> intervals) {
    words_.resize(num_words_);
    // At most a word each; asked for first, so that a push that finds no memory changes nothing.
    if (const size_t most = num_words_ + intervals.size(); words_.capacity() < most)
        words_.reserve(std::max(most, 2 * words_.capacity()));
    for (size_t i = intervals.size(); i-- > 0;) {
        const Interval interval = intervals[i];
        sum_ += mixed(interval, size_++);
        if (interval.size == 1u << bits_) continue;  // certain: costs nothing
        if (state_ >> (64 - bits_) >= interval.size) {
            words_.push_back(static_cast<uint32_t>(state_));
            state_ >>= 32;
        }
        state_ = (state_ / interval.size << bits_) + state_ % interval.size + interval.start;
    }
    num_words_ = words_.size();
}

bool IntervalStack::pop(Interval interval) noexcept {
    sum_ -= mixed(interval, --size_);
    if (interval.size != 1u << bits_) {
        state_ = interval.size * (state_ >> bits_) + slot() - interval.start;
        // A state of 2^32 or more leaves at least 2^8, so one word always restores it.
        if (state_ < kLow) {
            if (num_words_ == 0) return false;
            state_ = state_ << 32 | words_[--num_words_];
        }
    }
    return size_ > 0 || (sum_ == 0 && state_ == kLow && num_words_ == 0);
}

void IntervalStack::restore(const Position& position) noexcept {
    state_ = position.state;
    size_ = position.size;
    num_words_ = position.num_words;
    sum_ = position.sum;
}

std::vector<uint32_t> IntervalStack::payload() const {
    if (size_ == 0) return {};
    std::vector<uint32_t> payload(words_.begin(), words_.begin() + static_cast<ptrdiff_t>(num_words_));
    for (const uint64_t word : {state_, state_ >> 32, uint64_t{size_}, uint64_t{sum_}})
        payload.push_back(static_cast<uint32_t>(word));
    payload.push_back(crc_of(payload));
    return payload;
}

Status IntervalStack::open(std::span<const uint32_t> payload, std::string& what) {
    if (payload.empty()) {
        *this = IntervalStack(bits_);
        return Status::ok;
    }
    if (payload.size() < kTrailer) {
        what = "the payload is cut";
        return Status::truncated;
    }
    const std::span<const uint32_t> trailer = payload.last(kTrailer);
    const uint64_t state = uint64_t{trailer[0]} | uint64_t{trailer[1]} << 32;
    if (crc_of(payload.first(payload.size() - 1)) != trailer[4] || state < kLow || trailer[2] == 0) {
        what = "the payload is damaged";
        return Status::corrupt;
    }
    words_.assign(payload.begin(), payload.end() - kTrailer);
    num_words_ = words_.size();
    state_ = state;
    size_ = trailer[2];
    sum_ = trailer[3];
    return Status::ok;
}

Status intervals_of(const IntervalModel& model, uint32_t bits, std::span<const int32_t> symbols,
                    std::vector<Interval>& intervals, std::string& what) {
    return std::visit(
        [&](const auto& rows) {
            const Status status = check_rows(rows, bits, symbols.size(), what);
            if (status != Status::ok) return status;
            auto reader = reader_of(rows, bits);
            const size_t before = intervals.size();
            intervals.reserve(before + symbols.size());
            for (size_t i = 0; i < symbols.size(); ++i) {
                if (i == 0 || rows.num_rows > 1) {
                    reader.select(i);
                    if (!reader.sound(i)) {
                        what = kNoDistribution;
                        intervals.resize(before);
                        return Status::bad_argument;
                    }
                }
                const int64_t j = int64_t{symbols[i]} - first_of(rows);
                const bool inside = j >= 0 && j < static_cast<int64_t>(rows.num_symbols);
                const uint32_t start = inside ? reader.at(static_cast<size_t>(j)) : 0;
                const uint32_t end = inside ? reader.at(static_cast<size_t>(j) + 1) : 0;
                if (start >= end || end > 1u << bits) {
                    what = inside ? "a symbol has probability zero" : "a symbol lies outside its distribution";
                    intervals.resize(before);
                    return Status::bad_argument;
                }
                intervals.push_back({start, end - start});
            }
            return Status::ok;
        },
        model);
}

Status boundaries_of(const IntervalModel& model, uint32_t bits, std::vector<uint32_t>& boundaries,
                     std::string& what) {
    return std::visit(
        [&](const auto& rows) {
            Status status = check_rows(rows, bits, std::max<size_t>(rows.num_rows, 1), what);
            if (status != Status::ok) return status;
            auto reader = reader_of(rows, bits);
            reader.select(0);
            boundaries.resize(rows.num_symbols + 1);
            for (size_t j = 0; j < boundaries.size(); ++j) boundaries[j] = reader.at(j);
            if (reader.sound(0)) return Status::ok;
            what = kNoDistribution;
            return Status::bad_argument;
        },
        model);
}

Status pop(IntervalStack& stack, const IntervalModel& model, std::span<int32_t> symbols, std::string& what) {
    return std::visit(
        [&](const auto& rows) {
            const Status status = check_rows(rows, stack.bits(), symbols.size(), what);
            if (status != Status::ok) return status;
            auto reader = reader_of(rows, stack.bits());
            const IntervalStack::Position before = stack.position();
            const auto refuse = [&](const char* why) {
                stack.restore(before);
                for (size_t i = 0; i < rows.num_rows; ++i) {
                    reader.select(i);
                    if (reader.sound(i)) continue;
                    what = kNoDistribution;
                    return Status::bad_argument;
                }
                what = why;
                return Status::corrupt;
            };
            constexpr const char* kOthers = "the payload was coded with other distributions";
            if (symbols.size() > stack.size()) return refuse("the payload holds fewer symbols than are asked for");
            // Many symbols of one row: for each bucket of slots the symbol that owns its first, and the last symbol.
            std::vector<uint32_t> first_symbols;
            const uint32_t bucket_shift = stack.bits() - std::min(stack.bits(), 10u);
            if constexpr (std::is_same_v<std::decay_t<decltype(rows)>, CdfRows>) {
                reader.select(0);
                if (rows.num_rows == 1 && symbols.size() >= 4096 && rows.num_symbols > 2 && reader.sound(0) &&
                    reader.at(0) == 0 && reader.at(rows.num_symbols) == 1u << stack.bits()) {
                    uint32_t symbol = 0;
                    for (uint32_t slot = 0; slot < 1u << stack.bits(); slot += 1u << bucket_shift) {
                        while (reader.at(symbol + 1) <= slot) ++symbol;
                        first_symbols.push_back(symbol);
                    }
                    first_symbols.push_back(static_cast<uint32_t>(rows.num_symbols) - 1);
                }
            }
            for (size_t i = 0; i < symbols.size(); ++i) {
                if (i == 0 || rows.num_rows > 1) {
                    reader.select(i);
                    if (reader.kQuick && !reader.sound(i)) return refuse(kOthers);
                }
                const uint32_t slot = stack.slot();
                size_t low = 0, high = rows.num_symbols;  // the boundary at low is at or below the slot
                uint32_t start = reader.at(low), end = reader.at(high);
                const auto look = [&](size_t j) {
                    const uint32_t boundary = reader.at(j);
                    const bool below = boundary <= slot;
                    low = below ? j : low;
                    high = below ? high : j;
                    start = below ? boundary : start;
                    end = below ? end : boundary;
                    return below;
                };
                if constexpr (requires { reader.guess(); }) {
                    size_t j = reader.guess(), step = reader.step();
                    if (j > 0 && look(j))
                        while (high - low > step && look(low + step)) step *= 2;
                    else
                        while (high - low > step && !look(high - step)) step *= 2;
                } else if (!first_symbols.empty()) {
                    const size_t bucket = slot >> bucket_shift;
                    low = first_symbols[bucket];
                    high = first_symbols[bucket + 1] + 1;
                    start = reader.at(low);
                    end = reader.at(high);
                } else if (high <= kFew) {
                    for (size_t j = 1; j < high; ++j) low += reader.at(j) <= slot;
                    high = low + 1;
                    start = reader.at(low);
                    end = reader.at(high);
                }
                while (high - low > 1) look(low + (high - low) / 2);
                if (start > slot || end <= slot || end > 1u << stack.bits() || !stack.pop({start, end - start}))
                    return refuse(kOthers);
                symbols[i] = static_cast<int32_t>(first_of(rows) + static_cast<int64_t>(low));
            }
            return Status::ok;
        },
        model);
}

}  // namespace narrows
