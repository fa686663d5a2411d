// CompressAI's strings, one and several; tables, pmfs and round trips of whatever the bytes say. Then the same of
// payloads whose symbols each have a distribution.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "../tests/check.hpp"
#include "narrows/compressai.hpp"
#include "narrows/crc.hpp"
#include "narrows/intervals.hpp"

using namespace narrows;
using compressai::Tables;

namespace {

constexpr unsigned kSets = 16;

std::shared_ptr<const Tables> random_set(unsigned seed) {
    Random random{seed};
    const size_t num_tables = 1 + random.below(seed % 4 ? 6 : 300);
    const size_t stride = 3 + random.below(seed % 3 ? 60 : 3000);
    std::vector<int32_t> cdf(num_tables * stride), lengths(num_tables), offsets(num_tables);
    for (size_t t = 0; t < num_tables; ++t) {
        const size_t num_tokens = 2 + random.below(static_cast<unsigned>(stride) - 2);
        std::vector<float> pmf(num_tokens);
        for (float& p : pmf) {
            p = static_cast<float>(random.below(1000)) / 1000;
            if (seed % 2) p *= p * p * p * p;
        }
        pmf[random.below(static_cast<unsigned>(num_tokens))] += .001f;
        std::vector<uint32_t> row(num_tokens + 1);
        std::string what;
        if (compressai::pmf_to_quantized_cdf(pmf, 16, row, what) != Status::ok) std::abort();
        std::copy(row.begin(), row.end(), cdf.begin() + static_cast<ptrdiff_t>(t * stride));
        lengths[t] = static_cast<int32_t>(num_tokens + 1);
        offsets[t] = seed % 5 ? static_cast<int32_t>(random.below(200)) - 100 : static_cast<int32_t>(random.next());
    }
    std::shared_ptr<const Tables> tables;
    const char* what = "";
    if (Tables::make(cdf, stride, lengths, offsets, tables, what) != Status::ok) std::abort();
    return tables;
}

std::shared_ptr<const Tables> tables_of(unsigned set) {
    static std::vector<std::shared_ptr<const Tables>> sets;
    while (sets.size() < kSets) sets.push_back(random_set(static_cast<unsigned>(sets.size())));
    return sets[set % kSets];
}

std::vector<int32_t> index_of(const Tables& tables, unsigned seed, size_t n) {
    Random random{seed};
    std::vector<int32_t> index(n);
    for (auto& i : index) i = static_cast<int32_t>(random.below(static_cast<unsigned>(tables.size())));
    return index;
}

// Two ways of reading a string agree, and what they accept is what an encoder writes.
void read_string(std::span<const uint8_t> string, const std::vector<int32_t>& index,
                 const std::shared_ptr<const Tables>& tables, size_t cut) {
    const size_t n = index.size();
    const size_t counts[] = {n};
    std::vector<int32_t> symbols(n), pieces(n);
    std::string what;
    const std::span<const uint8_t> strings[] = {string};
    const compressai::Indexes all = std::span<const int32_t>(index);
    const Status whole = compressai::decode(strings, all, counts, *tables, symbols, what);
    if (whole == Status::bad_argument) std::abort();
    compressai::Decoder decoder;
    Status split = decoder.open(string, what);
    if (split == Status::ok)
        split = decoder.get(std::span<const int32_t>(index).first(cut), *tables, std::span(pieces).first(cut), what);
    if (split == Status::ok)
        split = decoder.get(std::span<const int32_t>(index).subspan(cut), *tables, std::span(pieces).subspan(cut), what);
    if (split == Status::ok) split = decoder.finish(what);
    if ((whole == Status::ok) != (split == Status::ok)) std::abort();
    if (whole != Status::ok) return;
    if (symbols != pieces) std::abort();
    std::vector<std::vector<uint8_t>> again;
    size_t num_beyond = 0;
    if (compressai::encode(symbols, all, counts, *tables, again, num_beyond, what) != Status::ok ||
        !std::equal(again[0].begin(), again[0].end(), string.begin(), string.end()))
        std::abort();
}

// Bytes as tables and as a pmf: refused or sound, never a crash.
void read_tables(std::span<const uint8_t> bytes) {
    std::vector<int32_t> numbers(bytes.size() / 4);
    if (!numbers.empty()) std::memcpy(numbers.data(), bytes.data(), 4 * numbers.size());
    std::vector<float> pmf(numbers.size());
    if (!pmf.empty()) std::memcpy(pmf.data(), bytes.data(), 4 * pmf.size());
    std::vector<uint32_t> row(pmf.size() + 1);
    std::string text;
    for (unsigned precision : {1u, 8u, 16u})
        if (compressai::pmf_to_quantized_cdf(pmf, precision, row, text) == Status::ok)
            for (size_t i = 0; i < pmf.size(); ++i)
                if (row[i + 1] <= row[i] || row.back() != 1u << precision) std::abort();
    const size_t stride = numbers.size() > 8 ? 3 + bytes[0] % 16u : 3;
    const size_t num_tables = numbers.size() / (stride + 2);
    const std::span<const int32_t> all(numbers);
    std::vector<int32_t> cdf(all.begin(), all.begin() + static_cast<ptrdiff_t>(num_tables * stride));
    std::vector<int32_t> lengths(all.begin() + static_cast<ptrdiff_t>(cdf.size()),
                                 all.begin() + static_cast<ptrdiff_t>(cdf.size() + num_tables));
    if (bytes.size() > 1 && bytes[1] & 1)  // mostly sound, so that what follows is reached
        for (size_t t = 0; t < num_tables; ++t) {
            lengths[t] = static_cast<int32_t>(2 + static_cast<uint32_t>(lengths[t]) % (stride - 1));
            const auto begin = cdf.begin() + static_cast<ptrdiff_t>(t * stride);
            for (size_t i = 0; i < stride; ++i) begin[static_cast<ptrdiff_t>(i)] &= 0xffff;
            std::sort(begin, begin + lengths[t]);
            begin[0] = 0;
            begin[lengths[t] - 1] = 65536;
        }
    const std::vector<int32_t> offsets(num_tables, -1);
    std::shared_ptr<const Tables> tables;
    const char* what = "";
    if (Tables::make(cdf, stride, lengths, offsets, tables, what) != Status::ok) return;
    const std::vector<int32_t> index = index_of(*tables, 7, 50);
    read_string(bytes, index, tables, 20);
}

// Tables of the right form: the values matter little here.
const DistributionTables& distributions() {
    static std::vector<uint32_t> tail(DistributionTables::kTailSize), exponential(DistributionTables::kExponentialSize);
    static const DistributionTables tables{tail, exponential};
    if (tail[0] == 0) {
        for (size_t i = 0; i < tail.size(); ++i)
            tail[i] = static_cast<uint32_t>((uint64_t{1} << 31) * (tail.size() - 1 - i) / (tail.size() - 1));
        for (size_t i = 0; i < exponential.size(); ++i)
            exponential[i] = static_cast<uint32_t>((uint64_t{1} << 31) - (uint64_t{1} << 20) * i);
        if (!tables.valid()) std::abort();
    }
    return tables;
}

template <typename T>
std::vector<T> values_of(std::span<const uint8_t> bytes) {
    std::vector<T> values(bytes.size() / sizeof(T));
    if (!values.empty()) std::memcpy(values.data(), bytes.data(), values.size() * sizeof(T));
    return values;
}

// Models of whatever the bytes say are refused or give back what was pushed; payloads are refused or pop in bounds.
void read_intervals(std::span<const uint8_t> bytes, unsigned mode) {
    if (bytes.size() < 64) return;
    const uint32_t bits = mode & 1 ? 24 : 16;
    const size_t num_symbols = 1 + bytes[0] % 40u;
    const auto floats = values_of<float>(bytes);
    const auto doubles = values_of<double>(bytes);
    const auto shorts = values_of<int16_t>(bytes);
    auto cdf = values_of<uint32_t>(bytes);
    std::vector<double> positive(doubles);
    for (double& p : positive) p = p < 0 ? -p : p;
    std::vector<float> rising(floats);
    for (float& p : rising) p = p >= 0 && p <= 1 ? p : .5f;
    if (mode & 2) {
        for (uint32_t& c : cdf) c &= (1u << bits) - 1;
        for (size_t i = 0; i + num_symbols + 1 <= cdf.size(); i += num_symbols + 1) {
            std::sort(cdf.begin() + static_cast<ptrdiff_t>(i), cdf.begin() + static_cast<ptrdiff_t>(i + num_symbols));
            cdf[i] = 0;
            cdf[i + num_symbols] = 1u << bits;
            std::sort(rising.begin() + static_cast<ptrdiff_t>(i),
                      rising.begin() + static_cast<ptrdiff_t>(i + num_symbols + 1));
        }
    }
    const auto first = static_cast<int32_t>(static_cast<int8_t>(bytes[1])) * (bytes[2] % 8 ? 1 : 1 << 24);
    const size_t per_cdf = num_symbols + 1, half = doubles.size() / 2;
    const IntervalModel models[] = {
        CdfRows{cdf, cdf.size() / per_cdf, num_symbols},
        ProbabilityRows<float>{floats, floats.size() / num_symbols, num_symbols},
        ProbabilityRows<double>{positive, positive.size() / num_symbols, num_symbols},
        FloatCdfRows{rising, rising.size() / per_cdf, num_symbols, (mode & 4) != 0},
        ShortCdfRows{shorts, shorts.size() / per_cdf, num_symbols},
        DistributionRows{distributions(), static_cast<Family>(bytes[3] % 3), first, std::span(doubles).first(half),
                         std::span(positive).last(half), half, num_symbols * 100},
        CdfRows{cdf, 1, num_symbols},
    };
    const IntervalModel& model = models[mode / 8 % std::size(models)];
    size_t rows = std::visit([](const auto& r) { return r.num_rows; }, model);
    if (mode / 8 % std::size(models) == 6) rows = bytes[4] == 0 ? 5000 : 20;
    std::vector<int32_t> symbols(rows), back(rows);
    for (size_t i = 0; i < rows; ++i)
        symbols[i] = static_cast<int32_t>(bytes[i % bytes.size()] % num_symbols) +
                     (mode / 8 % std::size(models) == 5 ? first : 0);
    IntervalStack stack(bits);
    std::vector<Interval> intervals;
    std::string what;
    if (intervals_of(model, bits, symbols, intervals, what) == Status::ok) {
        stack.push(intervals);
        IntervalStack other(bits);
        if (other.open(stack.payload(), what) != Status::ok || pop(other, model, back, what) != Status::ok ||
            back != symbols || other.size() != 0)
            std::abort();
    }
    std::vector<uint32_t> payload = values_of<uint32_t>(bytes);
    if (mode & 1 && payload.size() > 5) {
        payload[payload.size() - 4] |= 1;  // a state above the least
        std::vector<uint8_t> raw(4 * (payload.size() - 1));
        std::memcpy(raw.data(), payload.data(), raw.size());
        payload.back() = crc32c(raw);
    }
    if (stack.open(payload, what) == Status::ok && pop(stack, model, back, what) == Status::ok) {
        // What was popped is what goes back on.
        const size_t left = stack.size();
        intervals.clear();
        if (intervals_of(model, bits, back, intervals, what) != Status::ok) return;
        stack.push(intervals);
        if (stack.size() != left + rows) std::abort();
    }
}

}  // namespace

