#include <cmath>
#include <vector>

#include "check.hpp"
#include "narrows/adaptive.hpp"

using namespace narrows;

namespace {

std::vector<uint16_t> random_frequencies(Random& random, unsigned n) {
    std::vector<uint16_t> f(n, 1);
    unsigned left = 32768 - n;
    const unsigned sharpness = random.below(4);
    for (unsigned i = 0; i < n && left; ++i) {
        unsigned take = i + 1 == n ? left : random.below(left + 1) >> (sharpness * random.below(2));
        const unsigned at = i + 1 == n ? random.below(n) : random.below(n);
        f[at] = static_cast<uint16_t>(f[at] + take);
        left -= take;
    }
    return f;
}

unsigned total(const AdaptiveTable& table) {
    unsigned sum = 0;
    for (unsigned s = 0; s < table.num_symbols(); ++s) {
        CHECK(table.frequency(s) >= 1 && table.frequency(s) <= 32768);
        sum += table.frequency(s);
    }
    return sum;
}

void frequencies_stay_positive_and_vectors_agree() {
    Random random{3};
    for (int round = 0; round < 600; ++round) {
        const unsigned n = 1 + random.below(17);
        AdaptiveTable table;
        CHECK(table.start(random_frequencies(random, n), 2 + random.below(round % 3 ? 400 : 32767),
                          1 + random.below(12)) == Status::ok);
        AdaptiveTable twin = table;
        const unsigned mode = random.below(4);
        const unsigned favorite = random.below(n);
        for (int i = 0; i < (round % 50 == 0 ? 80000 : 3000); ++i) {
            const unsigned s = mode == 0 ? favorite : mode == 1 ? random.below(n) : mode == 2 ? (i / 500) % n
                             : random.below(1000) ? favorite : random.below(n);
            table.update(s);
            twin.update_portable(s);
            if (i % 16 == 0 || i < 64) {
                CHECK(total(table) == 32768);
                for (unsigned k = 0; k < n; ++k) CHECK(table.frequency(k) == twin.frequency(k));
            }
        }
        // Plain shifts would stall far below.
        if (mode == 0 && round % 50 == 0) CHECK(table.frequency(favorite) >= 32768 - 2 * n);
    }
}

void every_symbol_survives() {
    Random random{4};
    for (int round = 0; round < 300; ++round) {
        const unsigned n = 1 + random.below(17);
        AdaptiveTable start;
        CHECK(start.start(random_frequencies(random, n)) == Status::ok);
        AdaptiveTable a = start, b = start;
        AdaptiveBit bit_a, bit_b;
        std::vector<unsigned> symbols(random.below(2000));
        RangeEncoder encoder;
        for (unsigned& s : symbols) {
            s = random.below(8) ? random.below(n) : n - 1;
            a.encode(encoder, s);
            bit_a.encode(encoder, s == 0);
        }
        const auto bytes = encoder.finish();
        RangeDecoder decoder(bytes);
        for (unsigned s : symbols) {
            CHECK(b.decode(decoder) == s);
            CHECK(bit_b.decode(decoder) == (s == 0));
        }
        CHECK(decoder.finished());
    }
}

// Bits a symbol over the entropy of a fixed source, as a fraction.
void adaptation_costs_little() {
    Random random{5};
    const double p[17] = {.62, .17, .08, .045, .028, .018, .012, .008, .006, .004, .003, .002, .0015, .001, .0007, .0005, .0003};
    std::vector<uint16_t> flat(17, 1927);
    flat[0] = static_cast<uint16_t>(32768 - 16 * 1927);
    AdaptiveTable table;
    CHECK(table.start(flat, 16, 11) == Status::ok);
    double ideal = 0, cost = 0, bit_ideal = 0, bit_cost = 0;
    AdaptiveBit bit;
    for (int i = 0; i < 400000; ++i) {
        double u = static_cast<double>(random.next() >> 11) * 0x1p-53 * 0.99999;
        unsigned s = 0;
        while (s < 16 && u >= p[s]) u -= p[s++];
        if (i >= 20000) {
            ideal -= std::log2(p[s]);
            cost += 15 - std::log2(table.frequency(s));
            bit_ideal -= std::log2(s == 0 ? p[0] : 1 - p[0]);
            bit_cost -= std::log2((s == 0 ? bit.p1() : 65536 - bit.p1()) / 65536.0);
        }
        table.update(s);
        bit.update(s == 0);
    }
    std::printf("excess: table %.3f %%, bit %.3f %%\n", 100 * (cost / ideal - 1), 100 * (bit_cost / bit_ideal - 1));
    CHECK(cost < ideal * 1.005);
    CHECK(bit_cost < bit_ideal * 1.02);
}

void hostile_bytes_are_harmless() {
    Random random{6};
    for (int round = 0; round < 200; ++round) {
        std::vector<uint8_t> bytes(random.below(40));
        for (auto& byte : bytes) byte = static_cast<uint8_t>(random.below(3) ? random.next() : 255);
        AdaptiveTable table;
        CHECK(table.start(random_frequencies(random, 1 + random.below(17))) == Status::ok);
        RangeDecoder decoder(bytes);
        for (int i = 0; i < 400; ++i) CHECK(table.decode(decoder) < table.num_symbols());
    }
}

void bad_starts_are_refused() {
    AdaptiveTable table;
    const std::vector<uint16_t> good{16384, 16384};
    CHECK(table.start(std::vector<uint16_t>{}) == Status::bad_argument);
    CHECK(table.start(std::vector<uint16_t>{0, 32768}) == Status::bad_argument);
    CHECK(table.start(std::vector<uint16_t>{1, 32766}) == Status::bad_argument);
    CHECK(table.start(std::vector<uint16_t>(18, 1820)) == Status::bad_argument);
    CHECK(table.start(good, 1) == Status::bad_argument);
    CHECK(table.start(good, 200, 13) == Status::bad_argument);
    CHECK(table.start(good, 200, 0) == Status::bad_argument);
    CHECK(table.start(good) == Status::ok);
    CHECK(table.start(std::vector<uint16_t>{32768}) == Status::ok);
}

}  // namespace

int main() {
    frequencies_stay_positive_and_vectors_agree();
    every_symbol_survives();
    adaptation_costs_little();
    hostile_bytes_are_harmless();
    bad_starts_are_refused();
    return 0;
}
