// Runs a libFuzzer target where clang is absent: replays files, then mutates them with a seeded generator.
//
//   fuzz_x [-max_total_time=SECONDS] [-seed=N] [-max_len=BYTES] [FILE or FOLDER]...
//
// Without arguments it mutates a few built-in seeds for three seconds. A failure is a crash: the input that caused
// it is in crash-input of the current folder, written before each run only if -keep is given.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
// A target may offer sound inputs to mutate: returns the number of bytes, 0 when there are no more.
extern "C" size_t NarrowsFuzzSeed(unsigned number, uint8_t* data, size_t capacity) __attribute__((weak));

namespace {

using Bytes = std::vector<uint8_t>;

uint64_t state = 1;

uint64_t next() {
    uint64_t z = (state += 0x9E3779B97F4A7C15ull);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}
size_t below(size_t n) { return n ? next() % n : 0; }

void mutate(Bytes& bytes, const std::vector<Bytes>& corpus, size_t max_len) {
    for (size_t rounds = 1 + below(4); rounds > 0; --rounds) {
        const size_t at = below(bytes.size());
        switch (below(9)) {
            case 0:
                if (!bytes.empty()) bytes[at] ^= static_cast<uint8_t>(1u << below(8));
                break;
            case 1:
                if (!bytes.empty()) bytes[at] = static_cast<uint8_t>(next());
                break;
            case 2: {
                const uint8_t special[] = {0, 1, 127, 128, 255};
                if (!bytes.empty()) bytes[at] = special[below(5)];
                break;
            }
            case 3:
                bytes.resize(at);
                break;
            case 4:
                bytes.insert(bytes.begin() + static_cast<ptrdiff_t>(at), 1 + below(8), static_cast<uint8_t>(next()));
                break;
            case 5: {
                const size_t count = below(bytes.size() - at + 1);
                bytes.erase(bytes.begin() + static_cast<ptrdiff_t>(at),
                            bytes.begin() + static_cast<ptrdiff_t>(at + count));
                break;
            }
            case 6:
                for (size_t i = at; i < bytes.size() && i < at + 4; ++i) bytes[i] = 255;
                break;
            case 7:
                if (!bytes.empty()) bytes[at] = static_cast<uint8_t>(bytes[at] + below(9) - 4);
                break;
            default: {
                const Bytes& other = corpus[below(corpus.size())];
                const size_t from = below(other.size());
                bytes.resize(at);
                bytes.insert(bytes.end(), other.begin() + static_cast<ptrdiff_t>(from), other.end());
            }
        }
    }
    if (bytes.size() > max_len) bytes.resize(max_len);
}

void run(const Bytes& bytes, bool keep) {
    if (keep) {
        std::ofstream file("crash-input", std::ios::binary);
        file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    }
    // An exact-size block of its own, so that a sanitizer sees the first byte read beyond it.
    const Bytes exact(bytes.begin(), bytes.end());
    LLVMFuzzerTestOneInput(exact.data(), exact.size());
}

}  // namespace

int main(int argc, char** argv) {
    double max_total_time = 3;
    size_t max_len = 4096;
    bool keep = false;
    std::vector<Bytes> corpus;
    for (int i = 1; i < argc; ++i) {
        const std::string argument = argv[i];
        if (argument.rfind("-max_total_time=", 0) == 0) {
            max_total_time = std::atof(argument.c_str() + 16);
        } else if (argument.rfind("-seed=", 0) == 0) {
            state = std::strtoull(argument.c_str() + 6, nullptr, 10);
        } else if (argument.rfind("-max_len=", 0) == 0) {
            max_len = std::strtoull(argument.c_str() + 9, nullptr, 10);
        } else if (argument == "-keep") {
            keep = true;
        } else if (argument[0] != '-') {
            std::vector<std::filesystem::path> paths;
            if (std::filesystem::is_directory(argument)) {
                for (const auto& entry : std::filesystem::recursive_directory_iterator(argument))
                    if (entry.is_regular_file()) paths.push_back(entry.path());
            } else {
                paths.emplace_back(argument);
            }
            for (const auto& path : paths) {
                std::ifstream file(path, std::ios::binary);
                if (!file) {
                    std::fprintf(stderr, "cannot read %s\n", path.c_str());
                    return 2;
                }
                corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
            }
        }
        // Other options are libFuzzer's: ignored.
    }
    if (NarrowsFuzzSeed) {
        for (unsigned i = 0;; ++i) {
            Bytes bytes(1 << 16);
            bytes.resize(NarrowsFuzzSeed(i, bytes.data(), bytes.size()));
            if (bytes.empty()) break;
            corpus.push_back(std::move(bytes));
        }
    }
    corpus.emplace_back();
    for (const Bytes& bytes : corpus) run(bytes, keep);

    const auto begin = std::chrono::steady_clock::now();
    const auto seconds = [&] {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    };
    const size_t replayed = corpus.size();
    size_t runs = 0;
    while (seconds() < max_total_time) {
        Bytes bytes = corpus[below(corpus.size())];
        mutate(bytes, corpus, max_len);
        run(bytes, keep);
        ++runs;
        // A small drifting pool reaches what one mutation of a seed does not.
        if (below(64) == 0) {
            if (corpus.size() < replayed + 256) corpus.push_back(std::move(bytes));
            else corpus[replayed + below(256)] = std::move(bytes);
        }
    }
    std::printf("%zu inputs, %zu mutations in %.1f s\n", replayed, runs, seconds());
    return 0;
}
