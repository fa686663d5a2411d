// The work of CompressAI 1.2.6's coder without its Python lists: vectors in, vectors out, the same bytes.
//
// One 64-bit state, 32-bit words, 16-bit probabilities. As there, encoding first collects a list of steps, then
// codes it from its end with a division a step; decoding searches the cumulative frequencies from their start.
// Built by `narrows bench entropy` for comparison, with the flags that CompressAI is built with.
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

namespace {

constexpr unsigned kBits = 16, kNibble = 4, kMaxNibble = 15;
constexpr uint64_t kLow = uint64_t{1} << 31;

struct Step {
    uint16_t start, width;
    bool raw;
};

struct Work {
    std::vector<int32_t> symbols, indexes, sizes, offsets, decoded;
    std::vector<std::vector<int32_t>> cdfs;
    std::string stream;
};

void collect(const Work& w, std::vector<Step>& steps) {
    for (size_t i = 0; i < w.symbols.size(); ++i) {
        const auto t = static_cast<size_t>(w.indexes[i]);
        const std::vector<int32_t>& cdf = w.cdfs[t];
        const int32_t last = w.sizes[t] - 2;
        int32_t value = w.symbols[i] - w.offsets[t];
        uint32_t raw = 0;
        if (value < 0) {
            raw = static_cast<uint32_t>(-2 * value - 1);
            value = last;
        } else if (value >= last) {
            raw = static_cast<uint32_t>(2 * (value - last));
            value = last;
        }
        const auto v = static_cast<size_t>(value);
        steps.push_back({static_cast<uint16_t>(cdf[v]), static_cast<uint16_t>(cdf[v + 1] - cdf[v]), false});
        if (value != last) continue;
        uint32_t nibbles = 0;
        while (nibbles < 8 && (raw >> (nibbles * kNibble)) != 0) ++nibbles;
        uint32_t left = nibbles;
        for (; left >= kMaxNibble; left -= kMaxNibble) steps.push_back({kMaxNibble, kMaxNibble + 1, true});
        steps.push_back({static_cast<uint16_t>(left), static_cast<uint16_t>(left + 1), true});
        for (uint32_t n = 0; n < nibbles; ++n) {
            const auto nibble = static_cast<uint16_t>((raw >> (n * kNibble)) & kMaxNibble);
            steps.push_back({nibble, static_cast<uint16_t>(nibble + 1), true});
        }
    }
}

uint32_t raw_bits(uint64_t& x, const uint32_t*& word) {
    const auto value = static_cast<uint32_t>(x & kMaxNibble);
    x >>= kNibble;
    if (x < kLow) x = (x << 32) | *word++;
    return value;
}

}  // namespace

extern "C" {

void* work_new(const int32_t* symbols, const int32_t* indexes, uint64_t count, const int32_t* cdfs, const int32_t* sizes,
               const int32_t* offsets, uint64_t num_tables) {
    auto* w = new Work;
    w->symbols.assign(symbols, symbols + count);
    w->indexes.assign(indexes, indexes + count);
    w->sizes.assign(sizes, sizes + num_tables);
    w->offsets.assign(offsets, offsets + num_tables);
    for (uint64_t t = 0; t < num_tables; ++t) {
        w->cdfs.emplace_back(cdfs, cdfs + sizes[t]);
        cdfs += sizes[t];
    }
    return w;
}

void work_delete(void* held) { delete static_cast<Work*>(held); }

uint64_t work_encode(void* held) {
    Work& w = *static_cast<Work*>(held);
    std::vector<Step> steps;
    steps.reserve(w.symbols.size());
    collect(w, steps);
    std::vector<uint32_t> words(steps.size() + 2, 0xCC);
    uint32_t* word = words.data() + words.size();
    uint64_t x = kLow;
    while (!steps.empty()) {
        const Step s = steps.back();
        const unsigned bits = s.raw ? kNibble : kBits;
        const uint32_t width = s.raw ? 1 : s.width;
        if (x >= ((kLow >> bits) << 32) * width) {
            *--word = static_cast<uint32_t>(x);
            x >>= 32;
        }
        x = s.raw ? (x << kNibble) | s.start : ((x / width) << kBits) + (x % width) + s.start;
        steps.pop_back();
    }
    *--word = static_cast<uint32_t>(x >> 32);
    *--word = static_cast<uint32_t>(x);
    const auto* end = words.data() + words.size();
    w.stream.assign(reinterpret_cast<const char*>(word), static_cast<size_t>(end - word) * 4);
    return w.stream.size();
}

const char* work_stream(void* held) { return static_cast<Work*>(held)->stream.data(); }

const int32_t* work_decode(void* held) {
    Work& w = *static_cast<Work*>(held);
    const auto* word = reinterpret_cast<const uint32_t*>(w.stream.data());
    uint64_t x = word[0] | (static_cast<uint64_t>(word[1]) << 32);
    word += 2;
    w.decoded = std::vector<int32_t>(w.indexes.size());
    for (size_t i = 0; i < w.indexes.size(); ++i) {
        const auto t = static_cast<size_t>(w.indexes[i]);
        const std::vector<int32_t>& cdf = w.cdfs[t];
        const int32_t last = w.sizes[t] - 2;
        const auto slot = static_cast<uint32_t>(x & 0xffff);
        const auto end = cdf.begin() + w.sizes[t];
        const auto above =
            std::find_if(cdf.begin(), end, [slot](int32_t edge) { return static_cast<uint32_t>(edge) > slot; });
        const auto s = static_cast<size_t>(above - cdf.begin()) - 1;
        const auto start = static_cast<uint32_t>(cdf[s]);
        x = static_cast<uint64_t>(cdf[s + 1] - cdf[s]) * (x >> kBits) + slot - start;
        if (x < kLow) x = (x << 32) | *word++;
        auto value = static_cast<int32_t>(s);
        if (value == last) {
            uint32_t more = raw_bits(x, word), nibbles = more;
            while (more == kMaxNibble) nibbles += more = raw_bits(x, word);
            uint32_t raw = 0;
            for (uint32_t n = 0; n < nibbles; ++n) raw |= raw_bits(x, word) << (n * kNibble);
            value = static_cast<int32_t>(raw >> 1);
            value = raw & 1 ? -value - 1 : value + last;
        }
        w.decoded[i] = value + w.offsets[t];
    }
    return w.decoded.data();
}
}