// Input: table set, seed of the index, mode, two bytes of length, string.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size < 5) return 0;
    const std::shared_ptr<const Tables> tables = tables_of(data[0]);
    const unsigned mode = data[2];
    const size_t n = (data[3] | data[4] << 8) % 3000;
    const std::vector<int32_t> index = index_of(*tables, data[1], n);
    const std::vector<uint8_t> string(data + 5, data + size);
    read_string(string, index, tables, n == 0 ? 0 : mode % n);
    if (mode & 1) read_tables(string);
    read_intervals(string, mode ^ data[1]);

    // The bytes as symbols of several strings: what is coded comes back, and one call equals many.
    std::vector<int32_t> symbols(std::min<size_t>(n, string.size() / 2));
    for (size_t i = 0; i < symbols.size(); ++i) {
        symbols[i] = static_cast<int16_t>(string[2 * i] | string[2 * i + 1] << 8);
        if (mode & 2) symbols[i] = static_cast<int32_t>(static_cast<uint32_t>(symbols[i]) * 40503u);
    }
    const size_t num_strings = 1 + mode / 4 % 7;
    std::vector<size_t> counts(num_strings, symbols.size() / num_strings);
    counts.back() += symbols.size() % num_strings;
    const auto some = std::span<const int32_t>(index).first(symbols.size());
    std::vector<std::vector<uint8_t>> strings;
    size_t num_beyond = 0;
    std::string what;
    if (compressai::encode(symbols, some, counts, *tables, strings, num_beyond, what) != Status::ok) std::abort();
    std::vector<std::span<const uint8_t>> views(strings.begin(), strings.end());
    std::vector<int32_t> back(symbols.size());
    if (compressai::decode(views, some, counts, *tables, back, what) != Status::ok || back != symbols) std::abort();
    compressai::Encoder encoder;
    const size_t cut = counts[0] / 2;
    if (encoder.put(std::span(symbols).first(cut), some.first(cut), tables, what) != Status::ok ||
        encoder.put(std::span(symbols).subspan(cut, counts[0] - cut), some.subspan(cut, counts[0] - cut), tables,
                    what) != Status::ok ||
        encoder.finish(num_beyond) != strings[0])
        std::abort();
    return 0;
}

