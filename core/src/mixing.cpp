#include "narrows/mixing.hpp"

#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace narrows {
namespace {

// e^(-1/256) in 1/2^32: the first six terms of its series, in integers.
constexpr uint64_t exp_step() {
    uint64_t sum = 0, term = uint64_t{1} << 56;
    for (uint64_t k = 1; k < 8; ++k) {
        sum = k % 2 ? sum + term : sum - term;
        term /= 256 * k;
    }
    return (sum + (1 << 23)) >> 24;
}

constexpr LogisticTables logistic() {
    LogisticTables t{};
    // e^(-k/256) in 1/2^62, by repeated multiplication: 3,071 roundings of at most 2^-31 each, relative.
    uint64_t e = uint64_t{1} << 62;
    const uint64_t step = exp_step();
    for (int k = 0; k <= kSquashMax; ++k) {
        // 2^16 e / (1 + e), rounded; the sum fits since e <= 1.
        const uint64_t small = e >> 22, one = uint64_t{1} << 40;
        const uint64_t p = ((small << 17) + one + small) / (2 * (one + small));
        const uint64_t low = p < 1 ? 1 : p;
        t.squash[static_cast<size_t>(kSquashMax - k)] = static_cast<uint16_t>(low);
        t.squash[static_cast<size_t>(kSquashMax + k)] = static_cast<uint16_t>(65536 - low);
        e = (e >> 32) * step + (((e & 0xFFFFFFFFu) * step) >> 32);
    }
    // The x whose squash is nearest from below, by walking both upward.
    size_t at = 0;
    for (size_t i = 0; i < 4096; ++i) {
        while (at + 1 < t.squash.size() && t.squash[at + 1] <= 16 * i + 8) ++at;
        const int x = static_cast<int>(at) - kSquashMax;
        t.stretch[i] = static_cast<int16_t>(x < -kStretchMax ? -kStretchMax : x > kStretchMax ? kStretchMax : x);
    }
    // Exactly odd: no side is favored.
    for (size_t i = 0; i < 2048; ++i) t.stretch[4095 - i] = static_cast<int16_t>(-t.stretch[i]);
    return t;
}

// The larger count that may stand beside a smaller one.
constexpr int kBound[6] = {30, 24, 12, 8, 6, 5};
constexpr bool allowed(int n0, int n1) {
    const int small = n0 < n1 ? n0 : n1, large = n0 < n1 ? n1 : n0;
    return small <= 5 && large <= kBound[small];
}

constexpr HistoryTables history() {
    struct State {
        int n0, n1, last;
    };
    HistoryTables t{};
    State states[256]{};
    uint8_t number[31][31][2]{};
    uint32_t n = 0;
    for (int sum = 0; sum <= 60; ++sum) {
        for (int n0 = 0; n0 <= sum; ++n0) {
            const int n1 = sum - n0;
            if (!allowed(n0, n1)) continue;
            for (int last = 0; last < 2; ++last) {
                if (n0 == 0 || n1 == 0) {
                    // The last bit is known; one state serves both.
                    if (last == 1) continue;
                    number[n0][n1][1] = static_cast<uint8_t>(n);
                }
                number[n0][n1][last] = static_cast<uint8_t>(n);
                states[n++] = {n0, n1, last};
            }
        }
    }
    t.num_states = n;
    for (uint32_t s = 0; s < 256; ++s) {
        const State from = states[s < n ? s : 0];
        for (int bit = 0; bit < 2; ++bit) {
            int same = bit ? from.n1 : from.n0, other = bit ? from.n0 : from.n1;
            if (other > 2) other = other > 24 ? 7 : other > 10 ? 6 : other > 7 ? 5 : other > 5 ? 4 : other > 3 ? 3 : 2;
            if (allowed(same + 1, other)) {
                ++same;
            } else {
                while (!allowed(same, other)) --(same > other ? same : other);
            }
            t.next[s][static_cast<size_t>(bit)] = bit ? number[other][same][1] : number[same][other][0];
        }
        t.start[s] = static_cast<uint16_t>((10 * from.n1 + 4) * 65535 / (10 * (from.n0 + from.n1) + 8));
    }
    return t;
}

constexpr std::array<uint16_t, 1024> reciprocal() {
    std::array<uint16_t, 1024> t{};
    for (uint32_t n = 0; n < 1024; ++n) t[n] = static_cast<uint16_t>(131072 / (2 * n + 3));
    return t;
}

}  // namespace

constexpr LogisticTables kLogisticTables = logistic();
constexpr HistoryTables kHistoryTables = history();
static_assert(kHistoryTables.num_states <= 256);
static_assert(kLogisticTables.squash[kSquashMax] == 32768);

const LogisticTables kLogistic = kLogisticTables;
const HistoryTables kHistory = kHistoryTables;
const std::array<uint16_t, 1024> kReciprocal = reciprocal();

// Random reads of a table of many pages cost more in address translation than in the cache, hence the large
// pages where the system has them.
constexpr std::align_val_t kLargePage{size_t{1} << 21};

SlotTable::SlotTable(uint32_t bits) : shift_(32 - (bits - 6)) {
    const size_t bytes = size_t{1} << bits;
    void* memory = ::operator new(bytes, kLargePage);
#if defined(__linux__)
    if (bytes >= static_cast<size_t>(kLargePage)) static_cast<void>(madvise(memory, bytes, MADV_HUGEPAGE));
#endif
    lines_.reset(static_cast<Line*>(std::memset(memory, 0, bytes)));
}
void SlotTable::Release::operator()(Line* lines) const noexcept { ::operator delete(lines, kLargePage); }

}  // namespace narrows
