// One encode and one decode of each workload by each kernel, counted where it runs under Callgrind:
// count_rans [NUM_SYMBOLS]. benchmarks/instructions.py runs it and reads one profile for each, named after it.
#include <cstdio>
#include <cstdlib>
#include <string>

#include "narrows/cpu.hpp"
#include "workloads.hpp"

// Requests to Valgrind cost nothing outside of it; where its headers are not, nothing can be counted.
#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#define COUNTS "yes"
#else
#define COUNTS "no"
#define CALLGRIND_ZERO_STATS
#define CALLGRIND_DUMP_STATS_AT(name) static_cast<void>(name)
#endif

using namespace narrows;

#if defined(__clang__)
#define COMPILER "clang " __VERSION__
#else
#define COMPILER "gcc " __VERSION__
#endif

int main(int argc, char** argv) {
    const size_t num_symbols = argc > 1 ? static_cast<size_t>(std::atol(argv[1])) : 1 << 16;
    std::printf("compiler %s\ncounts %s\n", COMPILER, COUNTS);
    for (const Workload& w : make_workloads(num_symbols)) {
        for (Isa isa : available_isas()) {
            CHECK(set_isa(isa));
            std::vector<uint8_t> payload, before;
            std::vector<int16_t> back(num_symbols);
            const std::span<const int16_t> symbols(w.symbols);
            const std::span<const uint8_t> index(w.index);
            std::string what;  // first calls are not counted, so that what is made at first use is made
            CHECK(encode(symbols, index, *w.tables, {}, before, what) == Status::ok);
            CHECK(decode(before, index, *w.tables, {}, std::span<int16_t>(back), what) == Status::ok);
            const std::string name = std::string(w.name) + " " + std::string(isa_name(isa));
            const std::string encoding = name + " encode", decoding = name + " decode";
            CALLGRIND_ZERO_STATS;
            const Status encoded = encode(symbols, index, *w.tables, {}, payload, what);
            CALLGRIND_DUMP_STATS_AT(encoding.c_str());
            CALLGRIND_ZERO_STATS;
            const Status decoded = decode(payload, index, *w.tables, {}, std::span<int16_t>(back), what);
            CALLGRIND_DUMP_STATS_AT(decoding.c_str());
            CHECK(encoded == Status::ok && decoded == Status::ok);
            CHECK(back == w.symbols);
        }
    }
    return 0;
}