extern "C" size_t NarrowsFuzzSeed(unsigned number, uint8_t* data, size_t capacity) {
    if (number >= 64) return 0;
    Random random{number};
    const size_t n = number % 3 == 0 ? 2999 : random.below(200);
    const std::shared_ptr<const Tables> tables = tables_of(number % kSets);
    const std::vector<int32_t> index = index_of(*tables, number, n);
    std::vector<int32_t> symbols(n);
    for (size_t i = 0; i < n; ++i) {
        const Tables::Row& row = tables->rows()[static_cast<size_t>(index[i])];
        const uint32_t value = random.below(20) ? random.below(row.escape + 2) : static_cast<uint32_t>(random.next());
        symbols[i] = static_cast<int32_t>(static_cast<uint32_t>(row.offset) + value);
    }
    const size_t counts[] = {n};
    std::vector<std::vector<uint8_t>> strings;
    size_t num_beyond = 0;
    std::string what;
    if (compressai::encode(symbols, std::span<const int32_t>(index), counts, *tables, strings, num_beyond, what) !=
        Status::ok)
        std::abort();
    std::vector<uint8_t>& string = strings[0];
    if (string.size() + 5 > capacity) string.resize(capacity - 5);
    data[0] = static_cast<uint8_t>(number % kSets);
    data[1] = static_cast<uint8_t>(number);
    data[2] = static_cast<uint8_t>(4 * number);
    data[3] = static_cast<uint8_t>(n);
    data[4] = static_cast<uint8_t>(n >> 8);
    std::memcpy(data + 5, string.data(), string.size());
    return string.size() + 5;
}
