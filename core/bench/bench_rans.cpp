// Nanoseconds a symbol of the rANS kernels: bench_rans [ROUNDS]. One thread, CPU time, medians.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <vector>

#include "narrows/cpu.hpp"
#include "narrows/rans.hpp"
#include "workloads.hpp"

using namespace narrows;

namespace {

constexpr size_t kNumSymbols = 1 << 22;

double cpu_seconds() {
    timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
    const int rounds = argc > 1 ? std::max(1, std::atoi(argv[1])) : 5;
    std::printf("%-8s %-4s %10s %10s %12s\n", "isa", "work", "encode ns", "decode ns", "bits/symbol");
    for (const Workload& w : make_workloads(kNumSymbols)) {
        std::vector<uint8_t> expected;
        for (Isa isa : available_isas()) {
            CHECK(set_isa(isa));
            std::vector<double> encode_ns, decode_ns;
            std::vector<int16_t> back(kNumSymbols);
            std::string what;
            for (int round = 0; round < rounds; ++round) {
                std::vector<uint8_t> payload;
                double begin = cpu_seconds();
                CHECK(encode(std::span<const int16_t>(w.symbols), std::span<const uint8_t>(w.index), *w.tables, {},
                             payload, what) == Status::ok);
                encode_ns.push_back((cpu_seconds() - begin) * 1e9 / kNumSymbols);
                begin = cpu_seconds();
                CHECK(decode(payload, std::span<const uint8_t>(w.index), *w.tables, {}, std::span<int16_t>(back),
                             what) == Status::ok);
                decode_ns.push_back((cpu_seconds() - begin) * 1e9 / kNumSymbols);
                CHECK(back == w.symbols);
                if (expected.empty()) expected = payload;
                CHECK(payload == expected);
            }
            std::printf("%-8s %-4s %10.2f %10.2f %12.4f\n", isa_name(isa).data(), w.name, median(encode_ns),
                        median(decode_ns), 8.0 * static_cast<double>(expected.size()) / kNumSymbols);
        }
    }
    return 0;
}
