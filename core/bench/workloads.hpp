// What the benchmarks of the rANS kernels code. w1: 64 Gaussian scales from .11 to 256, evenly used (4.6 bit); w2:
// the small scales mostly (.75 bit); w3: 16 tables of 8 symbols; w4: one table of bytes.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "../tests/random_tables.hpp"
#include "narrows/rans.hpp"

namespace narrows {

inline double uniform(Random& random) { return (static_cast<double>(random.next() >> 11) + 0.5) * 0x1p-53; }

inline double gaussian(Random& random) {
    return std::sqrt(-2 * std::log(uniform(random))) * std::cos(6.283185307179586 * uniform(random));
}

// Probability of [low, high) under a Gaussian.
inline double mass(double low, double high, double sigma) {
    const double s = sigma * 1.4142135623730951;
    return low > 0 ? (std::erfc(low / s) - std::erfc(high / s)) / 2 : (std::erf(high / s) - std::erf(low / s)) / 2;
}

// Sub-slots for scales above 8; tails cut at half a unit.
inline std::shared_ptr<const Tables> gaussian_tables(const std::vector<double>& sigmas) {
    std::vector<int32_t> offset;
    std::vector<uint8_t> shift;
    std::vector<uint32_t> sizes, frequencies;
    for (double sigma : sigmas) {
        const unsigned k = sigma > 8 ? static_cast<unsigned>(std::log2(sigma / 4)) : 0;
        const int step = 1 << k;
        int half = 0;
        while (mass((half + 0.5) * step, (half + 1.5) * step, sigma) > 0.5 / (32768 >> k)) ++half;
        const int first = -half * step - step / 2;
        std::vector<uint64_t> weights{0};
        double inside = 0;
        for (int i = 0; i <= 2 * half; ++i) {
            const double p = mass(first + i * step - 0.5, first + (i + 1) * step - 0.5, sigma);
            inside += p;
            weights.push_back(static_cast<uint64_t>(p * 0x1p32));
        }
        weights[0] = static_cast<uint64_t>(std::max(0.0, 1 - inside) * 0x1p32);
        std::vector<uint32_t> units(weights.size());
        CHECK(apportion(weights, 15 - k, units) == Status::ok);
        for (uint32_t u : units) frequencies.push_back(u << k);
        offset.push_back(first);
        shift.push_back(static_cast<uint8_t>(k));
        sizes.push_back(static_cast<uint32_t>(units.size()));
    }
    return make_tables(15, offset, shift, sizes, frequencies);
}

struct Workload {
    const char* name;
    std::shared_ptr<const Tables> tables;
    std::vector<uint8_t> index;
    std::vector<int16_t> symbols;
};

inline void draw(Workload& w, size_t num_symbols, Random& random) {
    for (size_t i = 0; i < num_symbols; ++i) {
        const auto t = static_cast<uint8_t>(random.below(static_cast<unsigned>(w.tables->size())));
        const uint32_t* cdf = w.tables->cdf().data() + (*w.tables)[t].first;
        const uint32_t* end = cdf + (*w.tables)[t].num_tokens;
        w.index.push_back(t);
        w.symbols.push_back(static_cast<int16_t>(std::upper_bound(cdf, end, random.below(32768)) - cdf - 2));
    }
}

inline std::vector<Workload> make_workloads(size_t num_symbols) {
    std::vector<double> sigmas(64);
    for (size_t i = 0; i < 64; ++i)
        sigmas[i] = std::exp(std::log(0.11) + static_cast<double>(i) * std::log(256 / 0.11) / 63);
    const auto gaussians = gaussian_tables(sigmas);
    std::vector<Workload> all;
    Random random{7};
    for (int which = 0; which < 2; ++which) {
        Workload w{which ? "w2" : "w1", gaussians, {}, {}};
        for (size_t i = 0; i < num_symbols; ++i) {
            size_t t = random.below(64);
            while (which && (t = static_cast<size_t>(-8.45 * std::log(uniform(random)))) > 63) {
            }
            w.index.push_back(static_cast<uint8_t>(t));
            w.symbols.push_back(static_cast<int16_t>(std::lrint(gaussian(random) * sigmas[t])));
        }
        all.push_back(std::move(w));
    }
    std::vector<uint32_t> frequencies, units(8);
    for (int t = 0; t < 16; ++t) {
        std::vector<uint64_t> weights(8);
        for (auto& weight : weights) weight = static_cast<uint64_t>(std::pow(uniform(random), 2) * 1e9) + 1;
        CHECK(apportion(weights, 15, units) == Status::ok);
        frequencies.push_back(0);
        frequencies.insert(frequencies.end(), units.begin(), units.end());
    }
    Workload w3{"w3", make_tables(15, std::vector<int32_t>(16), std::vector<uint8_t>(16), std::vector<uint32_t>(16, 9),
                                  frequencies), {}, {}};
    draw(w3, num_symbols, random);
    std::vector<uint64_t> weights(256);
    for (int v = 0; v < 256; ++v)
        weights[static_cast<size_t>(v)] = static_cast<uint64_t>(1e9 * std::exp(-std::abs(v - 128) / 12.0)) + 1;
    units.resize(256);
    CHECK(apportion(weights, 15, units) == Status::ok);
    Workload w4{"w4", closed_table(15, units), {}, {}};
    draw(w4, num_symbols, random);
    all.push_back(std::move(w3));
    all.push_back(std::move(w4));
    return all;
}

}  // namespace narrows
